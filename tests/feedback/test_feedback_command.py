"""`labelgen feedback` from a log to signals to targets."""

from pathlib import Path

import pytest
from heard import talk

from labelgen.cli.main import main
from labelgen.data.dialogue import Dialogue, Feedback
from labelgen.data.log import Log, write_log


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "log.jsonl"
    told = (Feedback(kind="answer", answer="no"),)
    write_log(
        path,
        [
            talk("play haze", "Sorry, I didn't get that.", "play purple haze", "Playing.", "thanks", "Ok.", id="a"),
            talk("book a room", "Booked.", "thank you", "Bye.", id="b", feedback=told),
            Dialogue(id="empty", turns=()),
        ],
    )
    return path


def run(*words: object) -> int:
    return main(["feedback", *map(str, words)])


def outcomes(path: Path) -> dict[str, str]:
    return {
        d.id: max(t.distribution or (), key=lambda pair: pair[1])[0]
        for d in Log([path])
        for t in d.targets
        if t.task == "outcome"
    }


def test_feedback_from_a_log_writes_targets(log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found, made = tmp_path / "signals.jsonl", tmp_path / "targets.parquet"
    assert run("signals", log, found) == 0
    assert "answer      explicit  bad" in capsys.readouterr().out
    assert run("aggregate", found, made, "--method", "waterfall") == 0
    shown = capsys.readouterr().out
    assert "targets in 3 dialogues" in shown
    assert "dialogue  answer         bad       1     0%         5%" in shown
    assert [d.id for d in Log([made])] == ["a", "b", "empty"]
    assert outcomes(made)["b"] == "failure"
    answered = tmp_path / "answered.jsonl"
    assert run("aggregate", found, answered, "--answers") == 0
    assert [a.labels[0].name for d in Log([answered]) for a in d.annotations if a.annotator == "user"] == ["bad"]
    implicit = tmp_path / "implicit.jsonl"
    assert run("aggregate", found, implicit, "--implicit-only", "--method", "waterfall") == 0
    assert outcomes(implicit)["b"] == "success"
    explicit = tmp_path / "explicit.jsonl"
    assert run("aggregate", found, explicit, "--explicit-only", "--method", "waterfall") == 0
    assert outcomes(explicit) == {"b": "failure"}


def test_aggregate_with_em_prints_the_rates(log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found, made = tmp_path / "signals.jsonl", tmp_path / "targets.jsonl"
    run("signals", log, found)
    capsys.readouterr()
    assert run("aggregate", found, made) == 0
    shown = capsys.readouterr().out
    assert "log-odds" in shown
    assert "em takes" in shown
    targets = [t for d in Log([made]) for t in d.targets if t.task != "goals"]
    assert all(t.origin.startswith(("em: content ", "confirmed hypothesis; em", "failed")) for t in targets)
    assert outcomes(made)["b"] == "failure"
    assert run("aggregate", log, tmp_path / "none.jsonl") == 3


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("-", "out.jsonl"), "standard input"),
        (("log.jsonl", "out.jsonl", "--explicit-only", "--implicit-only"), "exclude each other"),
    ],
)
def test_aggregate_with_unfit_options_fails_with_a_message(
    words: tuple[str, ...], said: str, log: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(log.parent)
    assert run("aggregate", *words) == 2
    assert said in capsys.readouterr().err
    assert not Path("out.jsonl").exists()


def test_em_on_a_log_where_everybody_says_yes_believes_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log, found = tmp_path / "log.jsonl", tmp_path / "signals.jsonl"
    said = (Feedback(kind="answer", answer="yes"),)
    write_log(log, [talk("play haze", "Playing.", id=f"d{k}", feedback=said) for k in range(20)])
    assert run("signals", log, found) == 0
    assert run("aggregate", found, tmp_path / "em.jsonl") == 0
    told = [dict(t.distribution or ()) for d in Log([tmp_path / "em.jsonl"]) for t in d.targets if t.task == "outcome"]
    assert len(told) == 20
    assert all(outcome["success"] > 0.9 for outcome in told)
    fair = (Feedback(kind="rating", rating=3, scale=(1, 5)),)
    write_log(log, [talk("play haze", "Playing.", id="d", feedback=fair)], force=True)
    assert run("signals", log, found, "--force") == 0
    capsys.readouterr()
    assert run("aggregate", found, tmp_path / "em.jsonl", "--force") == 0
    assert "nothing to learn" in capsys.readouterr().out


def test_explain_shows_every_target_of_a_dialogue(
    log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found, made = tmp_path / "signals.jsonl", tmp_path / "targets.jsonl"
    run("signals", log, found)
    run("aggregate", found, made, "--method", "waterfall")
    targets = {d.id: d.targets for d in Log([made])}
    capsys.readouterr()
    for name in ("a", "b"):
        assert run("explain", log, name, "--width", 200) == 0
        raw = capsys.readouterr().out
        assert run("explain", found, name, "--width", 200) == 0
        assert capsys.readouterr().out == raw
        drawn, explained = raw.split("\n\n")
        assert "⚐ gratitude good" in drawn
        assert all(target.origin in explained for target in targets[name])
        assert explained.count(" · weight ") == len(targets[name])
    assert "went well 0.05" in explained


def test_explain_an_unknown_dialogue_fails_and_names_it(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("explain", log, "elsewhere") == 2
    told = capsys.readouterr().err
    assert "no dialogue elsewhere" in told
    assert f"labelgen show {log}" in told
