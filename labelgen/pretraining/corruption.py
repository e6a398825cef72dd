"""Corruptions for self-supervised pretraining: turn unlabeled dialogues into dialogues with known targets.

A corruption is pure: `corrupt(dialogue, pool, rng) -> (dialogue, targets)`; the same arguments and seed give the same
result. The corrupted dialogue has no annotations, feedback, signals or targets.

Spliced dialogues teach goal segmentation: each dialogue counts as one goal. Real users interleave goals, pursue them one
after the other, or have only one, and a model must see all three. From interleaved dialogues alone it would learn that there
are always several goals. Times are dropped because they would reveal the seams, and so is audio: its paths are relative to the
folder of its own log, and a spliced dialogue has one folder."""

import math
from collections.abc import Callable, Mapping, Sequence
from random import Random

from msgspec.structs import replace
from rapidfuzz import fuzz

from labelgen.base.errors import UsageError
from labelgen.base.registry import require, resolve
from labelgen.data.dialogue import Dialogue, Turn
from labelgen.data.labels import GOALS, AtDialogue, AtGoal, AtTurn, Target
from labelgen.feedback.cues import only_greets, only_takes_leave, plain

CORRUPTIONS = {
    "swapped_answers": "labelgen.pretraining.corruption:swapped_answers",
    "splice": "labelgen.pretraining.corruption:splice",
    "in_line": "labelgen.pretraining.corruption:in_line",
    "whole": "labelgen.pretraining.corruption:whole",
    "linked": "labelgen.pretraining.corruption:linked",
    "shuffled_order": "labelgen.pretraining.corruption:shuffled_order",
    "hidden_answers": "labelgen.pretraining.corruption:hidden_answers",
}
"""name -> Corruption."""

TEACHES: Mapping[str, str] = {
    "swapped_answers": "quality",
    "splice": "goals",
    "in_line": "goals",
    "whole": "goals",
    "linked": "goals",
    "shuffled_order": "order",
    "hidden_answers": "selection",
}
"""name -> task of its targets."""

SPLICES = ("splice", "in_line", "whole")
"""Corruptions that count a dialogue as one goal."""

MIXTURE: Mapping[str, float] = {
    "swapped_answers": 0.4,
    "splice": 0.25,
    "shuffled_order": 0.15,
    "hidden_answers": 0.2,
}
"""name -> share of the dialogues."""

NEGATIVES = ("random", "same_domain", "nearest")
"""Origins of a swapped response, or of a dialogue to splice with: any other dialogue, to splice with one of the same source; one of the
same domain (else source); or the most similar of some of the latter that differs from the true response (the dialogue)."""

LONGEST_RUN = 4
"""Maximum number of consecutive turns of one dialogue in a spliced dialogue."""
LONGEST_EXCERPT = 8
"""Maximum number of turns of an excerpt of a dialogue in a line."""
WHOLE_SHARE = 0.3
"""Share of the dialogues in a line that keep all turns."""
_OTHERS_IN_LINE = (0, 1, 1, 2, 2, 3)
SWAPPED_SHARE = 0.3
HIDDEN_SHARE = 0.3
_TRIES = 8
_NEAREST_OF = 64
_NEAREST_DIALOGUE_OF = 16


