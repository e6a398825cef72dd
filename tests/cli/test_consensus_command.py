"""labelgen consensus: methods, annotators' figures, and logs that lack what it needs."""

import json
from typing import get_args

import pytest

from labelgen.cli.main import main
from labelgen.data.log import Log
from labelgen.steps.consensus import Method

TURNS = [{"request": "louder", "response": "OK."}]


def log(path, *said):
    """A dialogue for each of `said`: who gave which rating."""
    records = [
        {
            "id": f"d{k}",
            "turns": TURNS,
            "annotations": [
                {"annotator": who, "kind": "person", "turns": [{"turn": 0, "quality": {"rating": rating}}]}
                for who, rating in given.items()
            ],
        }
        for k, given in enumerate(said)
    ]
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return str(path)


@pytest.mark.parametrize("method", get_args(Method))
def test_every_method_writes_a_consensus_and_everyones_figures(tmp_path, method, capsys):
    said = [{"a": 5, "b": 5, "c": 1}, {"a": 5, "b": 5, "c": 5}, {"a": 1, "b": 1, "c": 5}, {"a": 1, "b": 1, "c": 1}]
    source, out, told = log(tmp_path / "log.jsonl", *said), tmp_path / "out.jsonl", tmp_path / "told.json"
    assert main(["consensus", source, str(out), "--method", method, "--statistics", str(told)]) == 0
    agreed = [a for d in Log([out]) for a in d.annotations if a.annotator == "consensus"]
    assert [[label.name for label in a.labels] for a in agreed] == (
        [[], ["good"], [], ["bad"]] if method == "unanimous" else [["good"], ["good"], ["bad"], ["bad"]]
    )
    found = json.loads(told.read_text())
    assert [row["task"] for row in found["agreement"]] == ["quality, turn"]
    accuracy = {row["annotator"]: row["accuracy"] for row in found["annotators"]}
    assert accuracy == {"a": 1.0, "b": 1.0, "c": 0.5}
    skill = {row["annotator"]: row["skill"] for row in found["annotators"]}
    assert skill["a"] is None if method in ("majority", "unanimous") else skill["a"] > skill["c"]
    assert "quality, turn" in capsys.readouterr().out


@pytest.mark.parametrize("method", ["majority", "dawid-skene"])
@pytest.mark.parametrize(
    ("said", "people", "words"),
    [
        ([{}, {}], "kind=person", "none of 2 dialogues has an annotation by kind=person"),
        ([], "kind=person", "the log holds no dialogue"),
    ],
)
def test_a_log_that_nobody_annotated_is_an_error_and_nothing_is_written(tmp_path, said, people, words, method, capsys):
    source, out = log(tmp_path / "log.jsonl", *said), tmp_path / "out.jsonl"
    assert main(["consensus", source, str(out), "--annotators", people, "--method", method]) == 3
    assert words in capsys.readouterr().err
    assert not out.exists()


@pytest.mark.parametrize("command", ["consensus", "evaluate", "calibrate", "estimate"])
def test_people_are_checked_before_the_log_is_read(tmp_path, command, tiny_model, capsys):
    """The log is no log at all, and that is not what is told."""
    (tmp_path / "log.jsonl").write_text("broken{\n")
    source, out = str(tmp_path / "log.jsonl"), str(tmp_path / "out")
    words = {
        "consensus": ["consensus", source, f"{out}.jsonl"],
        "evaluate": ["evaluate", source, "--out", out],
        "calibrate": ["calibrate", source, "--model", str(tiny_model)],
        "estimate": ["estimate", source, "--task", "outcome", "--label", "success", "--annotator", "model"],
    }[command]
    assert main([*words, "--annotators", "kind=persn"]) == 2
    assert "names no people" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["label", "evaluate", "calibrate"])
def test_a_model_is_checked_before_the_log_is_read(tmp_path, command, capsys):
    (tmp_path / "log.jsonl").write_text("broken{\n")
    source, out = str(tmp_path / "log.jsonl"), str(tmp_path / "out")
    words = {
        "label": ["label", source, out, "--workers", "1"],
        "evaluate": ["evaluate", source, "--out", out],
        "calibrate": ["calibrate", source],
    }[command]
    assert main([*words, "--model", str(tmp_path / "nowhere")]) == 2
    assert "is no model folder" in capsys.readouterr().err


def test_skills_need_a_log_that_can_be_read_again(tmp_path, capsys):
    assert main(["consensus", "-", str(tmp_path / "out.jsonl"), "--method", "dawid-skene"]) == 2
    assert "several times" in capsys.readouterr().err


def test_people_are_named_as_a_config_does_and_strangers_are_refused(tmp_path, capsys):
    source, out = log(tmp_path / "log.jsonl", {"a": 5, "b": 5}), tmp_path / "out.jsonl"
    assert main(["consensus", source, str(out), "--annotators", "a", "--annotators", "nobody"]) == 2
    said = capsys.readouterr().err
    assert "nobody annotated as nobody" in said
    assert "the log's annotators: a, b" in said
    assert not out.exists()
    source = log(tmp_path / "log.jsonl", {"a": 5, "Doe, Jane": 5})
    for names in (("kind=person",), ("a", "Doe, Jane")):
        assert main(["consensus", source, str(out), *(f"--annotators={name}" for name in names), "--force"]) == 0
        [dialogue] = Log([out])
        agreed = dialogue.annotation("consensus")
        assert agreed is not None
        assert [label.name for label in agreed.labels] == ["good"]
