"""scripts/train_label_curves.py and measure_label_curves.py: which labels are learned from, and that nothing is made twice."""

import json
from pathlib import Path

import measure_label_curves as measure
import pytest
import train_label_curves as trainings
from labeled import labeled_dialogue
from small_training import SMALL, labeled_log, pretrained
from trainings_here import first_by_hash


def test_fewer_labels_lie_within_more_and_depend_on_the_seed_alone():
    dialogues = [labeled_dialogue(seed) for seed in range(40)]
    ordered = [d.id for d in first_by_hash(dialogues, 3)]
    assert sorted(ordered) == sorted(d.id for d in dialogues)
    assert ordered == [d.id for d in first_by_hash(dialogues[::-1], 3)]
    fewer = [d for d in dialogues if int(d.id[1:]) % 2]
    assert [d.id for d in first_by_hash(fewer, 3)] == [i for i in ordered if int(i[1:]) % 2]
    assert ordered != [d.id for d in first_by_hash(dialogues, 4)]


def test_what_is_made_is_not_made_again_and_the_table_holds_it(
    tiny_encoder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    train = labeled_log(tmp_path / "train" / "log.jsonl", range(12))
    test, run = labeled_log(tmp_path / "test" / "log.jsonl", range(20, 28), 3), tmp_path / "run"
    outcomes = labeled_log(tmp_path / "more" / "log.jsonl", range(40), 3)
    model = pretrained(train, tiny_encoder, tmp_path / "first")
    words = [str(run), "--train", str(train), "--test", str(test), "--against", "anna", "--seeds", "1", "2"]
    words += ["--shares", "25", "100", "--outcomes", str(outcomes), "--most", "5"]
    words += ["--encoder", str(tiny_encoder), "--pretrained", f"with={model}"]
    assert trainings.main([*words, "--minutes", "0", "--", *SMALL]) == 0
    assert "8 of 8 trainings are left" in capsys.readouterr().out
    assert trainings.main([*words, "--", *SMALL]) == 0
    made = {path: path.stat().st_mtime_ns for path in run.glob("*.jsonl")}
    assert len(made) == 8
    assert not (run / "work").exists()
    assert trainings.main([*words, "--", *SMALL]) == 0
    assert made == {path: path.stat().st_mtime_ns for path in run.glob("*.jsonl")}
    asked = [str(run), "--against", "anna", "--seeds", "1", "2", "--shares", "25", "100", "--test", str(test)]
    assert measure.main([*asked, "--resamples", "20", "--out", str(tmp_path / "table.json")]) == 0
    table = json.loads((tmp_path / "table.json").read_text())
    assert {(row[1], row[2]) for row in table["rows"]} == {
        (metric, share) for metrics in measure.METRICS.values() for metric in metrics for share in ("25%", "100%")
    }
    assert {len(row) for row in table["rows"]} == {len(table["columns"])}
    for row in table["rows"]:
        assert row[6]["value"] == pytest.approx(row[5]["value"] - row[4]["value"], abs=2e-4)
    assert {row[3] for row in table["rows"]} == {"with"}
    assert trainings.main([*words, "--pretrained", f"without={model}", "--", *SMALL]) == 2
    (run / "with-100-2.jsonl").unlink()
    assert measure.main([*asked, "--out", str(tmp_path / "other.json")]) == 3
