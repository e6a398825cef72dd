"""The curve over the number of answers: it learns from those that it may see alone, and ranks the others."""

from pathlib import Path
from random import Random

import numpy as np
import pytest
from heard import talk
from msgspec.structs import replace

from labelgen.cli.main import main
from labelgen.data.dialogue import Dialogue, Feedback
from labelgen.data.labels import AtDialogue
from labelgen.data.log import write_log
from labelgen.feedback.items import FeedbackItem, items_of
from labelgen.feedback.signal import find_signals
from labelgen.verdicts.curve import _OFFSET, LEAST_JUDGED, NEXT, _gain, answer_curves
from labelgen.verdicts.estimate import LogFit


def rated(count: int, flipped: frozenset[int] = frozenset()) -> list[Dialogue]:
    """Dialogues whose users rate what they got: trains mostly fail."""
    rng, made = Random(0), []
    for k in range(count):
        about, city = rng.choice(("trains", "rooms", "tables")), rng.choice(("Rome", "Oslo", "Graz"))
        good = (rng.random() < (0.2 if about == "trains" else 0.9)) != (k in flipped)
        rating = Feedback(kind="rating", rating=float(good), scale=(0.0, 1.0))
        lines = (f"find {about} in {city}", f"Here are {about} near {city}.")
        made.append(talk(*lines, id=f"d{k:03}", user=f"u{k % 50}", feedback=(rating,)))
    return made


def whole(log: list[Dialogue]) -> list[FeedbackItem]:
    return [item for d in log for item in items_of(d, find_signals(d)) if item.at == AtDialogue()]


def test_ranks_do_not_depend_on_answers_that_are_hidden() -> None:
    kept = np.arange(120) < 40
    one, other = (LogFit(whole(rated(120, flipped))) for flipped in (frozenset(), frozenset(range(40, 120))))
    assert (one.ranked(kept) == other.ranked(kept)).all()
    seen = LogFit(whole(rated(120, frozenset(range(20)))))
    assert not (one.ranked(kept) == seen.ranked(kept)).all()


def test_without_answers_ranks_are_those_of_a_log_without_answers() -> None:
    log = rated(80)
    silent = [replace(d, feedback=()) for d in log]
    none = np.zeros(80, bool)
    assert (LogFit(whole(log)).ranked(none) == LogFit(whole(silent)).ranked(none)).all()


def test_answers_that_content_explains_make_the_curve_rise() -> None:
    (curve,) = answer_curves(whole(rated(200)))
    assert (curve.unit, curve.answers, curve.users) == ("dialogue", 200, 50)
    assert curve.sizes == (0, 25, 50, 100)
    assert all(200 - size >= LEAST_JUDGED for size in curve.sizes)
    first, last = curve.areas[0], curve.areas[-1]
    assert first.value is not None
    assert last.value is not None
    assert last.value > first.value + 0.1
    assert curve.gain.value is not None
    assert 0.0 <= curve.gain.value <= 1.0 - last.value


@pytest.mark.parametrize("count", [0, LEAST_JUDGED])
def test_too_few_answers_are_refused(count: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_log(tmp_path / "log.jsonl", rated(count) or [talk("hi", "Hello.", id="d")])
    assert main(["feedback", "curve", str(tmp_path / "log.jsonl")]) == 3
    assert "ask more users" in capsys.readouterr().err


def test_command_draws_a_page_with_every_point(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log, page = tmp_path / "log.jsonl", tmp_path / "curve.html"
    write_log(log, rated(140))
    assert main(["feedback", "curve", str(log), "--page", str(page)]) == 0
    told = capsys.readouterr().out
    assert f"{NEXT} more answers" in told
    assert page.read_text().count("<circle") == told.count(" to ") - told.count("more answers")


def test_gain_is_what_the_fitted_curve_still_rises() -> None:
    sizes = (0, 25, 50, 100, 200)
    areas = np.array([0.5, *(0.9 - 0.8 / np.sqrt(np.array(sizes[1:]) + _OFFSET))])
    found = _gain(sizes, 300, areas, np.tile(areas[:, None], (1, 10))).value
    wanted = 0.8 / np.sqrt(300 + _OFFSET) - 0.8 / np.sqrt(300 + NEXT + _OFFSET)
    assert found == pytest.approx(wanted)
