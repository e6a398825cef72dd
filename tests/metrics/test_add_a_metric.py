"""An installed metric is found by its name."""

from plugins import install

from labelgen.base.registry import resolve
from labelgen.data.labels import AtTurn, Label
from labelgen.metrics import METRICS
from labelgen.metrics.metric import Answered, Item, measure


def test_metric_installed_as_a_plug_in_is_resolved_and_measures(monkeypatch, tmp_path):
    assert "coverage" not in METRICS
    install(monkeypatch, tmp_path / "site", "labelgen.metrics", "coverage", "toy_metric:COVERAGE")
    assert list(METRICS)[-1] == "coverage"
    greetings: Answered = {AtTurn(t): (Label("intents", AtTurn(t), "Greet"),) for t in range(4)}
    item = Item(("hello",) * 4, greetings, {AtTurn(0): greetings[AtTurn(0)]})
    assert measure(resolve(METRICS, "coverage", "metric"), [item]) == 0.25