class DialoguePool:
    """Dialogues from which corruptions draw other dialogues and responses.

    single: share of the dialogues of each source, the shortest, that count as one goal. Users who pursue several goals need
    more turns, so with a small share nobody needs to say which dialogues have one goal."""

    def __init__(self, dialogues: Sequence[Dialogue], single: float = 1.0) -> None:
        self._most_turns = _most_turns(dialogues, single) if single < 1.0 else {}
        self._dialogues = [d for d in dialogues if d.turns and self.is_single(d)]
        self._by_domain: dict[str, list[Dialogue]] = {}
        self._by_source: dict[str | None, list[Dialogue]] = {}
        for dialogue in self._dialogues:
            self._by_source.setdefault(dialogue.source, []).append(dialogue)
            self._by_domain.setdefault(_domain(dialogue, dialogue.turns[0]), []).append(dialogue)
        self._responses: list[tuple[str, str]] = []
        self._responses_of: dict[str, list[int]] = {}
        for dialogue in dialogues:
            for turn in dialogue.turns:
                if turn.response:
                    self._responses_of.setdefault(_domain(dialogue, turn), []).append(len(self._responses))
                    self._responses.append((dialogue.id, turn.response))

    def is_single(self, dialogue: Dialogue) -> bool:
        """Whether the dialogue counts as one goal."""
        return len(dialogue.turns) <= self._most_turns.get(dialogue.source, math.inf)

    def part(self, dialogue: Dialogue, rng: Random) -> Dialogue:
        """The dialogue if it counts as one goal, else another one that does; the dialogue where there is none."""
        return dialogue if self.is_single(dialogue) or not self._dialogues else rng.choice(self._dialogues)

    def other(self, negative: str, dialogues: Sequence[Dialogue], rng: Random) -> Dialogue | None:
        """A dialogue that is none of the given ones; for `nearest`, one with similar words to the first of them. None if a few draws
        find no other. dialogues: at least one."""
        first = dialogues[0]
        candidates = self._by_source.get(first.source, [])
        if negative != "random":
            candidates = self._by_domain.get(_domain(first, first.turns[0]) if first.turns else "", [])
        ids = {d.id for d in dialogues}
        count = _NEAREST_DIALOGUE_OF if negative == "nearest" else _TRIES
        drawn = [rng.choice(candidates) for _ in range(count if candidates else 0)]
        others = [d for d in drawn if d.id not in ids]
        if negative != "nearest" or not others:
            return next(iter(others), None)
        words = _words(first)
        return max(others, key=lambda d: (_overlap(words, _words(d)), d.id))

    def response(self, negative: str, dialogue: Dialogue, turn: Turn, rng: Random) -> str | None:
        """A response of another dialogue whose words differ from this turn's response; None if a few draws find none."""
        candidates: Sequence[int] = range(len(self._responses))
        if negative != "random":
            candidates = self._responses_of.get(_domain(dialogue, turn), [])
        if not candidates:
            return None
        true = plain(turn.response)
        texts = []
        for _ in range(_NEAREST_OF if negative == "nearest" else _TRIES):
            other, text = self._responses[candidates[rng.randrange(len(candidates))]]
            if other != dialogue.id and plain(text) != true:
                if negative != "nearest":
                    return text
                texts.append(text)
        return max(texts, key=lambda text: (fuzz.ratio(true, plain(text)), text), default=None)


def _most_turns(dialogues: Sequence[Dialogue], single: float) -> dict[str | None, int]:
    """Source -> turns of its longest dialogue that counts as one goal."""
    lengths: dict[str | None, list[int]] = {}
    for dialogue in dialogues:
        lengths.setdefault(dialogue.source, []).append(len(dialogue.turns))
    return {source: sorted(turns)[math.ceil(single * len(turns)) - 1] for source, turns in lengths.items()}


Corrupted = tuple[Dialogue, tuple[Target, ...]]
Corruption = Callable[[Dialogue, DialoguePool, Random], Corrupted]


def _domain(dialogue: Dialogue, turn: Turn) -> str:
    return turn.domain or dialogue.source or ""


def _words(dialogue: Dialogue) -> frozenset[str]:
    return frozenset(plain(" ".join(f"{t.request} {t.response}" for t in dialogue.turns)).split())


def _overlap(a: frozenset[str], b: frozenset[str]) -> float:
    """Jaccard similarity."""
    return len(a & b) / max(1, len(a | b))


def pretraining_example(
    dialogue: Dialogue, pool: DialoguePool, seed: int, epoch: int, mixture: Mapping[str, float] = MIXTURE
) -> Corrupted:
    """Corrupt a dialogue by one corruption from the mixture, whose shares need not sum to one. The result depends only on seed, epoch,
    the dialogue's id and the pool."""
    rng = Random(f"{seed}/{epoch}/{dialogue.id}")
    name = rng.choices(list(mixture), list(mixture.values()))[0]
    corrupt: Corruption = resolve(CORRUPTIONS, name, "corruption")
    return corrupt(pool.part(dialogue, rng) if name in SPLICES else dialogue, pool, rng)


