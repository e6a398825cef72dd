"""`labelgen feedback ask` from a log to questions."""

import json
from pathlib import Path
from typing import Any

import pytest
from heard import talk
from msgspec.structs import replace

from labelgen.cli.main import main
from labelgen.data.dialogue import Dialogue
from labelgen.data.labels import Annotation, AtTurn, Label
from labelgen.data.log import Log, write_log


def run(*words: object) -> int:
    return main(["feedback", "ask", *map(str, words)])


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("ask") / "log.jsonl"
    main(["simulate", str(path), "--dialogues", "30", "--seed", "2"])
    return path


def test_ask_writes_the_most_uncertain_turns_of_the_log(
    log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "q.jsonl"
    assert run(log, out, "--budget", 10) == 0
    assert "10 questions to " in capsys.readouterr().out
    questions = read(out)
    assert len(questions) == len({q["dialogue"] for q in questions}) == 10
    turns = {d.id: d for d in Log([log])}
    for q in questions:
        assert 0 <= q["turn"] < len(turns[q["dialogue"]].turns)
        assert q["user"] == turns[q["dialogue"]].user
    doubts = [abs(q["good"] - 0.5) for q in questions]
    assert doubts == sorted(doubts)


def test_ask_twice_writes_equal_bytes_and_a_smaller_budget_a_prefix(log: Path, tmp_path: Path) -> None:
    one, two, few = tmp_path / "1.jsonl", tmp_path / "2.jsonl", tmp_path / "3.jsonl"
    assert run(log, one, "--budget", 12) == run(log, two, "--budget", 12) == run(log, few, "--budget", 5) == 0
    assert one.read_bytes() == two.read_bytes()
    assert one.read_bytes().startswith(few.read_bytes())
    assert run(log, one, "--budget", 12) == 2
    assert run(log, one, "--budget", 5, "--force") == 0
    assert one.read_bytes() == few.read_bytes()


def test_ask_with_a_model_in_the_records_uses_its_quality(
    log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    judged, out = tmp_path / "judged.jsonl", tmp_path / "q.jsonl"

    def with_model(dialogue: Dialogue) -> Dialogue:
        sure = (("bad", 0.9), ("fair", 0.05), ("good", 0.05))
        labels = tuple(Label("quality", AtTurn(t), "bad", 0.9, None, sure) for t in range(len(dialogue.turns)))
        return replace(dialogue, annotations=(*dialogue.annotations, Annotation("m", "model", labels)))

    write_log(judged, map(with_model, Log([log])))
    assert run(judged, out, "--budget", 5, "--method", "waterfall") == 0
    assert all(q["model"] == pytest.approx(0.075, abs=1e-4) for q in read(out))
    assert run(judged, out, "--budget", 5, "--annotator", "m", "--force") == 0
    assert run(judged, out, "--budget", 5, "--annotator", "another", "--force") == 3
    assert "no turn's quality was judged by a model another" in capsys.readouterr().err


def test_ask_a_log_without_askable_turns_writes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log, out = tmp_path / "log.jsonl", tmp_path / "q.jsonl"
    write_log(log, [Dialogue(id="empty", turns=()), talk("thank you", "Bye.", id="thanks")])
    assert run(log, out, "--budget", 3) == 0
    assert read(out) == []
    assert "0 questions" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("log.jsonl", "q.jsonl", "--budget", "0"), "--budget is '0'"),
        (("-", "q.jsonl", "--budget", "5"), "standard input"),
    ],
)
def test_ask_with_invalid_options_fails_with_a_message(
    words: tuple[str, ...],
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(*words) == 2
    assert said in capsys.readouterr().err
    assert not Path("q.jsonl").exists()
