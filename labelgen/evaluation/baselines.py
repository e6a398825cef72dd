"""Baselines: systems that learn from the training part alone and need no network.

They show whether a model is worth its cost. Classifiers (classifiers.py) are defined for label sets at a turn, a goal or the dialogue; spans
and the division into goals have a rule and the majority class. Labels of goals appear twice in a log of predictions: at the goals that
a system predicted and, under a name that says so, at those of the reference, as a model's do.

    baselines = fit_baselines(training, tasks, setting)
    judged = baselines.annotate(test, "consensus", goals_from="model")"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from heapq import heappop, heappush
from typing import Any, Protocol

from msgspec.structs import replace

from labelgen.agreement.consensus import CONSENSUS, consensus
from labelgen.base.registry import Registry, resolve
from labelgen.data.dialogue import Dialogue
from labelgen.data.labels import (
    Annotation,
    At,
    AtDialogue,
    AtGoal,
    AtSpan,
    AtTurn,
    Label,
    NoLabel,
    division,
)
from labelgen.data.split import position
from labelgen.evaluation.protocol import people_of
from labelgen.features.ngrams import turns_at
from labelgen.feedback.items import goals_of
from labelgen.metrics.results import BASELINE, BaselineFit, FittedBaselines, Setting, SystemName
from labelgen.tasks.evaluation import EvaluationTask, answered

BASELINES = Registry(
    "labelgen.baselines",
    {
        "bag_of_words": "labelgen.evaluation.classifiers:BagOfWords",
        "constant_per_source": "labelgen.evaluation.baselines:ConstantPerSource",
        "rule": "labelgen.evaluation.baselines:Rule",
        "majority_class": "labelgen.evaluation.baselines:MajorityClass",
    },
)

DEFAULT = ("bag_of_words", "constant_per_source", "rule", "majority_class")

MOST_TURNS = 50_000
"""Turns that baselines learn from; of a larger training part whole dialogues are drawn."""

Names = tuple[str, ...]
"""One answer: its names, sorted; () for "none here"."""

Shares = dict[Names, float]


@dataclass(frozen=True, slots=True)
class Location:
    """Where an answer stands."""

    dialogue: Dialogue
    at: At


@dataclass(frozen=True, slots=True)
class TrainingAnswer(Location):
    """One answer of the training part. weight: 0..1, the share of the annotators of the field who gave it. agreed: the consensus of all of
    them, of an exclusive task; None for a tie. labels: the answer as one of them gave it."""

    names: Names
    weight: float
    agreed: Names | None = None
    labels: tuple[Label, ...] = ()


@dataclass(frozen=True, slots=True)
class Prediction:
    """The answer of a baseline at one place. shares: the probability of each answer, summing to 1. labels: spans and goals, where names
    alone do not say the answer."""

    names: Names
    shares: Mapping[Names, float]
    labels: tuple[Label, ...] | None = None


class Baseline(Protocol):
    """Learns each task from the answers in the training part, and then answers places. name: of its annotations."""

    name: str

    def learn(self, task: EvaluationTask, examples: Sequence[TrainingAnswer]) -> Mapping[str, Any]:
        """Fit one task; returns what the report says about the fit."""
        ...

    def answer(self, task: EvaluationTask, places: Sequence[Location]) -> list[Prediction | None]:
        """None for all places of a task that was not learned, or for which the baseline is not defined."""
        ...


@dataclass(frozen=True, slots=True)
class Baselines:
    """BaselineFit baselines. fitted: how, as an evaluation reports it."""

    baselines: tuple[Baseline, ...]
    tasks: tuple[EvaluationTask, ...]
    fitted: FittedBaselines

    def annotate(self, dialogues: Sequence[Dialogue], reference: str, goals_from: str | None = None) -> list[Dialogue]:
        """The dialogues with the annotations of every baseline. Labels about goals stand at those of the annotator goals_from, if any, and
        in an annotation of their own at those that the reference answers."""
        out = list(dialogues)
        for baseline in self.baselines:
            end_to_end = self._annotations(baseline, dialogues, goals_from, False)
            on_given = self._annotations(baseline, dialogues, reference, True)
            names = {baseline.name, str(SystemName(baseline.name, on_given_goals=True))}
            for k, dialogue in enumerate(out):
                new = [a for a in (end_to_end[k], on_given[k]) if a is not None]
                kept = [a for a in dialogue.annotations if a.annotator not in names]
                out[k] = replace(dialogue, annotations=(*kept, *new))
        return out

    def _annotations(
        self, baseline: Baseline, dialogues: Sequence[Dialogue], goals_from: str | None, on_given: bool
    ) -> list[Annotation | None]:
        """One for each dialogue: about the goals of the reference alone where they are given, else about all."""
        labels: list[list[Label]] = [[] for _ in dialogues]
        none: list[list[NoLabel]] = [[] for _ in dialogues]
        for task in self.tasks:
            if on_given and task.scopes != (AtGoal,):
                continue
            owners, places = [], []
            for k, dialogue in enumerate(dialogues):
                for at in _places(dialogue, task, goals_from, on_given):
                    owners.append(k)
                    places.append(Location(dialogue, at))
            for k, place, prediction in zip(owners, places, baseline.answer(task, places), strict=True):
                if prediction is None:
                    continue
                predicted = _labels(task, place, prediction)
                labels[k] += predicted
                if not predicted:
                    none[k].append(NoLabel(task.tasks[0], place.at, prediction.shares.get((), None)))
        name = str(SystemName(baseline.name, on_given))
        out: list[Annotation | None] = []
        for here, empty in zip(labels, none, strict=True):
            out.append(Annotation(name, "rule", tuple(here), tuple(empty)) if here or empty else None)
        return out


def default_baselines(seed: int, names: Sequence[str] = DEFAULT) -> tuple[Baseline, ...]:
    """The baselines of these names in BASELINES; the seed draws folds. Raises UsageError for an unknown name."""
    return tuple(resolve(BASELINES, name, "baseline")(seed) for name in names)


def fit_baselines(
    training: Iterable[Dialogue],
    tasks: Sequence[EvaluationTask],
    setting: Setting,
    baselines: Sequence[Baseline] | None = None,
) -> Baselines:
    """Baselines that learned from the training part: from the answers of the reference annotator; where that is the consensus, or did not
    annotate the dialogue, from those of its annotators, or of a consensus that stands alone. By default those of DEFAULT.

    Each answer of each annotator is an example; those of one field weigh 1 together. Of more than MOST_TURNS turns, whole dialogues
    are drawn by the seed."""
    used = tuple(baselines or default_baselines(setting.seed))
    single = tuple(task for task in tasks if len(task.tasks) == 1)
    drawn, fitted = _drawn(training, setting)
    for task in single:
        examples = [x for dialogue in drawn for x in examples_of(dialogue, task, setting)]
        if examples:
            notes = {baseline.name: dict(baseline.learn(task, examples)) for baseline in used}
            fitted.tasks[task.name] = BaselineFit(
                answers=len(examples), baselines={k: v for k, v in notes.items() if v}
            )
    return Baselines(used, single, fitted)


def _teachers(dialogue: Dialogue, setting: Setting) -> Sequence[Annotation]:
    reference = dialogue.annotation(setting.reference)
    people = people_of(dialogue, setting)
    if reference is not None and (setting.reference != CONSENSUS or not people):
        return (reference,)
    return people


def examples_of(dialogue: Dialogue, task: EvaluationTask, setting: Setting) -> Iterator[TrainingAnswer]:
    """An example for each distinct answer in a training dialogue, in the order of the places."""
    fields: dict[At, list[tuple[Label, ...]]] = {}
    ballots: list[Annotation] = []
    for annotation in _teachers(dialogue, setting):
        # Of an exclusive task, answers outside its label set are not learned.
        known = {
            at: labels
            for at, labels in answered(annotation, task).items()
            if task.names is None or all(label.name in task.names for label in labels)
        }
        for at, labels in known.items():
            fields.setdefault(at, []).append(labels)
        ballots.append(
            Annotation(annotation.annotator, annotation.kind, tuple(x for labels in known.values() for x in labels))
        )
    agreed: Mapping[At, tuple[Label, ...]] = {}
    if task.names is not None:
        exclusive = {task.tasks[0]: task.names}
        agreed = answered(consensus(ballots, exclusive, least=1, ratings=setting.ratings).annotation, task)
    for at, answers in fields.items():
        by_names = [_names(labels) for labels in answers]
        for names in dict.fromkeys(by_names):
            together = _names(agreed[at]) if at in agreed else None
            share = by_names.count(names) / len(by_names)
            yield TrainingAnswer(dialogue, at, names, share, together, answers[by_names.index(names)])


def _names(labels: Iterable[Label]) -> Names:
    return tuple(sorted({label.name for label in labels}))


def has_names(task: EvaluationTask) -> bool:
    """Whether names alone answer a place, so that a classifier can."""
    return not task.divides and "span" not in task.units


def turns_of(place: Location) -> tuple[int, ...]:
    """The turns that a place is about."""
    return turns_at(place.at, len(place.dialogue.turns))


def _drawn(training: Iterable[Dialogue], setting: Setting) -> tuple[list[Dialogue], FittedBaselines]:
    """Dialogues with an answer, of at most MOST_TURNS turns together, in their order; and how many there are. Those that lie first by a
    hash of the seed and the id are kept, so that memory is bounded."""
    kept: list[tuple[float, int, Dialogue]] = []
    counts = FittedBaselines(tasks={})
    for k, dialogue in enumerate(training):
        if not any(a.labels or a.none for a in _teachers(dialogue, setting)):
            continue
        counts.of_dialogues += 1
        counts.of_turns += len(dialogue.turns)
        counts.turns += len(dialogue.turns)
        heappush(kept, (-position(setting.seed, f"rival {dialogue.id}"), k, dialogue))
        while counts.turns > MOST_TURNS and len(kept) > 1:
            counts.turns -= len(heappop(kept)[2].turns)
    counts.dialogues = len(kept)
    return [dialogue for _, _, dialogue in sorted(kept, key=lambda entry: entry[1])], counts


def _places(dialogue: Dialogue, task: EvaluationTask, goals_from: str | None, on_given: bool) -> list[At]:
    places: dict[At, None] = {}
    for scope in task.scopes:
        if scope is AtTurn:
            places |= dict.fromkeys(AtTurn(turn) for turn in range(len(dialogue.turns)))
        elif scope is AtDialogue:
            places |= {AtDialogue(): None} if dialogue.turns else {}
        elif goals_from is not None and (annotation := dialogue.annotation(goals_from)) is not None:
            places |= dict.fromkeys(answered(annotation, task))
            if not on_given:
                places |= dict.fromkeys(label.at for label in division(annotation) or ())
    return list(places)


def _labels(task: EvaluationTask, place: Location, prediction: Prediction) -> tuple[Label, ...]:
    name_of, at, shares = task.tasks[0], place.at, prediction.shares
    if prediction.labels is not None:
        return prediction.labels
    if task.divides:
        return tuple(Label(name_of, AtGoal(turns_of(place)), name) for name in prediction.names)
    if task.names is None:
        p = {
            name: sum(p for names, p in shares.items() if name in names) if shares else None
            for name in prediction.names
        }
        return tuple(Label(name_of, at, name, p[name]) for name in prediction.names)
    distribution = tuple((name, shares.get((name,), 0.0)) for name in task.names)
    return tuple(Label(name_of, at, name, dict(distribution)[name], None, distribution) for name in prediction.names)


class MajorityClass:
    """The most frequent answer, with the shares of all answers as probabilities. Spans: none. A division: one goal of all turns. Ties go
    to the first by name."""

    name = BASELINE + "majority class"

    def __init__(self, seed: int = 0) -> None:
        self._learned: dict[str, Prediction] = {}

    def learn(self, task: EvaluationTask, examples: Sequence[TrainingAnswer]) -> Mapping[str, Any]:
        if task.divides:
            prediction = Prediction(tuple(filter(None, [goal_name(examples)])), {})
        elif "span" in task.units:
            prediction = Prediction((), {})
        else:
            prediction = most_frequent(shares_of(examples))
        self._learned[task.name] = prediction
        return {}

    def answer(self, task: EvaluationTask, places: Sequence[Location]) -> list[Prediction | None]:
        return [self._learned.get(task.name)] * len(places)


class ConstantPerSource:
    """The most frequent answer of the dialogue's source; for a new source that of its corpus, the part of the name before `/`; for a new
    corpus that of all training. Shares of each part are smoothed by one answer at the rates of the next wider one."""

    name = BASELINE + "constant per source"

    def __init__(self, seed: int = 0) -> None:
        self._learned: dict[str, dict[tuple[str, ...], Prediction]] = {}

    def learn(self, task: EvaluationTask, examples: Sequence[TrainingAnswer]) -> Mapping[str, Any]:
        parts: dict[tuple[str, ...], list[TrainingAnswer]] = {}
        for example in examples if has_names(task) else ():
            key = _source(example)
            for length in range(len(key) + 1):
                parts.setdefault(key[:length], []).append(example)
        if len(parts) < 2:  # Nothing tells places apart.
            return {}
        shares: dict[tuple[str, ...], Shares] = {(): shares_of(examples)}
        for part in sorted(filter(None, parts), key=len):
            shares[part] = shares_of(parts[part], shares[part[:-1]])
        self._learned[task.name] = {part: most_frequent(part_shares) for part, part_shares in shares.items()}
        return {"parts": len(shares) - 1}

    def answer(self, task: EvaluationTask, places: Sequence[Location]) -> list[Prediction | None]:
        known = self._learned.get(task.name)
        if known is None:
            return [None] * len(places)
        keys = map(_source, places)
        return [next(known[key[:n]] for n in range(len(key), -1, -1) if key[:n] in known) for key in keys]


def _source(place: Location) -> tuple[str, str]:
    source = place.dialogue.source or ""
    return source.partition("/")[0], source


def shares_of(examples: Sequence[TrainingAnswer], wider: Shares | None = None) -> Shares:
    """Answer -> its share of the weights; with one more answer at the rates of a wider part."""
    sums: Shares = dict(wider or {})
    for example in examples:
        sums[example.names] = sums.get(example.names, 0.0) + example.weight
    total = sum(sums.values())
    return {names: weight / total for names, weight in sums.items()}


def most_frequent(shares: Mapping[Names, float]) -> Prediction:
    """The answer of the largest share."""
    return Prediction(min(shares, key=lambda names: (-shares[names], names)), shares)


def goal_name(examples: Iterable[TrainingAnswer]) -> str:
    """The label of a goal in the training part; empty where that has no goal."""
    return min((name for x in examples for name in x.names), default="")


_WORD = re.compile(r"\w+")
_MOST_WORDS = 6
Phrase = tuple[str, ...]


class Rule:
    """A dictionary of spans, and goals by domain, for what no classifier of names can answer.

    Spans: a phrase that training marks in most of the places where it stands is marked again, under its most frequent name, the
    longest from the left on. Goals: a run of turns of one domain without a long pause; the whole dialogue where the log names no two
    domains. Nothing is learned for goals."""

    name = BASELINE + "rule"

    def __init__(self, seed: int = 0) -> None:
        self._phrases: dict[str, dict[Phrase, str]] = {}
        self._goals: dict[str, str] = {}

    def learn(self, task: EvaluationTask, examples: Sequence[TrainingAnswer]) -> Mapping[str, Any]:
        if task.divides:
            self._goals[task.name] = goal_name(examples)
            return {}
        if "span" not in task.units:
            return {}
        phrases = self._phrases[task.name] = dict(_marked(examples))
        return {"phrases": len(phrases)}

    def answer(self, task: EvaluationTask, places: Sequence[Location]) -> list[Prediction | None]:
        if name := self._goals.get(task.name):
            goals = [goals_of(place.dialogue, None)[0] for place in places]
            return [
                of_labels([Label(task.tasks[0], AtGoal(goal), name) for goal in division_of]) for division_of in goals
            ]
        if task.name in self._phrases:
            return [of_labels([*_spans(task.tasks[0], place, self._phrases[task.name])]) for place in places]
        return [None] * len(places)


def of_labels(labels: Sequence[Label]) -> Prediction:
    return Prediction(_names(labels), {}, tuple(labels))


def _marked(examples: Sequence[TrainingAnswer]) -> Iterator[tuple[Phrase, str]]:
    """Phrases that are marked in most of the places where they stand, with their name."""
    names: dict[Phrase, dict[str, float]] = {}
    for x in examples:
        for label in x.labels:
            assert isinstance(label.at, AtSpan)
            text = x.dialogue.turns[label.at.turn].request[label.at.start : label.at.end]
            phrase = tuple(word.casefold() for word in _WORD.findall(text))
            if 0 < len(phrase) <= _MOST_WORDS:
                counts = names.setdefault(phrase, {})
                counts[label.name] = counts.get(label.name, 0.0) + x.weight
    occurrences = dict.fromkeys(names, 0.0)
    for x in examples:
        assert isinstance(x.at, AtTurn)
        words = [word.casefold() for word in _WORD.findall(x.dialogue.turns[x.at.turn].request)]
        for first in range(len(words)):
            for end in range(first + 1, min(first + _MOST_WORDS, len(words)) + 1):
                if (phrase := tuple(words[first:end])) in names:
                    occurrences[phrase] += x.weight
    for phrase, counts in names.items():
        if 2 * sum(counts.values()) > occurrences[phrase]:
            yield phrase, min(counts, key=lambda name: (-counts[name], name))


def _spans(task: str, place: Location, phrases: Mapping[Phrase, str]) -> Iterator[Label]:
    assert isinstance(place.at, AtTurn)
    words = list(_WORD.finditer(place.dialogue.turns[place.at.turn].request))
    first = 0
    while first < len(words):
        for end in range(min(first + _MOST_WORDS, len(words)), first, -1):
            name = phrases.get(tuple(word.group().casefold() for word in words[first:end]))
            if name is not None:
                yield Label(task, AtSpan(place.at.turn, words[first].start(), words[end - 1].end()), name)
                first = end
                break
        else:
            first += 1
