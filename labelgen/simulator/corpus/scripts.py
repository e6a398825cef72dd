"""The dialogues of an annotated corpus as scripts that users of a simulated assistant follow."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from labelgen.base.errors import InputError, UsageError
from labelgen.data.dialogue import Dialogue, Turn
from labelgen.data.label_set import LabelName, Names, Sources, merge
from labelgen.data.labels import Annotation, AtGoal, AtSpan, AtTurn, Label, answers, division
from labelgen.data.log import Log
from labelgen.simulator.goals import Step
from labelgen.simulator.grammar import Phrase


@dataclass(frozen=True, slots=True)
class Line:
    """One turn of a script. goal: which of the script's goals it serves, from 0; None for none, then it asks for nothing
    either. slots: (name, start, end, normalized value), spans as in the request."""

    goal: int | None
    request: str
    response: str
    intents: tuple[str, ...]
    slots: tuple[tuple[str, int, int, str], ...]

    def phrase(self) -> Phrase:
        """The request's words, each with the slot that it belongs to."""
        if not self.slots:
            plain = self.request.split()
            return Phrase(plain, [-1] * len(plain))
        words, owners = [], []
        at = 0
        for word in self.request.split():
            start = self.request.index(word, at)
            at = start + len(word)
            held = [k for k, (_, first, last, _) in enumerate(self.slots) if start < last and first < at]
            words.append(word)
            owners.append(held[0] if held else -1)
        return Phrase(words, owners)

    def said(self) -> tuple[tuple[str, str], ...]:
        """(slot, its words) in the order of the slots."""
        return tuple((name, " ".join(self.request[first:last].split())) for name, first, last, _ in self.slots)

    def step(self) -> Step:
        """What the user wants here, and how it is said and served in the corpus."""
        values = tuple(value for *_, value in self.slots)
        step = Step(self.intents, self.said(), {}, "full", self.phrase(), self.response, values)
        step.frame.update((step.slot_key(k), words) for k, (_, words) in enumerate(step.said))
        return step


@dataclass(frozen=True, slots=True)
class Script:
    id: str
    source: str
    locale: str | None
    goals: int
    lines: tuple[Line, ...]


@dataclass(frozen=True, slots=True)
class Corpus:
    """scripts: of the dialogues that can be retold, in the corpus's order. left_out: why others cannot be, with counts.
    labels: the names of the scripts' sources, with the descriptions that the corpus publishes."""

    scripts: tuple[Script, ...]
    left_out: Counter[str]
    labels: Sources


def read_corpus(named: str) -> Corpus:
    """Read `FORMAT:PATH`. Raises UsageError where it is no such name, InputError where no dialogue can be retold."""
    form, colon, path = named.partition(":")
    if not colon:
        hint = "write FORMAT:PATH, such as sgd:corpora/sgd/dev; `labelgen data formats` lists the forms"
        raise UsageError(f"{named!r} names no corpus", "--corpus", hint)
    log = Log([Path(path)], form)
    scripts: list[Script] = []
    left_out: Counter[str] = Counter()
    for dialogue in log:
        found = script_of(dialogue)
        if isinstance(found, Script):
            scripts.append(found)
        else:
            left_out[found] += 1
    if not scripts:
        reasons = ", ".join(f"{why} ({count:,})" for why, count in left_out.most_common()) or "there are none"
        hint = "name a corpus whose annotation holds goals, intents and slots of the same turns"
        raise InputError(f"no dialogue of the corpus can be retold: {reasons}", named, hint)
    return Corpus(tuple(scripts), left_out, _labels(log.labels(), scripts))


def script_of(dialogue: Dialogue) -> Script | str:
    """The dialogue as a script, by its first annotation that has goals and intents; or why it cannot be one.

    What can be retold: turns with goals are those with intents, every slot stands on words of its own, and no goal
    failed; the failures of a simulated log are all its own."""
    annotation = next((a for a in dialogue.annotations if division(a) and answers(a, "intents")), None)
    if annotation is None:
        return "no annotation with goals and intents"
    if any(label.task == "outcome" and label.name == "failure" for label in annotation.labels):
        return "a goal that failed"
    goal_of = _goals(division(annotation) or ())
    lines = tuple(_line(t, turn, annotation, goal_of.get(t)) for t, turn in enumerate(dialogue.turns))
    if any((line.goal is None) != (not line.intents) for line in lines):
        return "goals and intents of different turns"
    if not all(_stands(line) for line in lines):
        return "slots that do not stand on words of their own"
    goals = len({*goal_of.values()})
    return Script(dialogue.id, dialogue.source or "corpus", dialogue.locale, goals, lines)


def _goals(goals: Sequence[Label]) -> dict[int, int]:
    """turn -> its goal, counted in the order of their first turns."""
    members = sorted(goal.at.turns for goal in goals if isinstance(goal.at, AtGoal))
    return {turn: g for g, turns in enumerate(members) for turn in turns}


def _line(t: int, turn: Turn, annotation: Annotation, goal: int | None) -> Line:
    slots = []
    for label in annotation.labels:
        if label.task == "slots" and isinstance(label.at, AtSpan) and label.at.turn == t:
            words = turn.request[label.at.start : label.at.end]
            value = words if label.value is None else str(label.value)
            slots.append((label.name, label.at.start, label.at.end, value))
    intents = tuple(x.name for x in annotation.labels if x.task == "intents" and x.at == AtTurn(t))
    return Line(goal, turn.request, turn.response, intents, tuple(sorted(slots, key=lambda slot: slot[1:3])))


def _stands(line: Line) -> bool:
    """Whether the slots are found again at the words that they own, and only there."""
    if not line.slots:
        return True
    phrase = line.phrase()
    spans, text = phrase.spans(), phrase.text()
    return all(k in spans and text[slice(*spans[k])] == words for k, (_, words) in enumerate(line.said()))


def _labels(published: Sources, scripts: Sequence[Script]) -> Sources:
    names = Names()
    for script in scripts:
        for line in script.lines:
            names.add(script.source, "intents", line.intents)
            names.add(script.source, "slots", (name for name, *_ in line.slots))
    sources = {script.source for script in scripts}
    kept: dict[str, dict[str, tuple[LabelName, ...]]] = {
        source: {task: found for task, found in tasks.items() if task in ("intents", "slots")}
        for source, tasks in published.items()
        if source in sources
    }
    return merge(kept, names.sources())
