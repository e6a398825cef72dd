"""Tables of signals, against counting by hand and a naive reference."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from heard import talk
from sklearn.metrics import average_precision_score

from benchmarks.results import Result
from benchmarks.signals import measure
from labelgen.base.errors import InputError
from labelgen.data.dialogue import Dialogue
from labelgen.data.labels import Annotation, AtGoal, AtTurn, Label
from labelgen.data.log import write_log
from labelgen.feedback.items import FeedbackItem, waterfall
from labelgen.feedback.signal import signals_of
from labelgen.simulator.log import simulate


def judged(name: str, lines: Sequence[str], ratings: Sequence[float], outcome: str) -> Dialogue:
    goal = AtGoal(tuple(range(len(ratings))))
    labels = [Label("goals", goal, "goal"), Label("outcome", goal, outcome)]
    labels += [Label("quality", AtTurn(t), "bad" if r < 3 else "good", value=r) for t, r in enumerate(ratings)]
    return talk(*lines, id=name, annotations=(Annotation("truth", "truth", tuple(labels)),))


LOG = [
    judged("a", ("play haze", "Playing.", "thanks", "Welcome."), (5.0, 5.0), "success"),
    judged("b", ("play haze", "Playing Rain.", "thanks", "Welcome."), (1.0, 5.0), "success"),
    judged("c", ("play haze", "I don't know it.", "never mind", "Ok."), (2.0, 4.0), "failure"),
    judged("d", ("rain?", "No."), (4.0,), "success"),
]


def rows(made: Sequence[Result]) -> dict[tuple[str, str, str], Result]:
    return {(r.task, r.system, r.metric): r for r in made}


def test_rows_of_signals_equal_counting_by_hand(tmp_path: Path):
    write_log(tmp_path / "log.jsonl", LOG)
    found = rows(measure([tmp_path / "log.jsonl"], "labelgen", "truth", "C"))

    def numbers(task: str, system: str, vote: str) -> tuple[object, ...]:
        precision, recall = (found[task, system, f"{vote}_{metric}"] for metric in ("precision", "recall"))
        return precision.n, precision.value, found[task, "base rate", f"{vote}_precision"].value, recall.value

    assert numbers("quality", "gratitude", "good") == (2, 0.5, round(5 / 7, 4), 0.2)
    assert numbers("quality", "stop", "bad") == (1, 1.0, round(2 / 7, 4), 0.5)
    assert numbers("outcome", "stop", "bad") == (1, 1.0, 0.25, 1.0)
    assert numbers("outcome", "gratitude", "good") == (2, 1.0, 0.75, round(2 / 3, 4))
    assert ("quality", "rating", "good_precision") not in found
    without = rows(measure([tmp_path / "log.jsonl"], "labelgen", "truth", "C", ["gratitude"]))
    assert ("quality", "gratitude", "good_precision") not in without
    key = ("quality", "waterfall, all", "bad_precision")
    assert found[key] == without[key]


def test_rows_of_aggregation_equal_a_naive_reference(tmp_path: Path):
    write_log(tmp_path / "log.jsonl", simulate(60, seed=5))
    found = rows(measure([tmp_path / "log.jsonl"], "labelgen", "truth", "C"))
    bad, scores = [], []
    for dialogue in simulate(60, seed=5):
        (signals,) = signals_of([dialogue])
        for label in dialogue.annotation("truth").labels:  # type: ignore[union-attr]
            if label.task == "quality" and isinstance(label.at, AtTurn):
                whole = len(dialogue.turns) > 1
                own = [
                    s
                    for s in signals
                    if label.at.turn in s.turns and not (whole and len(s.turns) == len(dialogue.turns))
                ]
                posterior = waterfall(FeedbackItem(dialogue, label.at, tuple(own)))
                bad.append(label.value < 3)  # type: ignore[operator]
                scores.append(0.5 if posterior is None else 1.0 - posterior.good)
    leaning = np.array(scores) > 0.5
    precision, recall, curve = (
        found["quality", "waterfall, all", m] for m in ("bad_precision", "bad_recall", "bad_auprc")
    )
    assert precision.n == leaning.sum()
    assert precision.value == pytest.approx(np.array(bad)[leaning].mean(), abs=1e-4)
    assert recall.value == pytest.approx(leaning[np.array(bad)].mean(), abs=1e-4)
    assert curve.value == pytest.approx(average_precision_score(bad, scores), abs=1e-4)
    assert curve.low is not None
    assert curve.value is not None
    assert curve.high is not None
    assert curve.low < curve.value < curve.high


def test_a_log_without_the_annotations_is_refused(tmp_path: Path):
    log = tmp_path / "log.jsonl"
    write_log(log, [talk("rain?", "No.")])
    with pytest.raises(InputError, match="no annotation of kind truth"):
        measure([log], "labelgen", "truth", "C")
    write_log(log, [judged("quiet", ("rain?", "No."), (4.0,), "success")], force=True)
    assert measure([log], "labelgen", "truth", "C") == [], "no signal votes"
