"""Calibrated probabilities and certified thresholds from judged answers.

Scalings are fitted on one part of the dialogues and chosen on a second (weights of names use both); thresholds are planned on the
second part and certified on a third (Learn-then-Test). No dialogue is in two parts, nor any user.

Is a log like the dialogues that a model was calibrated on? Independent dialogues of both are compared by confidence/two_sample.py.

At most one dialogue of a user counts, because dialogues of one user depend on each other. Labels are compared by the model's errors, its
log loss, its overconfidence and the shares of names, on dialogues that the reference annotator answered.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from labelgen.confidence.certificate import Certificate, Scored, certify, plan, too_few
from labelgen.confidence.resampling import of_statistic, resamples
from labelgen.confidence.scaling import (
    SPREAD,
    Adaptation,
    Scaling,
    adapt,
    adapt_events,
    fit_isotonic,
    fit_temperature,
    fit_weights,
    log_loss,
    weights_by_source,
)
from labelgen.confidence.two_sample import Aspect, Row, Sample
from labelgen.data.dialogue import Dialogue
from labelgen.data.labels import UNIT_OF, Annotation, At, AtGoal, Label, Threshold, on_turns
from labelgen.data.split import Part, part_of, position, user_key
from labelgen.metrics.metric import divide
from labelgen.metrics.results import DriftTest, Setting, VoidCertificate
from labelgen.metrics.sets import identity, same
from labelgen.model.calibration import ByField, TaskCalibration, scaled_label, score
from labelgen.model.label_model import LabelModel
from labelgen.model.reference import input_rows, prediction_rows, sample_of, scored_tasks
from labelgen.tasks.evaluation import EvaluationTask, answered

PURPOSE = "calibrate"
"""Divides otherwise than `labelgen data split` does, which has often made the log."""
PARTS = (Part("scale", 0.25), Part("choose", 0.25), Part("certify", 0.5))
WHOLE = (Part("scale", 0.5), Part("choose", 0.5))
"""The parts of a log of which nothing is kept for thresholds."""


Decide = Literal["most_probable", "macro_f1"]
"""Which name is predicted where exactly one holds: the most probable, or by weights that maximize macro F1."""


@dataclass(frozen=True, slots=True)
class Answer:
    """place: the position of its dialogue. at: its field. labels: with the probabilities of the model, empty where it
    predicted "none here", and then `none` is the probability of that. holds: of each label, whether it is right. wanted: the reference's names."""

    place: int
    at: At
    labels: tuple[Label, ...]
    none: float | None
    right: bool
    holds: tuple[bool, ...]
    wanted: tuple[str, ...]


def scale_tasks(
    dialogues: Sequence[Dialogue],
    tasks: Sequence[EvaluationTask],
    model: str,
    setting: Setting,
    decide: Decide = "most_probable",
    whole: bool = False,
) -> list[TaskCalibration]:
    """The scaling of each task's probabilities, without thresholds. dialogues: with the annotations of the model, as it is without
    calibration, and of the reference. The part "certify" of the dialogues is not read, unless the whole log is used."""
    parts, calibrations = parts_of(dialogues, setting.seed, WHOLE if whole else PARTS), []
    for task in tasks:
        answers = {
            name: _answers(dialogues, parts[name], task, model, setting.reference) for name in ("scale", "choose")
        }
        labels, none = _scalings(answers["scale"], answers["choose"])
        sources: dict[str, tuple[float, ...]] = {}
        if decide == "macro_f1":
            weights, sources = _weights(dialogues, [*answers["scale"], *answers["choose"]], labels)
            labels = replace(labels, weights=weights)
        measured = {
            "dialogues": {name: len(parts[name]) for name in answers},
            "answers": sum(map(len, answers.values())),
        }
        calibrations.append(
            TaskCalibration(
                task=task.tasks[0],
                unit=UNIT_OF[task.scopes[0]],
                labels=labels,
                none=none,
                measured=measured,
                sources=sources,
            )
        )
    return calibrations


