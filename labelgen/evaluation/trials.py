"""Who is judged against whom: the left-out protocol.

Against the consensus: each person of a dialogue is judged in turn against the consensus of the others, and everyone else
is judged on the same fields against that same consensus, so no one is judged by a reference that knows the answer. Where
four or more people answered, the consensus is that of three others, drawn by the seed. Against one annotator: that
annotator's answers are the reference; people are judged beside only where they are named."""

import random
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace

from labelgen.agreement.vote import CONSENSUS, Consensus, Ratings, consensus
from labelgen.base.errors import UsageError
from labelgen.data.dialogue import Dialogue
from labelgen.data.labels import Annotation, At, AtGoal, Label, division
from labelgen.evaluation.question import Question, answered, concerns, exclusive_names

SINGLE = "single annotator"
"""The row that pools all people, each judged alone."""

EVERYONE = "kind=person"
"""All annotators of that kind, where people are named in words."""

OTHERS = 3
LEAST_PEOPLE = 3


@dataclass(frozen=True, slots=True)
class Setting:
    """against: `consensus`, or the annotator who is the reference. people: names of the annotators who are people; else,
    with everyone, all of kind `person`; else nobody is judged beside the candidates. level: of the intervals. ratings: how a
    consensus decides on them. slices: fields of the record whose parts are judged apart, besides those that always are.
    worst_slices: whether parts are searched for where the first candidate is worst."""

    against: str = CONSENSUS
    people: frozenset[str] | None = None
    everyone: bool = True
    seed: int = 0
    resamples: int = 1000
    level: float = 0.95
    ratings: Ratings = "vote"
    slices: tuple[str, ...] = ()
    worst_slices: bool = False


def named(people: str | None) -> tuple[frozenset[str] | None, bool]:
    """`people` and `everyone` of a setting, from words: EVERYONE, or names with commas; None for
    nobody. Raises UsageError for another kind, and for an empty name."""
    if people is None or people == EVERYONE:
        return None, people is not None
    names = people.split(",")
    if not all(names) or any(name.startswith(("kind=", "kind:")) for name in names):
        hint = f"give names with commas between them, or {EVERYONE} for all people"
        raise UsageError(f"{people!r} names no people", "--annotators", hint)
    return frozenset(names), False


@dataclass(frozen=True, slots=True)
class Trial:
    """One dialogue judged once. dialogue: its position. reference: the fields that count, and what is right there.
    person: what the judged person said, None where nobody is; who: the person's name. others: how many people the reference is
    the consensus of, 0 where it is one annotator's word."""

    dialogue: int
    reference: dict[At, tuple[Label, ...]]
    person: dict[At, tuple[Label, ...]] | None
    who: str = ""
    others: int = 0


@dataclass(slots=True)
class Trials:
    """ties: (dialogue, place) of fields that the consensus could not decide. left_out: reason -> fields;
    dialogues_left_out: reason -> dialogues."""

    trials: list[Trial] = field(default_factory=list)
    ties: list[tuple[str, At]] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)
    dialogues_left_out: Counter[str] = field(default_factory=Counter)


def people_of(dialogue: Dialogue, setting: Setting) -> list[Annotation]:
    """The annotations by people, the reference apart."""
    given = [a for a in dialogue.annotations if a.annotator != setting.against]
    if setting.people is not None:
        return [a for a in given if a.annotator in setting.people]
    return [a for a in given if a.kind == "person"] if setting.everyone else []


class Protocol:
    """Draws the trials of every question over the same dialogues; keeps each consensus that it has made."""

    def __init__(self, dialogues: Sequence[Dialogue], questions: Sequence[Question], setting: Setting) -> None:
        self.dialogues = dialogues
        self.setting = setting
        self.exclusive = exclusive_names(questions)
        self._made: dict[tuple[int, tuple[str, ...]], Consensus] = {}

    def trials(self, question: Question) -> Trials:
        out = Trials()
        for place, dialogue in enumerate(self.dialogues):
            if self.setting.against == CONSENSUS:
                self._against_others(place, dialogue, question, out)
            else:
                self._against_one(place, dialogue, question, out)
        return out

    def _against_others(self, place: int, dialogue: Dialogue, question: Question, out: Trials) -> None:
        people = [a for a in people_of(dialogue, self.setting) if answered(a, question)]
        if len(people) < LEAST_PEOPLE:
            out.dialogues_left_out[f"fewer than {LEAST_PEOPLE} people answered"] += 1
            return
        for person in people:
            others = self._others(dialogue, people, person)
            decided = self._consensus(place, others)
            own = answered(person, question)
            tied = [f.at for f in decided.ties if concerns(f, question) and _asked(person, own, f.at)]
            out.ties += [(dialogue.id, at) for at in dict.fromkeys(tied)]
            out.left_out["tie among the others"] += len(set(tied))
            _add(place, answered(decided.annotation, question), person, own, out, len(others))

    def _against_one(self, place: int, dialogue: Dialogue, question: Question, out: Trials) -> None:
        reference = answered(dialogue.annotation(self.setting.against), question)
        if not reference:
            out.dialogues_left_out[f"not answered by {self.setting.against}"] += 1
            return
        if self.setting.people is None and not self.setting.everyone:
            out.trials.append(Trial(place, reference, None))
            return
        people = [a for a in people_of(dialogue, self.setting) if answered(a, question)]
        if not people:
            out.dialogues_left_out["no person answered"] += 1
        for person in people:
            _add(place, reference, person, answered(person, question), out)

    def _others(self, dialogue: Dialogue, people: Sequence[Annotation], person: Annotation) -> list[Annotation]:
        others = [a for a in people if a is not person]
        if len(others) <= OTHERS:
            return others
        drawn = random.Random(f"{self.setting.seed}/{dialogue.id}/{person.annotator}").sample(
            range(len(others)), OTHERS
        )
        return [others[k] for k in sorted(drawn)]

    def _consensus(self, place: int, others: Sequence[Annotation]) -> Consensus:
        key = (place, tuple(a.annotator for a in others))
        if key not in self._made:
            self._made[key] = consensus(others, self.exclusive, ratings=self.setting.ratings)
        return self._made[key]


def _asked(person: Annotation, own: Collection[At], at: At) -> bool:
    """Whether a person who left the field absent is to be judged on it: a goal that is no goal in the person's own
    division is a mistake, anything else was not asked."""
    if at in own or not isinstance(at, AtGoal):
        return at in own
    divided = division(person)
    return divided is not None and at not in {label.at for label in divided}


def _add(
    place: int,
    reference: dict[At, tuple[Label, ...]],
    person: Annotation,
    own: dict[At, tuple[Label, ...]],
    out: Trials,
    others: int = 0,
) -> None:
    fields = {at: labels for at, labels in reference.items() if _asked(person, own, at)}
    out.left_out["the judged person left it unanswered"] += len(reference) - len(fields)
    if fields:
        out.trials.append(Trial(place, fields, own, person.annotator, others))


def with_reference(dialogues: Iterable[Dialogue], questions: Sequence[Question], setting: Setting) -> list[Dialogue]:
    """The dialogues with the consensus of all their people added, where that is what is judged against; an older one is
    replaced."""
    if setting.against != CONSENSUS:
        return list(dialogues)
    exclusive = exclusive_names(questions)
    out = []
    for dialogue in dialogues:
        kept = tuple(a for a in dialogue.annotations if a.annotator != CONSENSUS)
        decided = consensus(people_of(dialogue, setting), exclusive, ratings=setting.ratings).annotation
        out.append(replace(dialogue, annotations=(*kept, decided)))
    return out
