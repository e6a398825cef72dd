"""Is a log like the dialogues that a model was calibrated on? Independent dialogues of both are compared by confidence/two_sample.py.

At most one dialogue of a user counts, because dialogues of one user depend on each other. Labels are compared by the model's errors, its
log loss, its overconfidence and the shares of names, on dialogues that the reference annotator answered."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np

from labelgen.confidence.two_sample import Aspect, Row, Sample
from labelgen.data.dialogue import Dialogue
from labelgen.data.labels import UNIT_OF, Annotation, Threshold
from labelgen.data.split import position, user_key
from labelgen.evaluation.calibrate import Answer, answers_of, parts_of, scaled_answer
from labelgen.metrics.results import DriftTest, Setting, VoidCertificate
from labelgen.model.calibration import ByField, score
from labelgen.model.label_model import LabelModel
from labelgen.model.reference import input_rows, prediction_rows, sample_of, scored_tasks
from labelgen.tasks.evaluation import EvaluationTask

MOST = 400
"""Dialogues of a source that are compared. More would make differences significant that are too small to matter."""
_PURPOSE = "drift"


class Draw:
    """At most MOST dialogues of each source, drawn by a stable hash, at most one of a user; in one pass, in bounded memory."""

    def __init__(self, dialogues: Iterable[Dialogue] = ()) -> None:
        self._kept: defaultdict[str | None, dict[str, _Drawn]] = defaultdict(dict)
        for dialogue in dialogues:
            self.add(dialogue)

    def add(self, dialogue: Dialogue) -> None:
        """Offer a dialogue."""
        own = self._kept[dialogue.source]
        key = user_key(dialogue)
        new = position(0, f"{_PURPOSE} {key}"), position(0, f"{_PURPOSE} {dialogue.id}"), dialogue
        own[key] = min(own.get(key, new), new, key=_rank)
        if len(own) > 2 * MOST:
            self._kept[dialogue.source] = _first(own)

    def dialogues(self) -> list[Dialogue]:
        """Those that were drawn, by source."""
        return [dialogue for own in self._kept.values() for _, _, dialogue in _first(own).values()]


_Drawn = tuple[float, float, Dialogue]


def _rank(drawn: _Drawn) -> tuple[float, float]:
    return drawn[:2]


def _first(own: Mapping[str, _Drawn]) -> dict[str, _Drawn]:
    """The users with the smallest hashes; whoever is dropped is never among them again."""
    return dict(sorted(own.items(), key=lambda item: _rank(item[1]))[:MOST])


def sample(
    model: LabelModel,
    dialogues: Sequence[Dialogue],
    labeled: Sequence[Dialogue],
    tasks: Sequence[EvaluationTask],
    annotator: str,
    reference: str,
    calibrated: ByField,
) -> Sample:
    """All aspects of dialogues with the model's annotations as they are without calibration.

    Args:
        dialogues: independent ones, of which inputs and predictions count.
        labeled: independent ones, of which labels count where the reference answers.
        annotator: of the model.
        calibrated: the model's calibration."""
    names = scored_tasks(model)
    inputs = {d.id: row for d, row in zip(dialogues, input_rows(model, dialogues), strict=True)}
    by_labels = {d.id for d in labeled}
    every = list({d.id: d for d in (*dialogues, *labeled)}.values())

    def rows() -> Iterator[dict[Aspect, Row]]:
        for dialogue in every:
            row = dict(inputs.get(dialogue.id, {}))
            predicted = dialogue.annotation(annotator)
            if predicted is not None and dialogue.id in inputs:
                row |= prediction_rows(predicted, calibrated, names, dialogue.source)
            if predicted is not None and dialogue.id in by_labels:
                row |= _label_rows(predicted, dialogue, reference, tasks, calibrated)
            yield row

    return sample_of(every, rows())


def reference_sample(
    model: LabelModel,
    dialogues: Sequence[Dialogue],
    tasks: Sequence[EvaluationTask],
    annotator: str,
    setting: Setting,
    calibrated: ByField,
    labels: bool = True,
) -> Sample:
    """The sample that a calibrated model keeps: of the part of the dialogues that no scaling was fitted on.

    labels: whether labels are compared; not where the scaling was fitted on all dialogues, because errors are too few there."""
    chosen = Draw(dialogues[k] for k in parts_of(dialogues, setting.seed)["certify"]).dialogues()
    return sample(model, chosen, chosen if labels else (), tasks, annotator, setting.reference, calibrated)


def void_certificates(thresholds: Sequence[Threshold], tests: Sequence[DriftTest]) -> list[VoidCertificate]:
    """The certificates whose assumption is rejected: that inputs, and the task's predictions and labels, are like those that
    certified it."""
    found = []
    for one in thresholds:
        why = [x for x in tests if x.drifted and (not x.task or (x.task, x.unit) == (one.task, one.unit))]
        if why:
            first = min(why, key=lambda x: x.p_adjusted)
            source = f" of {first.source}" if first.source else ""
            reason = f"{described(first)}{source}: not as in calibration (p = {first.p_adjusted:.2g})"
            if len(why) > 1:
                reason += f"; {len(why) - 1} more differences"
            found.append(VoidCertificate(task=one.task, unit=one.unit or "", reason=reason))
    return found


def described(test: DriftTest) -> str:
    """What a test compares, in words."""
    return f"{test.kind}: {test.name}" + (f" of {test.task} ({test.unit})" if test.task else "")


def _label_rows(
    predicted: Annotation, dialogue: Dialogue, reference: str, tasks: Sequence[EvaluationTask], calibrated: ByField
) -> dict[Aspect, Row]:
    rows: dict[Aspect, Row] = {}
    for task in tasks:
        key = task.tasks[0], UNIT_OF[task.scopes[0]]
        one = calibrated.get(key)
        raw = answers_of(0, predicted, dialogue.annotation(reference), task)
        answers = raw if one is None else [scaled_answer(x, one.scaling(dialogue.source)) for x in raw]
        if not answers:
            continue
        sure = [
            (score(x.labels) if x.labels else x.none if one is None or x.none is None else one.none.of(x.none), x.right)
            for x in answers
        ]
        rows[Aspect("labels", "right", *key)] = {"share": float(np.mean([x.right for x in answers]))}
        if gaps := [p - right for p, right in sure if p is not None]:
            rows[Aspect("labels", "overconfidence", *key)] = {"mean": float(np.mean(gaps))}
        if nats := [loss for x in answers if (loss := _log_loss(x)) is not None]:
            rows[Aspect("labels", "log loss", *key)] = {"mean": float(np.mean(nats))}
        names = [name for x in answers for name in x.wanted]
        shares: dict[str, float] = defaultdict(float)
        for name in names:
            shares[name] += 1 / len(answers)
        rows[Aspect("labels", "names", *key)] = dict(shares)
    return rows


def _log_loss(answer: Answer) -> float | None:
    """Of an exclusive task: of the right name, in nats."""
    if not answer.labels or answer.labels[0].distribution is None or not answer.wanted:
        return None
    p = dict(answer.labels[0].distribution).get(answer.wanted[0])
    return None if p is None else float(-np.log(max(p, 1e-6)))
