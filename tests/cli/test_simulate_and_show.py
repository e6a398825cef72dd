"""`labelgen simulate` and `labelgen show` from the outside."""

import pytest

from labelgen.cli.main import main
from labelgen.data.label_sets import read_labels
from labelgen.data.log import Log
from labelgen.simulator.log import labels, simulate
from labelgen.simulator.world import WorldOptions


def test_simulate_writes_the_log_and_its_labels(tmp_path, capsys):
    out = tmp_path / "log.jsonl"
    assert main(["simulate", str(out), "--dialogues", "12", "--seed", "4", "--annotated", "0.5", "--asked", "1"]) == 0
    assert list(Log([out])) == list(simulate(12, 4, WorldOptions(annotated=0.5, asked=1.0)))
    assert read_labels(tmp_path / "labels.json") == labels()
    assert main(["simulate", str(tmp_path / "log.parquet"), "--dialogues", "3", "--seed", "4"]) == 0
    assert list(Log([tmp_path / "log.parquet"])) == list(simulate(3, 4))


@pytest.mark.parametrize(
    "wrong",
    [
        ["--dialogues", "-1"],
        ["--annotated", "2"],
        ["--moods", "1"],
        ["--asked"],
        ["--users", "few"],
    ],
)
def test_simulate_refuses_what_it_cannot_do(tmp_path, capsys, wrong):
    assert main(["simulate", str(tmp_path / "x.jsonl"), *wrong]) == 2
    assert "hint:" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_show_draws_the_chosen_dialogues(tmp_path, capsys):
    out = tmp_path / "log.jsonl"
    main(["simulate", str(out), "--dialogues", "5", "--seed", "4"])
    capsys.readouterr()
    assert main(["show", str(out), "--count", "2"]) == 0
    drawn = capsys.readouterr().out
    assert "sim-4-000000" in drawn
    assert "sim-4-000001" in drawn
    assert "sim-4-000002" not in drawn
    assert "labels by truth" in drawn
    assert main(["show", str(out), "--id", "sim-4-000003", "--annotator", "ben"]) == 0
    drawn = capsys.readouterr().out
    assert "sim-4-000003" in drawn
    assert "labels by ben" in drawn
    assert main(["show", str(out), "--id", "elsewhere"]) == 2
    assert "elsewhere" in capsys.readouterr().err
    assert main(["show", str(out), "--annotator", "zoe"]) == 2
    assert "anna" in capsys.readouterr().err
