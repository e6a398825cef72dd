"""Likely annotation errors: people's labels that a model contradicts with confidence.

Confident learning (Northcutt, Jiang, Chuang 2021, "Confident learning: estimating uncertainty in dataset labels"): the threshold of a class
is the mean probability that the model gives it where people gave it. A label is a likely error where another class reaches its own
threshold; labels are ranked by the normalized margin, the probability of the label less that of the other class. The probabilities have to
be out-of-sample, so dialogues that the model was trained on are left out.

A class is an answer to a field: a name, several names, or none. Spans are compared by their places. A division into goals is no class, so
goals are not compared, and outcomes only of goals that both have. Where a model gives no distribution over all names, a label that is not
its answer has at most one minus the probability of that answer, and this bound takes its place."""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from msgspec import structs

from labelgen.data.dialogue import Dialogue
from labelgen.data.labels import UNIT_OF, Annotation, At, AtSpan, Field, Label, answers, divides, tasks_of
from labelgen.data.tables import place_columns
from labelgen.review.sampling import model_annotation

COLUMNS = {
    "rank": "int64",
    "dialogue": "string",
    "task": "string",
    "unit": "string",
    "turns": "string",
    "turn": "int64",
    "start": "int64",
    "end": "int64",
    "text": "string",
    "annotator": "string",
    "label": "string",
    "suggested": "string",
    "suggested_start": "int64",
    "suggested_end": "int64",
    "probability": "float64",
    "suggested_probability": "float64",
    "threshold": "float64",
    "margin": "float64",
    "others": "int64",
    "others_same": "int64",
}
"""Columns of the table and their types in Arrow.

label, suggested: names, joined by " + " where several hold; absent for none. probability: of the label, or its bound. threshold: of the
suggested class. others: number of other people who answered the field; others_same: of those who gave the same answer."""

TRAINED_ON = "the model was trained on them"
NO_MODEL = "no annotation by the model"
"""Why dialogues are left out."""

_JOINT = " + "


@dataclass(frozen=True, slots=True)
class JudgedAnswer:
    """A person's answer to a field, or to a place of it, next to the model's.

    at: of the label. given: its name, None for none. probability: of the given name by the model. alternatives: other names with their
    probabilities, the most probable first; empty where the model's answer is the same. suggested_at: place of the alternative, where it is
    another span. others, same: people who answered the field, and those who answered the same."""

    dialogue: Dialogue
    task: str
    at: At
    annotator: str
    given: str | None
    probability: float
    alternatives: tuple[tuple[str | None, float], ...] = ()
    suggested_at: AtSpan | None = None
    others: int = 0
    same: int = 0


@dataclass(frozen=True, slots=True)
class LikelyError:
    """threshold: of the suggested class."""

    answer: JudgedAnswer
    suggested: str | None
    probability: float
    threshold: float

    @property
    def margin(self) -> float:
        """The normalized margin: negative where the model prefers the suggested name."""
        return self.answer.probability - self.probability

    def row(self, rank: int) -> dict[str, Any]:
        """The row of the table."""
        one = self.answer
        return {
            "rank": rank,
            "dialogue": one.dialogue.id,
            "task": one.task,
            "unit": UNIT_OF[type(one.at)],
            **place_columns(one.dialogue, one.at),
            "annotator": one.annotator,
            "label": one.given,
            "suggested": self.suggested,
            "suggested_start": one.suggested_at.start if one.suggested_at else None,
            "suggested_end": one.suggested_at.end if one.suggested_at else None,
            "probability": one.probability,
            "suggested_probability": self.probability,
            "threshold": self.threshold,
            "margin": self.margin,
            "others": one.others,
            "others_same": one.same,
        }