def certify_tasks(
    dialogues: Sequence[Dialogue],
    tasks: Sequence[EvaluationTask],
    model: str,
    setting: Setting,
    scaled: Sequence[TaskCalibration],
    max_error: float,
    confidence: float,
) -> list[TaskCalibration]:
    """The lowest threshold of each task above which at most `max_error` of its labels is wrong, with this confidence. dialogues: as in
    scale_tasks; their part "scale" is not read. scaled: the scalings of the model, where it has some.

    The division into goals comes first: answers about goals are certified on the goals above their threshold. Labels with an idle name of their
    task are not counted: there are many, and mostly right, so errors of the others would hide among them."""
    parts = parts_of(dialogues, setting.seed)
    known = {(one.task, one.unit): one for one in scaled}
    kept: frozenset[tuple[int, At]] | None = None
    calibrations = {}
    for task in sorted(tasks, key=lambda one: not one.divides):
        key = task.tasks[0], UNIT_OF[task.scopes[0]]
        one = known.get(key) or TaskCalibration(task=key[0], unit=key[1], labels=Scaling(), none=Scaling(), measured={})
        one = replace(one, idle=task.idle)
        answers: dict[str, list[Answer]] = {}
        for name in ("choose", "certify"):
            of_part = _of_kept_goals(_answers(dialogues, parts[name], task, model, setting.reference), kept)
            # As a model that abstains has them, or the certificate would be of another rule.
            as_labeled = (scaled_answer(x, one.scaling(dialogues[x.place].source)) for x in of_part)
            answers[name] = [x for x in as_labeled if not x.labels or any(y.name not in task.idle for y in x.labels)]
        certificate, accepts = _certified(dialogues, parts, answers, task, one, max_error, confidence)
        if task.divides and certificate.threshold is not None:
            kept = frozenset(
                (x.place, x.labels[0].at) for part in answers.values() for x in part if x.labels and accepts(x)
            )
        measured = _measured(dialogues, parts["certify"], answers["certify"], accepts, setting)
        counts = {name: len(places) for name, places in parts.items()}
        calibrations[task.name] = replace(one, certificate=certificate, measured={"dialogues": counts, **measured})
    return [calibrations[task.name] for task in tasks]


def adapt_tasks(
    dialogues: Sequence[Dialogue],
    tasks: Sequence[EvaluationTask],
    model: str,
    setting: Setting,
    scaled: Sequence[TaskCalibration],
    unlabeled: Sequence[Dialogue] = (),
) -> list[tuple[TaskCalibration, Adaptation | None]]:
    """The calibration of each task, adapted to labeled dialogues of a new log, without certificates; with what was fitted, None for a
    task without an answer in these dialogues.

    Args:
        dialogues: independent ones, with the annotations of the model, as it is without calibration, and of the reference.
        scaled: the calibration of the model.
        unlabeled: other dialogues of the new log, with the annotations of the model as well."""
    places = range(len(dialogues))
    of_task = {(task.tasks[0], UNIT_OF[task.scopes[0]]): task for task in tasks}
    adapted: list[tuple[TaskCalibration, Adaptation | None]] = []
    for one in scaled:
        task = of_task.get((one.task, one.unit))
        answers = [] if task is None else _answers(dialogues, places, task, model, setting.reference)
        fit = _adapted(one.labels, answers, _distributions(unlabeled, model, one))
        if fit is None:
            adapted.append((replace(one, certificate=None, measured={}), None))
            continue
        measured = {"dialogues": fit.dialogues, "gain": fit.gain, "error": fit.error, "adapted": fit.adapted}
        # Weights of the sources of the calibration do not fit the new log.
        sources = {} if fit.adapted else one.sources
        adapted.append((replace(one, labels=fit.scaling, sources=sources, certificate=None, measured=measured), fit))
    return adapted


def _distributions(dialogues: Sequence[Dialogue], model: str, one: TaskCalibration) -> list[list[float]]:
    """Those of the model's labels of a task, of which exactly one name holds."""
    annotations = (dialogue.annotation(model) for dialogue in dialogues)
    return [
        [p for _, p in label.distribution]
        for annotation in annotations
        for label in (() if annotation is None else annotation.labels)
        if (label.task, UNIT_OF[type(label.at)]) == (one.task, one.unit) and label.distribution is not None
    ]


