"""scripts/train_label_curves.py and measure_label_curves.py: which labels are learnt from, and that nothing is made twice."""

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

import pytest
from labelled import LABELS, labelled_dialogue

from labelgen.data.log import write_log

ROOT = Path(__file__).parents[2]
SMALL = ["--model={dialogue_width: 32, dialogue_layers: 1, dialogue_heads: 2}", "--length.max_steps=2"]


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "scripts" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def trainings() -> ModuleType:
    load("trainings_here")
    return load("train_label_curves")


def test_fewer_labels_lie_within_more_and_depend_on_the_seed_alone(trainings: ModuleType):
    dialogues = [labelled_dialogue(seed) for seed in range(40)]
    ordered = [d.id for d in trainings.first_by_hash(dialogues, 3)]
    assert sorted(ordered) == sorted(d.id for d in dialogues)
    assert ordered == [d.id for d in trainings.first_by_hash(dialogues[::-1], 3)]
    fewer = [d for d in dialogues if int(d.id[1:]) % 2]
    assert [d.id for d in trainings.first_by_hash(fewer, 3)] == [i for i in ordered if int(i[1:]) % 2]
    assert ordered != [d.id for d in trainings.first_by_hash(dialogues, 4)]


def test_what_is_made_is_not_made_again_and_the_table_holds_it(
    trainings: ModuleType, tiny_encoder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    train, test, run = tmp_path / "train" / "log.jsonl", tmp_path / "test" / "log.jsonl", tmp_path / "run"
    write_log(train, [labelled_dialogue(seed) for seed in range(12)], LABELS)
    write_log(test, [labelled_dialogue(seed, 3) for seed in range(20, 28)], LABELS)
    write_log(tmp_path / "more" / "log.jsonl", [labelled_dialogue(seed, 3) for seed in range(40)], LABELS)
    base = [
        "--train",
        str(train),
        "--test",
        str(test),
        "--against",
        "anna",
        "--seeds",
        "1",
        "2",
        "--shares",
        "25",
        "100",
    ]
    base += ["--encoder", str(tiny_encoder), "--outcomes", str(tmp_path / "more" / "log.jsonl"), "--most", "5"]
    more = ["--", *SMALL]
    pretrained = _pretrained(trainings, base, more, tmp_path / "first")
    assert trainings.main([str(run), *base, "--pretrained", str(pretrained), "--minutes", "0", *more]) == 0
    assert "8 of 8 trainings are left" in capsys.readouterr().out
    assert trainings.main([str(run), *base, "--pretrained", str(pretrained), *more]) == 0
    made = {path: path.stat().st_mtime_ns for path in run.glob("*.jsonl")}
    assert len(made) == 8
    assert not (run / "work").exists()
    assert trainings.main([str(run), *base, "--pretrained", str(pretrained), *more]) == 0
    assert made == {path: path.stat().st_mtime_ns for path in run.glob("*.jsonl")}
    measure = load("measure_label_curves")
    asked = [str(run), "--against", "anna", "--seeds", "1", "2", "--shares", "25", "100", "--test", str(test)]
    assert measure.main([*asked, "--resamples", "20", "--out", str(tmp_path / "table.json")]) == 0
    table = json.loads((tmp_path / "table.json").read_text())
    assert {(row[1], row[2]) for row in table["rows"]} == {
        (metric, share) for metrics in measure.METRICS.values() for metric in metrics for share in ("25%", "100%")
    }
    assert {len(row) for row in table["rows"]} == {len(table["columns"])}
    for row in table["rows"]:
        assert row[5]["value"] == pytest.approx(row[4]["value"] - row[3]["value"], abs=2e-4)
    (run / "with-100-2.jsonl").unlink()
    assert measure.main([*asked, "--out", str(tmp_path / "other.json")]) == 3


def _pretrained(trainings: ModuleType, base: list[str], more: list[str], out: Path) -> Path:
    from labelgen.cli.main import main

    log = base[base.index("--train") + 1]
    words = ["--config", str(ROOT / "configs/public_cpu.yaml"), "--config", str(ROOT / "configs/pretrain.yaml")]
    words += [f"--data.train=[{log}]", f"--out={out}", f"--model.encoder={base[base.index('--encoder') + 1]}"]
    assert main(["pretrain", *words, "--tracking.wandb=off", *more[1:]]) == 0
    return out / "model"
