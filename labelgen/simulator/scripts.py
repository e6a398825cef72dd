"""Dialogues of an annotated corpus as scripts that simulated users follow, and an index of their slots, intents and words."""

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from labelgen.base.errors import InputError, UsageError
from labelgen.data.dialogue import Dialogue, Turn
from labelgen.data.label_sets import LabelName, Names, Sources, merge
from labelgen.data.labels import Annotation, AtGoal, AtSpan, AtTurn, Label, answers, division
from labelgen.data.log import Log
from labelgen.simulator.grammar import Phrase, bare
from labelgen.simulator.users import GoalStep
from labelgen.simulator.vocabulary import GIVING_UP, Meanings


@dataclass(frozen=True, slots=True)
class ScriptLine:
    """One turn of a script. goal: index of its goal in the script, from 0; None for a turn without goal and intents.
    slots: (name, start, end, normalized value), with spans in the request."""

    goal: int | None
    request: str
    response: str
    intents: tuple[str, ...]
    slots: tuple[tuple[str, int, int, str], ...]

    def phrase(self) -> Phrase:
        """Words of the request, with their slots."""
        if not self.slots:
            plain = self.request.split()
            return Phrase(plain, [-1] * len(plain))
        words, owners = [], []
        at = 0
        for word in self.request.split():
            start = self.request.index(word, at)
            at = start + len(word)
            slots = [k for k, (_, first, last, _) in enumerate(self.slots) if start < last and first < at]
            words.append(word)
            owners.append(slots[0] if slots else -1)
        return Phrase(words, owners)

    def mentions(self) -> tuple[tuple[str, str], ...]:
        """(slot, its words) in the order of the slots."""
        return tuple((name, " ".join(self.request[first:last].split())) for name, first, last, _ in self.slots)

    def step(self) -> GoalStep:
        """The request as a step, with the corpus's words and response."""
        values = tuple(value for *_, value in self.slots)
        step = GoalStep(self.intents, self.mentions(), {}, "full", self.phrase(), self.response, values)
        step.frame.update((step.slot_key(k), words) for k, (_, words) in enumerate(step.mentions))
        return step


@dataclass(frozen=True, slots=True)
class Script:
    id: str
    source: str
    locale: str | None
    goals: int
    lines: tuple[ScriptLine, ...]


@dataclass(frozen=True, slots=True)
class ScriptCorpus:
    """Scripts of a corpus. scripts: of the usable dialogues, in the corpus's order. left_out: reason -> number of unusable dialogues.
    labels: label names of the scripts' sources, with the corpus's descriptions."""

    scripts: tuple[Script, ...]
    left_out: Counter[str]
    labels: Sources


def read_corpus(named: str) -> ScriptCorpus:
    """Read a corpus from `FORMAT:PATH`. Raises UsageError for another syntax, InputError if no dialogue is usable."""
    form, colon, path = named.partition(":")
    if not colon:
        hint = "write FORMAT:PATH, such as sgd:corpora/sgd/dev"
        raise UsageError(f"{named!r} names no corpus", "--corpus", hint)
    log = Log([Path(path)], form)
    scripts: list[Script] = []
    left_out: Counter[str] = Counter()
    for dialogue in log:
        script = script_of(dialogue)
        if isinstance(script, Script):
            scripts.append(script)
        else:
            left_out[script] += 1
    if not scripts:
        reasons = ", ".join(f"{why} ({count:,})" for why, count in left_out.most_common()) or "there are none"
        hint = "name a corpus whose annotation holds goals, intents and slots of the same turns"
        raise InputError(f"no dialogue of the corpus can be retold: {reasons}", named, hint)
    return ScriptCorpus(tuple(scripts), left_out, _labels(log.labels(), scripts))


def script_of(dialogue: Dialogue) -> Script | str:
    """The dialogue as a script, by its first annotation with goals and intents; or the reason why it is not usable.

    A dialogue is usable if its turns with goals are those with intents, every slot has separate words, and no goal failed: all
    failures of a simulated log must be simulated."""
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
    """turn -> index of its goal, in the order of first turns."""
    members = sorted(goal.at.turns for goal in goals if isinstance(goal.at, AtGoal))
    return {turn: g for g, turns in enumerate(members) for turn in turns}


def _line(t: int, turn: Turn, annotation: Annotation, goal: int | None) -> ScriptLine:
    slots = []
    for label in annotation.labels:
        if label.task == "slots" and isinstance(label.at, AtSpan) and label.at.turn == t:
            words = turn.request[label.at.start : label.at.end]
            value = words if label.value is None else str(label.value)
            slots.append((label.name, label.at.start, label.at.end, value))
    intents = tuple(x.name for x in annotation.labels if x.task == "intents" and x.at == AtTurn(t))
    return ScriptLine(goal, turn.request, turn.response, intents, tuple(sorted(slots, key=lambda slot: slot[1:3])))