def _adapted(scaling: Scaling, answers: Sequence[Answer], others: Sequence[Sequence[float]]) -> Adaptation | None:
    if any(label.distribution is not None for x in answers for label in x.labels):
        rows = [(x.place, row) for x in answers for row in _of_one_name([x])]
        return adapt(
            scaling,
            [list(distribution.values()) for _, (distribution, _) in rows],
            [[*distribution].index(name) for _, (distribution, name) in rows],
            [place for place, _ in rows],
            others,
        )
    probabilities, holds = _events(answers)
    places = [x.place for x in answers for label in x.labels if label.probability is not None]
    return adapt_events(scaling, probabilities, holds, places) if places else None


def parts_of(dialogues: Sequence[Dialogue], seed: int, parts: Sequence[Part] = PARTS) -> dict[str, list[int]]:
    return {
        part.name: [k for k, d in enumerate(dialogues) if part_of(d, parts, seed, PURPOSE) == part.name]
        for part in parts
    }


def _answers(
    dialogues: Sequence[Dialogue], places: Sequence[int], task: EvaluationTask, model: str, against: str
) -> list[Answer]:
    return [
        x for k in places for x in answers_of(k, dialogues[k].annotation(model), dialogues[k].annotation(against), task)
    ]


def _certified(
    dialogues: Sequence[Dialogue],
    parts: dict[str, list[int]],
    answers: dict[str, list[Answer]],
    task: EvaluationTask,
    one: TaskCalibration,
    max_error: float,
    confidence: float,
) -> tuple[Certificate, Callable[[Answer], bool]]:
    """The certificate, and a function: whether an answer is above its threshold."""

    def sure(x: Answer) -> float | None:
        if not x.labels:
            return None if x.none is None else one.none.of(x.none)
        return score(x.labels)

    def scored(part: str) -> Scored:
        place, names = _units(dialogues, parts[part])
        rows = [(place[x.place], p, float(not x.right)) for x in answers[part] if (p := sure(x)) is not None]
        table = np.asarray(rows, dtype=np.float64).reshape(-1, 3)
        return Scored(table[:, 0].astype(np.int64), table[:, 1], table[:, 2], names)

    certify_part = scored("certify")
    steps = plan(scored("choose"), certify_part.units, max_error, confidence)
    certificate = (
        certify(certify_part, steps, max_error, confidence, task.name)
        if steps
        else Certificate(threshold=None, reason=too_few(certify_part, max_error, confidence))
    )
    threshold = certificate.threshold

    def accepts(x: Answer) -> bool:
        p = sure(x)
        return threshold is None or (p is not None and p >= threshold)

    return certificate, accepts


def _units(dialogues: Sequence[Dialogue], places: Sequence[int]) -> tuple[dict[int, int], tuple[str, ...]]:
    """The number of the independent unit of each dialogue at these places, and the names of the units."""
    names: dict[str, int] = {}
    return {k: names.setdefault(user_key(dialogues[k]), len(names)) for k in places}, tuple(names)


def scaled_answer(x: Answer, scaling: Scaling) -> Answer:
    labels = tuple(scaled_label(label, scaling) for label in x.labels)
    if [label.name for label in labels] == [label.name for label in x.labels]:
        return replace(x, labels=labels)
    # Exactly one name holds here, and by the weights it is another one.
    right = (labels[0].name,) == x.wanted
    return replace(x, labels=labels, right=right, holds=(right,))


def _weights(
    dialogues: Sequence[Dialogue], answers: Sequence[Answer], scaling: Scaling
) -> tuple[tuple[float, ...], dict[str, tuple[float, ...]]]:
    """Weights of names that maximize macro F1, and those of each source."""
    known = [(rows[0], dialogues[x.place].source) for x in answers if (rows := _of_one_name([x]))]
    distributions = [scaling.of_all(list(p.values())) for (p, _), _ in known]
    right = [[*p].index(name) for (p, name), _ in known]
    weights = fit_weights(distributions, right)
    return weights, weights_by_source(distributions, right, [source for _, source in known], weights)


def _of_one_name(answers: Sequence[Answer]) -> list[tuple[dict[str, float], str]]:
    """The distribution of each answer of which exactly one name holds, and the reference's name; without those whose name
    the model cannot give."""
    rows = [
        (dict(x.labels[0].distribution), x.wanted[0])
        for x in answers
        if x.labels and x.labels[0].distribution is not None
    ]
    return [(p, name) for p, name in rows if name in p]


