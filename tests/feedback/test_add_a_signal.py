"""Detection, aggregation and masking know an installed detector."""

import sys
from pathlib import Path

import pytest
from heard import talk
from msgspec.structs import replace
from plugins import install

from labelgen.base.errors import UsageError
from labelgen.data.labels import AtTurn
from labelgen.feedback.detectors import DETECTORS
from labelgen.feedback.items import FeedbackItem, rules, waterfall
from labelgen.feedback.signal import Reliability, find_signals, mask, reliability
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
    quality = next(t for t in feedback_targets(dialogue, signals, rules()) if t.at == AtTurn(0))
    assert "sigh at turn 1" in quality.origin
    assert reliability("sigh") == Reliability({"bad": 0.9}, "visible failure", True)
    told = waterfall(FeedbackItem(dialogue, AtTurn(0), (replace(signals[0], strength=1.0),)))
    assert told is not None
    assert told.good == pytest.approx(0.1)
    hidden = mask(dialogue, signals)
    assert [t.request for t in hidden.turns] == ["play haze", ""]
    assert [t.response for t in hidden.turns] == ["Playing Rain.", "Well."]


@pytest.mark.parametrize("declared", [{"bad": 0.4}, {"bad": 1.0}, {"fair": 0.8}, {}])
def test_detector_that_declares_an_impossible_precision_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, declared: dict[str, float]
) -> None:
    (tmp_path / "odd_detector.py").write_text(f"EVIDENCE = ()\nPRECISION = {declared}\n")
    install(monkeypatch, tmp_path / "site", "labelgen.detectors", "odd", "odd_detector", "odd")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "odd_detector", raising=False)
    with pytest.raises(UsageError, match="odd"):
        reliability("odd")