def _stands(line: ScriptLine) -> bool:
    """Whether the words of each slot are exactly its span."""
    if not line.slots:
        return True
    phrase = line.phrase()
    spans, text = phrase.spans(), phrase.text()
    return all(k in spans and text[slice(*spans[k])] == words for k, (_, words) in enumerate(line.mentions()))


def _labels(published: Sources, scripts: Sequence[Script]) -> Sources:
    names = Names()
    for script in scripts:
        for line in script.lines:
            names.add(script.source, "intents", line.intents)
            names.add(script.source, "slots", (name for name, *_ in line.slots))
    sources = {script.source for script in scripts}
    kept: dict[str, dict[str, tuple[LabelName, ...]]] = {
        source: {task: labels for task, labels in tasks.items() if task in ("intents", "slots")}
        for source, tasks in published.items()
        if source in sources
    }
    return merge(kept, names.sources())


Key = tuple[tuple[str, ...], tuple[str, ...]]
"""Intents, and the sorted names of the slots said."""

LIKELY = 3
"""Number of intents that an intent is confused with."""
_TELLING = 60
"""Number of most frequent words that represent an intent."""


@dataclass(frozen=True, slots=True)
class CorpusIndex:
    """Index of a corpus. fillers: slot -> (words, normalized value), without repetitions, in the corpus's order. by_intent: lines with
    that intent. alike: lines with the same intents and slots, only those with slots. vocabulary: words of requests with at least
    two occurrences, most frequent first. capitals: whether requests have capitals and punctuation."""

    fillers: Mapping[str, Sequence[tuple[str, str]]]
    by_intent: Mapping[str, Sequence[ScriptLine]]
    alike: Mapping[Key, Sequence[ScriptLine]]
    vocabulary: Sequence[str]
    capitals: bool


def key_of(intents: tuple[str, ...], slots: Iterable[str]) -> Key:
    return intents, tuple(sorted(slots))


def build_index(scripts: Iterable[Script]) -> CorpusIndex:
    fillers: dict[str, dict[tuple[str, str], None]] = {}
    by_intent: dict[str, list[ScriptLine]] = {}
    alike: dict[Key, list[ScriptLine]] = {}
    words: Counter[str] = Counter()
    capitals = requests = 0
    for script in scripts:
        for line in script.lines:
            requests += bool(line.request)
            capitals += line.request[:1].isupper()
            words.update(words_of(line.request))
            for intent in line.intents:
                by_intent.setdefault(intent, []).append(line)
            for (name, value_text), (*_, value) in zip(line.mentions(), line.slots, strict=True):
                fillers.setdefault(name, {})[value_text, value] = None
            if line.slots:
                alike.setdefault(key_of(line.intents, (slot[0] for slot in line.slots)), []).append(line)
    often = [word for word, count in words.most_common() if count > 1]
    return CorpusIndex(
        fillers={name: tuple(values) for name, values in fillers.items()},
        by_intent=by_intent,
        alike=alike,
        vocabulary=often,
        capitals=2 * capitals > requests,
    )


def meanings_of(index: CorpusIndex) -> Meanings:
    """Intents and slots of the corpus, and the intent of giving up. An intent is confused with those of the most similar words: by the
    cosine of word counts with inverse document frequency."""
    words_of = {name: _telling(lines) for name, lines in sorted(index.by_intent.items())}
    holding = Counter(word for words in words_of.values() for word in words)
    weights = {
        name: _unit({word: count * math.log(1.0 + len(words_of) / holding[word]) for word, count in words.items()})
        for name, words in words_of.items()
    }
    others = {
        name: tuple(sorted((o for o in weights if o != name), key=lambda o: (-_cosine(weights[name], weights[o]), o)))
        for name in weights
    }
    likely = {name: names[:LIKELY] for name, names in others.items()}
    likely.setdefault(GIVING_UP, tuple(weights)[:LIKELY])
    return Meanings(tuple(sorted(likely)), tuple(sorted(index.fillers)), likely)


def words_of(text: str) -> list[str]:
    """Lower-case words without punctuation around them."""
    return [core for word in text.lower().split() for core in [bare(word)[1]] if core[0].isalnum()]


def swap(text: str, old: Iterable[str], new: str) -> str | None:
    """Replace all occurrences of the first of the old phrases that is in the text; None if none is."""
    for words in old:
        replaced, count = re.subn(rf"(?<!\w){re.escape(words)}(?!\w)", lambda _: new, text, flags=re.IGNORECASE)
        if count:
            return replaced
    return None


def _telling(lines: Sequence[ScriptLine]) -> dict[str, int]:
    return dict(Counter(word for line in lines for word in words_of(line.request)).most_common(_TELLING))


def _unit(weights: Mapping[str, float]) -> dict[str, float]:
    norm = math.sqrt(sum(weight * weight for weight in weights.values())) or 1.0
    return {word: weight / norm for word, weight in weights.items()}


def _cosine(one: Mapping[str, float], other: Mapping[str, float]) -> float:
    return sum(weight * other[word] for word, weight in one.items() if word in other)
