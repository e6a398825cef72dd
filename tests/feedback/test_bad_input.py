"""Detectors on invalid logs: no crash, linear cost, and clear messages."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from heard import dialogues, feedbacks, talk
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from labelgen.cli.main import main
from labelgen.data.dialogue import Dialogue, Feedback, Step, Turn
from labelgen.data.log import Log, write_log
from labelgen.feedback.detectors import DETECTORS
from labelgen.feedback.items import rules
from labelgen.feedback.signal import detector, find_signals
from labelgen.feedback.targets import feedback_targets

NOWHERE = Feedback(kind="stop", about=7)


@given(dialogues(), feedbacks(0), st.integers(6, 99) | st.integers(-99, -1))
def test_feedback_about_a_missing_turn_gives_no_signal(dialogue: Dialogue, told: Feedback, about: int) -> None:
    lost = replace(told, about=about)
    after = replace(dialogue, feedback=(*dialogue.feedback, lost))
    signals = find_signals(after)
    assert signals == find_signals(dialogue)
    assert feedback_targets(after, signals, rules()) == feedback_targets(dialogue, signals, rules())


def test_feedback_about_a_missing_turn_is_rejected_when_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log, bad, out = tmp_path / "log.jsonl", tmp_path / "bad.jsonl", tmp_path / "out.jsonl"
    write_log(log, [talk("a", "b", feedback=(NOWHERE,)), talk("play haze", "I don't know.", "never mind", id="e")])
    words = ["feedback", "signals", str(log), str(out), "--quarantine", str(bad), "--max-bad-rate", "0.5"]
    assert main(words) == 0
    assert "no_such_turn 1" in capsys.readouterr().err
    assert "feedback[0].about" in bad.read_text()
    assert [d.id for d in Log([out])] == ["e"]


@given(dialogues(), st.floats(0.01, 100.0))
def test_clocks_that_run_backwards_are_ignored(dialogue: Dialogue, step_s: float) -> None:
    times = [step_s * k for k in range(2 * len(dialogue.turns), 0, -1)]
    backwards = tuple(
        replace(turn, time_s=times[2 * t], response_time_s=times[2 * t + 1]) for t, turn in enumerate(dialogue.turns)
    )
    timeless = tuple(replace(turn, time_s=None, response_time_s=None) for turn in dialogue.turns)
    assert find_signals(replace(dialogue, turns=backwards)) == find_signals(replace(dialogue, turns=timeless))


class Counted(tuple[Turn, ...]):
    """Turns that count how often one of them is looked at."""

    looks = 0

    def __iter__(self) -> Iterator[Turn]:
        for turn in super().__iter__():
            self.looks += 1
            yield turn

    def __getitem__(self, at: Any) -> Any:
        self.looks += len(range(*at.indices(len(self)))) if isinstance(at, slice) else 1
        return super().__getitem__(at)


TAUGHT = "thanks. Remember that I live here. No, my name is Ann. I always want tea"


def endless(requests: int) -> Dialogue:
    """One user who asks, repeats, corrects, stops, thanks, answers, rates and moves on without end."""
    asked = talk("play the purple haze", "Playing Rain.", "play that purple haze", "Sorry, I didn't get that.")
    left = talk(
        "no, I meant haze", "I don't know.", "never mind", "Ok.", TAUGHT, "Welcome.", "a timer", "For how long?"
    )
    pattern = (*asked.turns, *left.turns)
    kinds = ("barge_in", "disconnect", "answer", "rating", "questionnaire", "regenerate", "retry", "edit", "copy")
    told = tuple(Feedback(kind=kind, answer="no", rating=1) for kind in kinds)
    failed = (Step(kind="tool", name="player", error="offline"),)
    turns = [
        replace(
            pattern[t % 6],
            domain=f"d{t // 3}",
            time_s=9.0 * t,
            feedback=told[t % 13 :][:1],
            asr_confidence=0.5,
            steps=failed[t % 5 :],
        )
        for t in range(requests)
    ]
    return Dialogue(id="endless", turns=Counted(turns), feedback=(Feedback(kind="rating", rating=1),))


@pytest.mark.parametrize("kind", [kind for kind in DETECTORS if not hasattr(detector(kind), "detect_all")])
def test_detector_cost_grows_linearly_with_turns(kind: str) -> None:
    looks = []
    for requests in (5_000, 10_000):
        dialogue = endless(requests)
        assert find_signals(dialogue, [kind])
        assert isinstance(dialogue.turns, Counted)
        looks.append(dialogue.turns.looks)
    assert 5_000 <= looks[0] <= looks[1] <= 2 * looks[0] + 10
