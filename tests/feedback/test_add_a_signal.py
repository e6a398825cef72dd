"""Adding a signal: one file and one line; finding, aggregating and hiding then know it."""

import pytest
from heard import talk

from labelgen.base.errors import UsageError
from labelgen.data.labels import AtTurn
from labelgen.feedback.detectors import DETECTORS
from labelgen.feedback.hiding import hide
from labelgen.feedback.posterior import waterfall
from labelgen.feedback.signal import find_signals
from labelgen.feedback.targets import feedback_targets


def test_a_new_detector_is_found_aggregated_and_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    dialogue = talk("play haze", "Playing Rain.", "sigh", "Well.")
    assert find_signals(dialogue) == ()
    monkeypatch.setitem(DETECTORS, "sigh", "toy_detector:detect")
    signals = find_signals(dialogue)
    assert [(s.kind, s.turns) for s in signals] == [("sigh", (0,))]
    quality = next(t for t in feedback_targets(dialogue, signals, waterfall) if t.at == AtTurn(0))
    assert "sigh at turn 1" in quality.origin
    hidden = hide(dialogue, signals)
    assert [t.request for t in hidden.turns] == ["play haze", ""]
    assert [t.response for t in hidden.turns] == ["Playing Rain.", "Well."]


def test_an_unknown_kind_is_named_with_the_nearest() -> None:
    with pytest.raises(UsageError, match="gratitude"):
        find_signals(talk("a", "b"), ["gratitud"])
