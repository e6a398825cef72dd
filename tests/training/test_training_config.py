"""Options: from YAML and the command line into dataclasses, and back."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from labelgen.base.errors import UsageError
from labelgen.cli.main import main
from labelgen.training.config import differences, parse, plain, to_yaml
from labelgen.training.options import FinetuneOptions, PretrainOptions

CONFIGS = Path(__file__).parents[2] / "configs"
NEEDED = ["--out", "run", "--data.train", "[log.jsonl]", "--tasks.quality.weight=2"]


def finetune(*argv: str) -> FinetuneOptions:
    return parse(FinetuneOptions, "finetune", "Train.", "labelgen finetune", argv)


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


@pytest.mark.parametrize(
    ("argument", "near"),
    [
        ("--bacth.turns=3", "batch"),
        ("--batch.turn=3", "batch.turns"),
        ("--seeds=3", "seed"),
        ("--tasks.quality.wight=3", "tasks.quality.weight"),
        ("--tasks.qualty.weight=3", "quality"),
        ("--data.trian=x", "data.train"),
    ],
)
def test_an_unknown_option_names_the_nearest(argument: str, near: str):
    with pytest.raises(UsageError, match="did you mean") as error:
        finetune(*NEEDED, argument)
    assert repr(near) in error.value.mend


def test_an_unknown_key_of_a_file_names_the_file(tmp_path: Path):
    path = tmp_path / "a.yaml"
    path.write_text("model: {encodr: x}\n")
    with pytest.raises(UsageError, match=r"model\.encodr") as error:
        finetune("--config", str(path), *NEEDED)
    assert error.value.where == str(path)
    assert "'model.encoder'" in error.value.mend


@pytest.mark.parametrize(
    "argument", ["--batch.turns=many", "--hardware.precision=8", "--length=3", "--data.train=3", "loose"]
)
def test_a_value_of_the_wrong_type_is_a_usage_error(argument: str):
    with pytest.raises(UsageError):
        finetune(*NEEDED, argument)


@pytest.mark.parametrize("missing", ["out", "data.train", "tasks"])
def test_what_is_needed_is_asked_for(missing: str):
    given = {"out": NEEDED[:2], "data.train": NEEDED[2:4], "tasks": NEEDED[4:]}
    with pytest.raises(UsageError, match=missing.split(".")[0]):
        finetune(*(word for key, words in given.items() if key != missing for word in words))


def test_a_run_needs_a_task():
    with pytest.raises(UsageError, match="no task"):
        finetune(*NEEDED[:4], "--tasks={}")


@pytest.mark.parametrize("text", ["- a\n", "a: [\n"])
def test_a_file_without_options_is_a_usage_error(tmp_path: Path, text: str):
    path = tmp_path / "a.yaml"
    path.write_text(text)
    with pytest.raises(UsageError):
        finetune("--config", str(path), *NEEDED)


def test_the_resolved_config_reads_back_as_the_same_options(tmp_path: Path):
    options = finetune(*NEEDED, "--targets.annotators=[anna, 'kind:person']", "--length.max_minutes=3")
    path = tmp_path / "config.yaml"
    path.write_text(to_yaml(options))
    again = finetune("--config", str(path))
    assert again == options
    assert differences(yaml.safe_load(to_yaml(options)), again) == []


def test_differences_name_the_keys_that_matter():
    before = yaml.safe_load(to_yaml(finetune(*NEEDED)))
    free = finetune(*NEEDED, "--length.max_minutes=3", "--tracking.log_every=1", "--data.workers=2")
    assert differences(before, free) == []
    other = finetune(*NEEDED, "--seed=4", "--tasks.order.weight=1")
    assert [text.split()[0] for text in differences(before, other)] == [
        "seed",
        "tasks.order.label_dropout",
        "tasks.order.weight",
    ]


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_config_resolves_and_repeats_no_default(path: Path):
    kind = PretrainOptions if path.stem in ("goals_from_splices", "pretrain") else FinetuneOptions
    argv = ["--config", str(path), *NEEDED]
    options = plain(parse(kind, "x", "x", "x", argv))
    for section, given in yaml.safe_load(path.read_text()).items():
        if isinstance(given, dict):
            assert set(given) <= set(options[section])


@pytest.mark.parametrize("command", ["pretrain", "finetune"])
def test_help_shows_an_example_and_loads_no_torch(command: str):
    code = (
        "import sys; from labelgen.cli.main import main; code = main(sys.argv[1:]); "
        "assert not {'torch', 'pytorch_lightning', 'transformers'} & set(sys.modules); sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", code, command, "--help"], capture_output=True, text=True, check=True)
    assert f"example: labelgen {command} --config" in " ".join(done.stdout.split())
    assert "Peak learning rate" in done.stdout


def test_the_command_gives_the_exit_code_of_usage(capsys: pytest.CaptureFixture[str]):
    assert main(["finetune", "--outt", "x"]) == 2
    assert "did you mean 'out'" in capsys.readouterr().err