def _scalings(fitted: Sequence[Answer], judged: Sequence[Answer]) -> tuple[Scaling, Scaling]:
    """Scalings of labels and of "none here": fitted on one part, selected on the other."""
    none = _better(_none(fitted), _none(judged))
    if not any(x.labels and x.labels[0].distribution is not None for x in fitted):
        return _better(_events(fitted), _events(judged)), none
    return _better_of_one_name(_of_one_name(fitted), _of_one_name(judged)), none


def _better_of_one_name(
    fitted: Sequence[tuple[dict[str, float], str]], judged: Sequence[tuple[dict[str, float], str]]
) -> Scaling:
    """Temperature scaling or no change, whichever has the lower log loss; with few answers temperature scaling overfits."""
    temperature = fit_temperature(
        [list(p.values()) for p, _ in fitted], [[*p].index(name) for p, name in fitted], SPREAD
    )

    def nats(scaling: Scaling) -> float:
        right = [scaling.of_all(list(p.values()))[[*p].index(name)] for p, name in judged]
        return log_loss(Scaling(), right, [True] * len(right))

    return min((Scaling(), temperature), key=nats) if judged else temperature


Events = tuple[list[float], list[bool]]


def _events(answers: Sequence[Answer]) -> Events:
    pairs = [
        (label.probability, holds)
        for x in answers
        for label, holds in zip(x.labels, x.holds, strict=True)
        if label.probability is not None
    ]
    return [p for p, _ in pairs], [holds for _, holds in pairs]


def _none(answers: Sequence[Answer]) -> Events:
    pairs = [(x.none, x.right) for x in answers if not x.labels and x.none is not None]
    return [p for p, _ in pairs], [right for _, right in pairs]


def _better(fitted: Events, judged: Events) -> Scaling:
    kinds = [
        Scaling(),
        fit_temperature([(p, 1 - p) for p in fitted[0]], [0 if holds else 1 for holds in fitted[1]], SPREAD),
        fit_isotonic(*fitted),
    ]
    return min(kinds, key=lambda kind: log_loss(kind, *judged)) if judged[0] else kinds[1]


def _measured(
    dialogues: Sequence[Dialogue],
    places: Sequence[int],
    answers: Sequence[Answer],
    accepts: Callable[[Answer], bool],
    setting: Setting,
) -> dict[str, Any]:
    """Coverage and precision on the part that was certified on."""
    row, names = _units(dialogues, places)
    rows = np.zeros((len(names), 3))
    for x in answers:
        taken = accepts(x)
        rows[row[x.place]] += (1, taken, taken and x.right)
    times = resamples(len(names), setting.resamples, setting.seed)
    coverage = of_statistic(lambda t: divide(t @ rows[:, 1], t @ rows[:, 0]), times)
    precision = of_statistic(lambda t: divide(t @ rows[:, 2], t @ rows[:, 1]), times)
    return {
        "answers": int(rows[:, 0].sum()),
        "coverage": coverage.rounded(),
        "precision": precision.rounded(),
    }


def answers_of(
    place: int, annotation: Annotation | None, reference: Annotation | None, task: EvaluationTask
) -> list[Answer]:
    """All answers of one dialogue."""
    predicted, wanted = answered(annotation, task), answered(reference, task)
    if task.divides and reference is not None:
        predicted = {at: on_turns(goals, reference.covered_turns) for at, goals in predicted.items()}
    none = {} if annotation is None else {x.at: x.probability for x in annotation.none if x.task in task.tasks}
    out = []
    for at, labels in predicted.items():
        if at not in wanted:
            continue
        true = {identity(label) for label in wanted[at]}
        names = tuple(label.name for label in wanted[at])
        holds = tuple(identity(label) in true for label in labels)
        if task.divides and labels:
            out += [Answer(place, at, (x,), None, h, (h,), names) for x, h in zip(labels, holds, strict=True)]
        else:
            out.append(Answer(place, at, labels, none.get(at), same(labels, wanted[at]), holds, names))
    return out


def _of_kept_goals(answers: Sequence[Answer], kept: frozenset[tuple[int, At]] | None) -> list[Answer]:
    """The answers without those about goals that are themselves withheld. kept: (place, goal), None for all."""
    return [x for x in answers if kept is None or not isinstance(x.at, AtGoal) or (x.place, x.at) in kept]


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
