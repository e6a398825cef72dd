"""Plain rivals: baselines that learn from the training part alone and need no network.

They tell whether a model is worth its cost. Classifiers are defined for a task with a list of names at a turn, a goal or the dialogue; tasks
about spans and the division into goals have a rule and the majority class. Labels of goals stand twice in a log of predictions: at the goals
that a candidate decoded, and, under a name that says so, at those of the reference, as a model's do.

    rivals = fit_rivals(training, questions, setting)
    judged = rivals.annotate(test, "consensus", goals_from="model")"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from heapq import heappop, heappush
from typing import Any, Protocol

from labelgen.agreement.vote import CONSENSUS, consensus
from labelgen.data.dialogue import Dialogue
from labelgen.data.labels import (
    ON_GIVEN_GOALS,
    Annotation,
    At,
    AtDialogue,
    AtGoal,
    AtTurn,
    Field,
    Label,
    division,
)
from labelgen.data.split import position
from labelgen.evaluation.question import Question, answered
from labelgen.evaluation.trials import Setting, people_of

PLAIN = "baseline: "
"""Begins the name of every plain rival."""

MOST_TURNS = 50_000
"""Turns that rivals learn from; of a larger training part whole dialogues are drawn."""

Names = tuple[str, ...]
"""One answer: its names, sorted; () for "none here"."""


@dataclass(frozen=True, slots=True)
class Place:
    dialogue: Dialogue
    at: At


@dataclass(frozen=True, slots=True)
class Example(Place):
    """One answer of the training part. weight: 0..1, the share of those who answered the field that gave it. agreed: what all of them
    together say, of a task of which exactly one name holds; None for a tie. labels: the answer as one of them gave it."""

    names: Names
    weight: float
    agreed: Names | None = None
    labels: tuple[Label, ...] = ()


@dataclass(frozen=True, slots=True)
class Given:
    """What a rival answers at one place. shares: the probability of each answer, summing to 1; names: the answer that is given; labels: the same
    where names alone do not say it, of spans and of a division."""

    names: Names
    shares: Mapping[Names, float]
    labels: tuple[Label, ...] | None = None


class Rival(Protocol):
    """A baseline that learns each question from examples of it and then answers places.

    name: of its annotations. about: what the report says of one question, such as how it was fitted."""

    name: str

    def learn(self, question: Question, examples: Sequence[Example]) -> Mapping[str, Any]: ...

    def answer(self, question: Question, places: Sequence[Place]) -> list[Given | None]:
        """None where nothing is said, for all places or for none: the question was not learned, or the rival is not defined for it."""
        ...


@dataclass(frozen=True, slots=True)
class Rivals:
    """Fitted rivals. learned: how they were, as an evaluation tells it."""

    rivals: tuple[Rival, ...]
    questions: tuple[Question, ...]
    learned: Mapping[str, Any]

    def annotate(self, dialogues: Sequence[Dialogue], reference: str, goals_from: str | None = None) -> list[Dialogue]:
        """The dialogues with the annotations of every rival. Labels about goals stand at those of the annotator goals_from, where it is
        given, and in an annotation of their own at those that the reference answers."""
        out = list(dialogues)
        for rival in self.rivals:
            own = self._annotations(rival, dialogues, goals_from, False)
            told = self._annotations(rival, dialogues, reference, True)
            for k, dialogue in enumerate(out):
                new = [a for a in (own[k], told[k]) if a is not None]
                names = {rival.name, rival.name + ON_GIVEN_GOALS}
                kept = [a for a in dialogue.annotations if a.annotator not in names]
                out[k] = replace(dialogue, annotations=(*kept, *new))
        return out

    def _annotations(
        self, rival: Rival, dialogues: Sequence[Dialogue], goals_from: str | None, told: bool
    ) -> list[Annotation | None]:
        """One for each dialogue: about the goals of the reference alone where they are told, else about all."""
        labels: list[list[Label]] = [[] for _ in dialogues]
        none: list[list[tuple[Field, float | None]]] = [[] for _ in dialogues]
        for question in self.questions:
            if told and question.scope is not AtGoal:
                continue
            owners, places = [], []
            for k, dialogue in enumerate(dialogues):
                for at in _places(dialogue, question, goals_from, told):
                    owners.append(k)
                    places.append(Place(dialogue, at))
            for k, place, given in zip(owners, places, rival.answer(question, places), strict=True):
                if given is None:
                    continue
                said = _labels(question, place, given)
                labels[k] += said
                if not said:
                    none[k].append((Field(question.tasks[0], place.at), given.shares.get((), None)))
        name = rival.name + (ON_GIVEN_GOALS if told else "")
        out: list[Annotation | None] = []
        for own, empty in zip(labels, none, strict=True):
            probabilities = tuple(p for _, p in empty)
            sure = probabilities if any(p is not None for p in probabilities) else ()
            annotation = Annotation(name, "rule", tuple(own), tuple(f for f, _ in empty), none_probabilities=sure)
            out.append(annotation if own or empty else None)
        return out


def fit_rivals(
    training: Iterable[Dialogue],
    questions: Sequence[Question],
    setting: Setting,
    rivals: Sequence[Rival] | None = None,
) -> Rivals:
    """Rivals that learned from the training part: from the answers of the annotator who is the reference; where that is the consensus, or
    did not annotate the dialogue, from those of its people, or of a consensus that stands alone. By default all rivals.

    Each answer of each annotator is an example; those of one field weigh 1 together. Where there are more than MOST_TURNS turns, whole
    dialogues are drawn by the seed."""
    if rivals is None:
        from labelgen.evaluation.bag_of_words import BagOfWords
        from labelgen.evaluation.constant_answers import ConstantPerSource, MajorityClass
        from labelgen.evaluation.rules import Rules

        rivals = (BagOfWords(setting.seed), ConstantPerSource(), Rules(), MajorityClass())
    asked = tuple(question for question in questions if len(question.tasks) == 1)
    drawn, counts = _drawn(training, setting)
    learned: dict[str, Any] = {}
    for question in asked:
        examples = [x for dialogue in drawn for x in examples_of(dialogue, question, setting)]
        if examples:
            about = {rival.name: dict(rival.learn(question, examples)) for rival in rivals}
            learned[question.name] = {"answers": len(examples), "fitted": {k: v for k, v in about.items() if v}}
    return Rivals(tuple(rivals), asked, {**counts, "questions": learned})


def _teachers(dialogue: Dialogue, setting: Setting) -> Sequence[Annotation]:
    reference = dialogue.annotation(setting.against)
    people = people_of(dialogue, setting)
    if reference is not None and (setting.against != CONSENSUS or not people):
        return (reference,)
    return people


def examples_of(dialogue: Dialogue, question: Question, setting: Setting) -> Iterator[Example]:
    """An example for each distinct answer in a training dialogue, in the order of the places."""
    fields: dict[At, list[tuple[Label, ...]]] = {}
    ballots: list[Annotation] = []
    for annotation in _teachers(dialogue, setting):
        said = {at: labels for at, labels in answered(annotation, question).items() if _known(labels, question)}
        for at, labels in said.items():
            fields.setdefault(at, []).append(labels)
        ballots.append(
            Annotation(annotation.annotator, annotation.kind, tuple(x for own in said.values() for x in own))
        )
    agreed: Mapping[At, tuple[Label, ...]] = {}
    if question.names is not None:
        exclusive = {question.tasks[0]: question.names}
        agreed = answered(consensus(ballots, exclusive, least=1, ratings=setting.ratings).annotation, question)
    for at, given in fields.items():
        answers = [_names(labels) for labels in given]
        for names in dict.fromkeys(answers):
            together = _names(agreed[at]) if at in agreed else None
            share = answers.count(names) / len(answers)
            yield Example(dialogue, at, names, share, together, given[answers.index(names)])


def _known(labels: Sequence[Label], question: Question) -> bool:
    """Whether a task with a list of names is answered by one of them."""
    return question.names is None or all(label.name in question.names for label in labels)


def _names(labels: Sequence[Label]) -> Names:
    return tuple(sorted({label.name for label in labels}))


def has_names(question: Question) -> bool:
    """Whether a place is answered by names alone, so that a classifier can answer it."""
    return not question.divides and question.unit != "span"


def turns_of(place: Place) -> tuple[int, ...]:
    """The turns that a place is about."""
    match place.at:
        case AtGoal(turns):
            return turns
        case AtDialogue():
            return tuple(range(len(place.dialogue.turns)))
        case at:
            return (at.turn,)


def fold_of(dialogue: Dialogue, folds: int, seed: int) -> int:
    """The fold of a training dialogue; all of one user are in one."""
    key = f"user {dialogue.user}" if dialogue.user else f"dialogue {dialogue.id}"
    return int(position(seed, f"fold {key}") * folds)


def _drawn(training: Iterable[Dialogue], setting: Setting) -> tuple[list[Dialogue], dict[str, int]]:
    """Dialogues with an answer, of at most MOST_TURNS turns together, in their order; and how many there are. Those are kept that lie
    first by a hash of the seed and the id, so that memory is bounded."""
    kept: list[tuple[float, int, Dialogue]] = []
    turns = all_turns = all_dialogues = 0
    for k, dialogue in enumerate(training):
        if not any(a.labels or a.none for a in _teachers(dialogue, setting)):
            continue
        all_dialogues += 1
        all_turns += len(dialogue.turns)
        turns += len(dialogue.turns)
        heappush(kept, (-position(setting.seed, f"rival {dialogue.id}"), k, dialogue))
        while turns > MOST_TURNS and len(kept) > 1:
            turns -= len(heappop(kept)[2].turns)
    drawn = [dialogue for _, _, dialogue in sorted(kept, key=lambda entry: entry[1])]
    counts = {"dialogues": len(drawn), "turns": turns, "of_dialogues": all_dialogues, "of_turns": all_turns}
    return drawn, counts


def _places(dialogue: Dialogue, question: Question, goals_from: str | None, told: bool) -> list[At]:
    if question.scope is AtTurn:
        return [AtTurn(turn) for turn in range(len(dialogue.turns))]
    if question.scope is AtDialogue:
        return [AtDialogue()] if dialogue.turns else []
    given = None if goals_from is None else dialogue.annotation(goals_from)
    if given is None:
        return []
    places = dict.fromkeys(answered(given, question))
    if not told:
        places |= dict.fromkeys(label.at for label in division(given) or ())
    return list(places)


def _labels(question: Question, place: Place, given: Given) -> tuple[Label, ...]:
    task, at = question.tasks[0], place.at
    if given.labels is not None:
        return given.labels
    if question.divides:
        return tuple(Label(task, AtGoal(turns_of(place)), name) for name in given.names)
    if question.names is None:
        return tuple(
            Label(
                task, at, name, sum(p for names, p in given.shares.items() if name in names) if given.shares else None
            )
            for name in given.names
        )
    shares = tuple((name, given.shares.get((name,), 0.0)) for name in question.names)
    return tuple(Label(task, at, name, dict(shares)[name], None, shares) for name in given.names)