def without_answers(dialogue: Dialogue) -> Dialogue:
    """The dialogue as pretraining may see it: without annotations, and without targets but links of goals from feedback."""
    links = tuple(target for target in dialogue.targets if target.task == GOALS)
    return replace(dialogue, annotations=(), targets=links, signals=())


def check_mixture(mixture: Mapping[str, float]) -> None:
    """Raises UsageError for an unknown corruption, or shares that are negative or all zero."""
    for name in mixture:
        require(name, CORRUPTIONS, "corruption")
    if not mixture or min(mixture.values()) < 0.0 or sum(mixture.values()) <= 0.0:
        raise UsageError(
            "the shares of a mixture must not be negative, and at least one must be positive",
            f"mixture={dict(mixture)}",
        )


def swapped_answers(
    dialogue: Dialogue, pool: DialoguePool, rng: Random, negatives: Sequence[str] = NEGATIVES
) -> Corrupted:
    """Replace some responses by those of other dialogues: `quality` is bad there, and good elsewhere. A turn without a
    response has no target. negatives: origins to draw from, of NEGATIVES."""
    turns: list[Turn] = []
    targets: list[Target] = []
    for t, turn in enumerate(dialogue.turns):
        response = None
        if turn.response and rng.random() < SWAPPED_SHARE:
            negative = rng.choice(negatives)
            response = pool.response(negative, dialogue, turn, rng)
        if response is not None:
            turn = replace(turn, response=response)
            targets.append(Target("quality", AtTurn(t), (("bad", 1.0),), origin=f"swapped answer, {negative}"))
        elif turn.response:
            targets.append(Target("quality", AtTurn(t), (("good", 1.0),), origin="answer as it was said"))
        turns.append(turn)
    return without_labels(dialogue, f"{dialogue.id}~swapped", turns), tuple(targets)


def shuffled_order(dialogue: Dialogue, pool: DialoguePool, rng: Random) -> Corrupted:
    """Permute the turns of one window, of at least two turns, in half of the dialogues. A turn is `moved` if its place has other
    words than before. Drops times."""
    turns = [without_times(turn) for turn in dialogue.turns]
    order = list(range(len(turns)))
    if len(turns) > 1 and rng.random() < 0.5:
        length = rng.randint(2, len(turns))
        first = rng.randint(0, len(turns) - length)
        window = order[first : first + length]
        rng.shuffle(window)
        order[first : first + length] = window
    targets = []
    for t, came_from in enumerate(order):
        before, now = turns[t], turns[came_from]
        kept = (before.request, before.response) == (now.request, now.response)
        targets.append(Target("order", AtTurn(t), (("kept" if kept else "moved", 1.0),), origin="order of turns"))
    return without_labels(dialogue, f"{dialogue.id}~shuffled", [turns[t] for t in order]), tuple(targets)


def hidden_answers(dialogue: Dialogue, pool: DialoguePool, rng: Random) -> Corrupted:
    """Keep the dialogue; the task `selection` is to find some of its responses, at least one if there are any, among those of the
    batch."""
    spoken = [t for t, turn in enumerate(dialogue.turns) if turn.response]
    hidden = {t for t in spoken if rng.random() < HIDDEN_SHARE} or set(rng.sample(spoken, min(1, len(spoken))))
    targets = tuple(Target("selection", AtTurn(t), (("own", 1.0),), origin="hidden answer") for t in sorted(hidden))
    return without_labels(dialogue, f"{dialogue.id}~hidden", dialogue.turns), targets


def splice(dialogue: Dialogue, pool: DialoguePool, rng: Random) -> Corrupted:
    """Interleave two or three dialogues in runs of one to four turns; each is one goal."""
    return _interleave(_parts(dialogue, pool, rng, rng.choice((1, 2))), rng, "splice")


def in_line(dialogue: Dialogue, pool: DialoguePool, rng: Random) -> Corrupted:
    """Concatenate one to four dialogues; each is one goal. Greetings and partings within are dropped, because users seldom say
    goodbye and hello between goals; of most dialogues only a run of turns is kept."""
    parts = _parts(dialogue, pool, rng, rng.choice(_OTHERS_IN_LINE))
    rng.shuffle(parts)
    last = len(parts) - 1
    parts = [_excerpt(_without_ends(part, k > 0, k < last), rng) for k, part in enumerate(parts)]
    return _annotated(parts, [p for p, part in enumerate(parts) for _ in part.turns], "line")


