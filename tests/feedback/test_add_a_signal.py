"""Detection, aggregation and masking know an installed detector."""

from pathlib import Path

import pytest
from heard import talk
from plugins import install

from labelgen.base.errors import UsageError
from labelgen.data.labels import AtTurn
from labelgen.feedback.detectors import DETECTORS
from labelgen.feedback.masking import mask
from labelgen.feedback.posterior import waterfall
from labelgen.feedback.signal import find_signals
from labelgen.feedback.targets import feedback_targets


def test_detector_installed_as_a_plug_in_is_found_aggregated_and_masked(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    dialogue = talk("play haze", "Playing Rain.", "sigh", "Well.")
    assert find_signals(dialogue) == ()
    install(monkeypatch, tmp_path / "site", "labelgen.detectors", "sigh", "toy_detector")
    assert list(DETECTORS)[-1] == "sigh"
    signals = find_signals(dialogue)
    assert [(s.kind, s.turns) for s in signals] == [("sigh", (0,))]
    quality = next(t for t in feedback_targets(dialogue, signals, waterfall) if t.at == AtTurn(0))
    assert "sigh at turn 1" in quality.origin
    hidden = mask(dialogue, signals)
    assert [t.request for t in hidden.turns] == ["play haze", ""]
    assert [t.response for t in hidden.turns] == ["Playing Rain.", "Well."]


def test_find_signals_of_an_unknown_kind_raises_and_names_the_nearest() -> None:
    with pytest.raises(UsageError, match="gratitude"):
        find_signals(talk("a", "b"), ["gratitud"])
