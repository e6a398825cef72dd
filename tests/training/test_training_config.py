"""Options: from YAML and the command line into dataclasses, and back."""

from pathlib import Path

import pytest
import yaml

from labelgen.base.errors import UsageError
from labelgen.base.options import read_options
from labelgen.base.yaml_text import to_yaml
from labelgen.training.options import FinetuneOptions, differences

CONFIGS = Path(__file__).parents[2] / "configs"
NEEDED = ["--out", "run", "--data.train", "[log.jsonl]", "--tasks.quality.weight=2"]


def finetune(*argv: str) -> FinetuneOptions:
    return read_options(FinetuneOptions, argv)


def test_overrides_win_over_files_and_later_files_over_earlier(tmp_path: Path):
    first, second = tmp_path / "a.yaml", tmp_path / "b.yaml"
    first.write_text("seed: 1\nbatch: {turns: 8, words: 100}\ntasks: {quality: {}, order: {}}\n")
    second.write_text("batch: {words: 200}\ntasks: {quality: {weight: 3}}\n")
    options = finetune("--config", str(first), f"--config={second}", *NEEDED[:4], "--seed=7")
    assert (options.seed, options.batch.turns, options.batch.words) == (7, 8, 200)
    assert {name: task.weight for name, task in options.tasks.items()} == {"quality": 3.0}
    more = finetune("--config", str(second), *NEEDED[:4], "--tasks.order.weight=1e-1", "--data.valid=[a, b]")
    assert {name: task.weight for name, task in more.tasks.items()} == {"quality": 3.0, "order": 0.1}
    assert more.data.valid == ("a", "b")
    other = finetune("--config", str(first), *NEEDED[:4], "--tasks", "{goals: {}}", "--tasks.order.weight", "2")
    assert {name: task.weight for name, task in other.tasks.items()} == {"goals": 1.0, "order": 2.0}
    assert options.data.train == ("log.jsonl",)


def test_the_resolved_config_reads_back_as_the_same_options(tmp_path: Path):
    options = finetune(*NEEDED, "--targets.annotators=[anna, 'kind=person']")
    path = tmp_path / "config.yaml"
    path.write_text(to_yaml(options))
    again = finetune("--config", str(path))
    assert again == options
    assert differences(yaml.safe_load(to_yaml(options)), again) == []


def test_differences_name_the_keys_that_matter():
    before = yaml.safe_load(to_yaml(finetune(*NEEDED)))
    free = finetune(*NEEDED, "--tracking.log_every=1", "--data.workers=2")
    assert differences(before, free) == []
    other = finetune(*NEEDED, "--seed=4", "--tasks.order.weight=1")
    assert [text.split()[0] for text in differences(before, other)] == [
        "seed",
        "tasks.order.antecedents",
        "tasks.order.linear_share",
        "tasks.order.ngrams",
        "tasks.order.pairs",
        "tasks.order.weight",
    ]


def test_a_config_is_found_by_its_name_in_any_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "demo").mkdir()
    by_path = finetune("--config", str(CONFIGS / "demo.yaml"))
    for name in ("demo", "demo.yaml"):
        assert finetune("--config", name) == by_path
    (tmp_path / "demo.yaml").write_text(
        "seed: 77\nout: here\ndata: {train: [a]}\ntasks: {goals: {}}\nmodel: {encoder: e}\n"
    )
    assert finetune("--config", "demo.yaml").seed == 77
    with pytest.raises(UsageError, match="unknown config 'dmo'") as told:
        finetune("--config", "dmo")
    assert "did you mean 'demo'?" in told.value.hint