def whole(dialogue: Dialogue, pool: DialoguePool, rng: Random) -> Corrupted:
    """Keep the dialogue, as one goal."""
    return _annotated([dialogue], [0] * len(dialogue.turns), "whole")


def linked(dialogue: Dialogue, pool: DialoguePool, rng: Random) -> Corrupted:
    """Keep the dialogue with its targets of goals, which `labelgen feedback aggregate` writes: links and cuts between turns."""
    turns = [without_times(turn) for turn in dialogue.turns]
    return without_labels(dialogue, f"{dialogue.id}~linked", turns), without_answers(dialogue).targets


def interleaved(lengths: Sequence[int], rng: Random) -> list[int]:
    """Index of the part of each turn, for parts of these lengths interleaved in runs of one to four turns."""
    left = list(lengths)
    order: list[int] = []
    while any(left):
        p = rng.choice([p for p, count in enumerate(left) if count])
        run = min(left[p], rng.randint(1, LONGEST_RUN))
        order += [p] * run
        left[p] -= run
    return order


def join_parts(parts: Sequence[Dialogue], order: Sequence[int]) -> tuple[Dialogue, list[tuple[int, ...]]]:
    """Join parts into one dialogue. Returns it with the turns of each goal, sorted by first turn.

    order: index of the part of each turn; the turns of a part keep their order."""
    iterators = [iter(part.turns) for part in parts]
    turns = [replace(without_times(next(iterators[p])), audio=None) for p in order]
    goals = sorted(tuple(t for t, part in enumerate(order) if part == p) for p in {*order})
    return without_labels(parts[0], "+".join(part.id for part in parts), turns), goals


def _interleave(parts: Sequence[Dialogue], rng: Random, kind: str) -> Corrupted:
    return _annotated(parts, interleaved([len(part.turns) for part in parts], rng), kind)


def _annotated(parts: Sequence[Dialogue], order: Sequence[int], kind: str) -> Corrupted:
    made, goals = join_parts(parts, order)
    origin = f"{kind} of {len(parts)} dialogues"
    targets = [Target(GOALS, AtGoal(goal), (("goal", 1.0),), origin=origin) for goal in goals]
    return made, (*targets, Target(GOALS, AtDialogue(), (), origin=origin))


def _parts(dialogue: Dialogue, pool: DialoguePool, rng: Random, others: int) -> list[Dialogue]:
    parts = [dialogue]
    for _ in range(others):
        other = pool.other(rng.choice(NEGATIVES), parts, rng)
        if other is not None:
            parts.append(other)
    return parts


def _without_ends(dialogue: Dialogue, first: bool, last: bool) -> Dialogue:
    """The dialogue without its first turns if they only greet, and its last turns if they only take leave; at least one turn
    stays."""
    turns = list(dialogue.turns)
    while first and len(turns) > 1 and only_greets(turns[0].request, dialogue.locale):
        del turns[0]
    while last and len(turns) > 1 and only_takes_leave(turns[-1].request, dialogue.locale):
        del turns[-1]
    return replace(dialogue, turns=tuple(turns))


def _excerpt(dialogue: Dialogue, rng: Random) -> Dialogue:
    """A run of turns, often at an end of the dialogue; for some dialogues all turns."""
    count = len(dialogue.turns)
    if count <= 2 or rng.random() < WHOLE_SHARE:
        return dialogue
    length = rng.randint(2, min(count, LONGEST_EXCERPT))
    first = rng.randint(0, count - length) if rng.random() < 0.5 else rng.choice((0, count - length))
    return replace(dialogue, turns=dialogue.turns[first : first + length])


def without_times(turn: Turn) -> Turn:
    """The turn without times."""
    return replace(turn, time_s=None, response_time_s=None)


def without_labels(dialogue: Dialogue, name: str, turns: Sequence[Turn]) -> Dialogue:
    """A dialogue of these turns, without labels, feedback and extra fields."""
    return replace(
        dialogue,
        id=name,
        turns=tuple(replace(turn, feedback=(), extra=None) for turn in turns),
        feedback=(),
        annotations=(),
        signals=(),
        targets=(),
        extra=None,
    )