@dataclass(slots=True)
class ErrorSearch:
    """What was compared. answers: in the order of the log. left_out: dialogues by reason. unknown: number of dialogues of which the model's
    annotation does not say whether it was trained on them. without_probability: number of answers of the model that have none."""

    answers: list[JudgedAnswer] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)
    unknown: int = 0
    without_probability: int = 0

    def likely_errors(self) -> list[LikelyError]:
        """The likely errors of all tasks, the smallest margin first."""
        thresholds = class_thresholds(self.answers)
        errors = [error for one in self.answers if (error := thresholds.error(one)) is not None]
        return sorted(errors, key=lambda error: error.margin)

    def by_annotator(self, errors: Iterable[LikelyError]) -> list[dict[str, Any]]:
        """For each annotator and task the number of answers that were compared, and of likely errors."""
        compared = Counter((one.annotator, one.task) for one in self.answers)
        wrong = Counter((error.answer.annotator, error.answer.task) for error in errors)
        return [
            {"annotator": who, "task": task, "answers": n, "errors": wrong[who, task], "share": wrong[who, task] / n}
            for (who, task), n in sorted(compared.items())
        ]

    def notes(self) -> Iterator[str]:
        """What could not be compared, as lines of text."""
        for reason, count in self.left_out.items():
            yield f"{count:,} dialogues left out: {reason}"
        if self.unknown:
            yield f"{self.unknown:,} dialogues do not say whether the model was trained on them; if it was, errors are hidden"
        if self.without_probability:
            yield f"{self.without_probability:,} answers left out: the model's answer has no probability"


def explain_no_answers(search: ErrorSearch) -> tuple[str, str]:
    """Why nothing could be compared, and a hint."""
    if search.left_out[TRAINED_ON]:
        hint = "train on one part of the log and label another: labelgen data split"
        return f"the model was trained on {search.left_out[TRAINED_ON]:,} of the dialogues that people annotated", hint
    if search.without_probability:
        return "the model's answers have no probabilities", "name a model by --annotator that gives probabilities"
    if search.left_out[NO_MODEL]:
        return "no dialogue that people annotated has an annotation by a model", "labelgen label adds one to a log"
    return "no field was answered by a person and by the model", "name a log with annotations of both"


def by_label(errors: Iterable[LikelyError]) -> list[dict[str, Any]]:
    """For each task and label the number of likely errors, by the label that the model suggests; the most frequent first."""
    counts = Counter((e.answer.task, e.answer.given, e.suggested) for e in errors)
    return [
        {"task": task, "label": given, "suggested": suggested, "errors": count}
        for (task, given, suggested), count in counts.most_common()
    ]


@dataclass(frozen=True, slots=True)
class ClassThresholds:
    """by_class: (task, name) -> mean probability of the name where people gave it. by_task: the mean over all names, for names that nobody
    gave."""

    by_class: dict[tuple[str, str | None], float]
    by_task: dict[str, float]

    def of(self, task: str, name: str | None) -> float:
        """The threshold of a class."""
        return self.by_class.get((task, name), self.by_task[task])

    def error(self, one: JudgedAnswer) -> LikelyError | None:
        """The likely error: the most probable class that reaches its threshold is not the given one."""
        given = one.probability if one.probability >= self.of(one.task, one.given) else 0.0
        for name, probability in one.alternatives:
            threshold = self.of(one.task, name)
            if probability >= threshold and probability > given:
                return LikelyError(one, name, probability, threshold)
        return None


def class_thresholds(judged: Iterable[JudgedAnswer]) -> ClassThresholds:
    """The thresholds of confident learning."""
    by_class: defaultdict[tuple[str, str | None], list[float]] = defaultdict(list)
    by_task: defaultdict[str, list[float]] = defaultdict(list)
    for one in judged:
        by_class[one.task, one.given].append(one.probability)
        by_task[one.task].append(one.probability)
    return ClassThresholds(
        {key: sum(values) / len(values) for key, values in by_class.items()},
        {task: sum(values) / len(values) for task, values in by_task.items()},
    )


def search_errors(
    dialogues: Iterable[Dialogue], annotator: str | None = None, tasks: Collection[str] = ()
) -> ErrorSearch:
    """Compare people's answers with those of a model.

    Args:
        dialogues: with annotations of both.
        annotator: the model; the first model of each dialogue without a value.
        tasks: those that are compared; all without a value."""
    search = ErrorSearch()
    for dialogue in dialogues:
        people = [one for one in dialogue.annotations if one.kind == "person"]
        model = model_annotation(dialogue, annotator)
        if not people:
            continue
        trained_on = None if model is None or model.provenance is None else model.provenance.trained_on
        if model is None or trained_on:
            search.left_out[NO_MODEL if model is None else TRAINED_ON] += 1
            continue
        search.unknown += trained_on is None
        for task in tasks_of(_whole(model)):
            if not divides(task) and (not tasks or task in tasks):
                _judge(search, dialogue, people, _whole(model), task)
    return search


