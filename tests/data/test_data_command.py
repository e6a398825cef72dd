"""`labelgen data`, as it is typed."""

import json
from pathlib import Path

import pytest
from labeled import LABELS, labeled_dialogue

from labelgen.cli.main import main
from labelgen.data.dialogue import Dialogue
from labelgen.data.label_sets import read_labels
from labelgen.data.log import Log, write_log

SAMPLES = Path(__file__).parents[1] / "readers" / "samples"
LAB = Path(__file__).parents[1] / "lab" / "samples"


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "log" / "log.jsonl"
    write_log(path, (labeled_dialogue(seed) for seed in range(40)), LABELS)
    return path


def ids(path: Path) -> list[str]:
    return [d.id for d in Log([path], max_bad_rate=0)]


def test_validate_above_bad_rate_counts_reasons_and_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    path = tmp_path / "a.jsonl"
    path.write_text('{"id":"d0","turns":[]}\n{\n' + '{"id":"d0","turns":[]}\n')
    assert main(["data", "validate", str(path), "--quarantine", str(tmp_path / "bad.jsonl")]) == 3
    told = capsys.readouterr()
    assert [line.split() for line in told.out.splitlines()[:4]] == [
        ["records", "count"],
        ["good", "1"],
        ["bad_json", "1"],
        ["doubled_id", "1"],
    ]
    assert "2 of 3 records are bad" in told.err
    assert len((tmp_path / "bad.jsonl").read_text().splitlines()) == 2
    assert main(["data", "validate", str(path), "--max-bad-rate", "0.7"]) == 0


@pytest.mark.parametrize("suffix", [".jsonl", ".parquet"])
def test_convert_corpus_writes_records_and_label_names(tmp_path: Path, suffix: str):
    out = tmp_path / "out" / f"sgd{suffix}"
    assert main(["data", "convert", str(LAB / "sgd"), str(out), "--format", "sgd"]) == 0
    assert list(Log([out])) == list(Log([LAB / "sgd"], "sgd"))
    names = read_labels(out.parent / "labels.json")["sgd/dev"]
    assert {"Alarm_1.GetAlarms", "Weather_1.GetWeather"} <= {x.name for x in names["intents"]}
    assert {x.name for x in names["outcome"]} == {"success", "failure"}
    assert main(["data", "convert", str(LAB / "sgd"), str(out), "--format", "sgd"]) == 2, "nothing is overwritten"
    assert main(["data", "convert", str(LAB / "sgd"), str(out), "--format", "sgd", "--force"]) == 0


def test_convert_with_options_reads_and_writes_streams(capfdbinary: pytest.CaptureFixture[bytes]):
    pairs = {"dialogue": "id", "request": "asked", "response": "answered"}
    options = [word for name, column in pairs.items() for word in ("--option", f"{name}={column}")]
    assert main(["data", "convert", str(SAMPLES / "tables" / "turns.tsv"), "-", "--format", "mapped", *options]) == 0
    assert [json.loads(line)["id"] for line in capfdbinary.readouterr().out.splitlines()] == ["t1"]
    assert main(["data", "convert", str(LAB / "uss"), "-", "--format", "uss", "--option", "part"]) == 2


def test_sample_is_stable_and_contains_smaller_samples(log: Path, tmp_path: Path):
    drawn = {}
    for count in (0, 5, 20, 100):
        out = tmp_path / f"s{count}" / "log.jsonl"
        assert main(["data", "convert", str(log), str(out), "--sample", str(count), "--seed", "3"]) == 0
        drawn[count] = ids(out)
    assert [len(drawn[count]) for count in (0, 5, 20, 100)] == [0, 5, 20, 40]
    assert set(drawn[5]) < set(drawn[20])
    assert drawn[20] == [i for i in ids(log) if i in drawn[20]], "in the order of the log"
    shuffled = tmp_path / "shuffled.jsonl"
    shuffled.write_text("".join(reversed(log.read_text().splitlines(keepends=True))))
    assert main(["data", "convert", str(shuffled), str(tmp_path / "again.jsonl"), "--sample", "5", "--seed", "3"]) == 0
    assert set(ids(tmp_path / "again.jsonl")) == set(drawn[5])


def test_split_parts_are_disjoint_and_without_copies(log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    twice = tmp_path / "twice.jsonl"
    copies = [Dialogue(id=f"copy{d.id}", turns=d.turns) for d in Log([log])]
    write_log(twice, [*Log([log]), *copies])
    out = tmp_path / "parts"
    command = ["data", "split", str(twice), str(out), "--parts", "train=0.5,test=0.5", "--seed", "2"]
    assert main(command) == 0
    table = [line.split() for line in capsys.readouterr().out.splitlines() if line.startswith(("train", "test"))]
    parts = {name: list(Log([out / f"{name}.jsonl"])) for name in ("train", "test")}
    assert not {d.id for d in parts["train"]} & {d.id for d in parts["test"]}
    asked = {name: {tuple(t.request for t in d.turns) for d in part} for name, part in parts.items()}
    assert not {key for key in asked["train"] & asked["test"] if any(key)}
    left_out = 80 - len(parts["train"]) - len(parts["test"])
    assert left_out > 0
    assert table == [["train", str(len(parts["train"])), "0"], ["test", str(len(parts["test"])), str(left_out)]]
    assert main(command) == 2, "nothing is overwritten"
    assert main([*command, "--force", "--keep-copies"]) == 0
    assert sum(len(ids(out / f"{name}.jsonl")) for name in parts) == 80
    assert main(["data", "split", "-", str(tmp_path / "other")]) == 2


def test_validate_counts_what_is_in_a_log(log: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["data", "validate", str(log)]) == 0
    words = capsys.readouterr().out
    dialogues = list(Log([log]))
    turns = [turn for d in dialogues for turn in d.turns]
    assert f"40 dialogues, {len(turns)} turns" in words
    people = [a for d in dialogues for a in d.annotations if a.kind == "person"]
    named = sum(label.name == "success" for a in people for label in a.labels if label.task == "outcome")
    [row] = [line.split() for line in words.splitlines() if line.startswith("person") and "outcome" in line]
    assert f"{named}" in [word.strip(",") for word in row]