def _whole(model: Annotation) -> Annotation:
    """The model's annotation with its withheld labels: these have a probability too."""
    withheld = tuple(label for one in model.abstained for label in one.best)
    return structs.replace(model, labels=(*model.labels, *withheld), abstained=()) if withheld else model


def _judge(search: ErrorSearch, dialogue: Dialogue, people: Sequence[Annotation], model: Annotation, task: str) -> None:
    predicted = answers(model, task)
    none = {one.at: one.probability for one in model.none if one.task == task}
    by_person = {person.annotator: answers(person, task) for person in people}
    for who, answered in by_person.items():
        for at, labels in answered.items():
            if at not in predicted:
                continue
            confidence = _confidence(predicted[at], none.get(at))
            if confidence is None:
                search.without_probability += 1
                continue
            others = [_answer(one[at]) for name, one in by_person.items() if name != who and at in one]
            same = sum(other == _answer(labels) for other in others)
            compare = _spans if any(isinstance(x.at, AtSpan) for x in (*labels, *predicted[at])) else _names
            for one in compare(dialogue, Field(task, at), who, labels, predicted[at], confidence):
                search.answers.append(replace(one, others=len(others), same=same))


def _answer(labels: Sequence[Label]) -> frozenset[tuple[At, str]]:
    return frozenset((label.at, label.name) for label in labels)


def _confidence(labels: Sequence[Label], none: float | None) -> float | None:
    """The probability of the model's answer: the smallest of its labels; None where it gives none."""
    known = [label.probability for label in labels if label.probability is not None]
    if labels:
        return min(known) if len(known) == len(labels) else None
    return none


def _name(labels: Sequence[Label]) -> str | None:
    return _JOINT.join(sorted({label.name for label in labels})) or None


def _names(
    dialogue: Dialogue,
    where: Field,
    who: str,
    given: Sequence[Label],
    predicted: Sequence[Label],
    confidence: float,
) -> Iterator[JudgedAnswer]:
    """The answer to a field of names."""
    mine, its = _name(given), _name(predicted)
    distribution = dict(predicted[0].distribution or ()) if len(predicted) == 1 else {}
    alternatives: tuple[tuple[str | None, float], ...] = ()
    if mine in distribution:
        probability = distribution.pop(mine)
        alternatives = tuple(sorted(distribution.items(), key=lambda pair: -pair[1]))
    elif mine == its:
        probability = confidence
    else:
        probability, alternatives = 1.0 - confidence, ((its, confidence),)
    yield JudgedAnswer(dialogue, where.task, where.at, who, mine, probability, alternatives)


def _spans(
    dialogue: Dialogue,
    where: Field,
    who: str,
    given: Sequence[Label],
    predicted: Sequence[Label],
    confidence: float,
) -> Iterator[JudgedAnswer]:
    """The spans of a turn: each of the person's next to the model's span there, then spans that the person lacks."""
    matched: set[At] = set()
    for label in given:
        near = [x for x in predicted if _overlap(x.at, label.at)]
        nearest = max(near, key=lambda x: (x.at == label.at, x.name == label.name, x.probability or 0.0), default=None)
        if nearest is None:
            # The model's answer to the whole turn says that nothing is here.
            yield JudgedAnswer(dialogue, where.task, label.at, who, label.name, 1.0 - confidence, ((None, confidence),))
            continue
        matched.update(x.at for x in near)
        p = nearest.probability or 0.0
        if nearest.at == label.at and nearest.name == label.name:
            yield JudgedAnswer(dialogue, where.task, label.at, who, label.name, p)
            continue
        other = nearest.at if nearest.at != label.at and isinstance(nearest.at, AtSpan) else None
        yield JudgedAnswer(dialogue, where.task, label.at, who, label.name, 1.0 - p, ((nearest.name, p),), other)
    for x in predicted:
        if x.at not in matched:
            p = x.probability or 0.0
            yield JudgedAnswer(dialogue, where.task, x.at, who, None, 1.0 - p, ((x.name, p),))


def _overlap(first: At, second: At) -> bool:
    return (
        isinstance(first, AtSpan)
        and isinstance(second, AtSpan)
        and first.turn == second.turn
        and first.start < second.end
        and second.start < first.end
    )
