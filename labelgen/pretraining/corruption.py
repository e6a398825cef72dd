"""Synthetic defects for pretraining: from dialogues nobody labeled to dialogues whose targets are known.

A corruption is pure: `corrupt(dialogue, pool, rng) -> (dialogue, targets)`; the same arguments and seed give the same
result. What it gives carries no annotations, feedback, signals or targets of its own."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from random import Random

from rapidfuzz import fuzz

from labelgen.base.errors import UsageError
from labelgen.base.registry import require, resolve
from labelgen.data.dialogue import Dialogue, Turn
from labelgen.data.evidence import Target
from labelgen.data.labels import AtTurn
from labelgen.feedback.cues import plain

CORRUPTIONS = {
    "swapped_answers": "labelgen.pretraining.corruption:swapped_answers",
    "splice": "labelgen.pretraining.splicing:splice",
    "in_line": "labelgen.pretraining.splicing:in_line",
    "whole": "labelgen.pretraining.splicing:whole",
    "shuffled_order": "labelgen.pretraining.corruption:shuffled_order",
    "hidden_answers": "labelgen.pretraining.corruption:hidden_answers",
}
"""name -> Corrupt."""

TEACHES: Mapping[str, str] = {
    "swapped_answers": "quality",
    "splice": "goals",
    "in_line": "goals",
    "whole": "goals",
    "shuffled_order": "order",
    "hidden_answers": "selection",
}
"""name -> the task that its targets are of."""

MIXTURE: Mapping[str, float] = {
    "swapped_answers": 0.4,
    "splice": 0.25,
    "shuffled_order": 0.15,
    "hidden_answers": 0.2,
}
"""name -> share of the dialogues that are given to it."""

NEGATIVES = ("random", "same_domain", "nearest")
"""Where a swapped response, or a dialogue to be spliced with, comes from: any other dialogue, one of the same domain (else
source), or, of some of the latter, the one most like the true response (the dialogue) and yet different."""

SWAPPED_SHARE = 0.3
HIDDEN_SHARE = 0.3
_TRIES = 8
_NEAREST_OF = 64
_NEAREST_DIALOGUE_OF = 16


class Pool:
    """The dialogues that corruptions draw others from."""

    def __init__(self, dialogues: Sequence[Dialogue]) -> None:
        self._dialogues = [d for d in dialogues if d.turns]
        self._of_kin: dict[str, list[Dialogue]] = {}
        for dialogue in self._dialogues:
            self._of_kin.setdefault(_kin(dialogue, dialogue.turns[0]), []).append(dialogue)
        self._said: list[tuple[int, str]] = []
        self._said_in: dict[str, list[int]] = {}
        for d, dialogue in enumerate(self._dialogues):
            for turn in dialogue.turns:
                if turn.response:
                    self._said_in.setdefault(_kin(dialogue, turn), []).append(len(self._said))
                    self._said.append((d, turn.response))

    def other(self, negative: str, dialogues: Sequence[Dialogue], rng: Random) -> Dialogue | None:
        """A dialogue that is none of these, at least one, and for the nearest like the first of them in its words; None
        where a few draws find no other."""
        first = dialogues[0]
        kin = self._dialogues
        if negative != "random":
            kin = self._of_kin.get(_kin(first, first.turns[0]) if first.turns else "", [])
        ids = {d.id for d in dialogues}
        count = _NEAREST_DIALOGUE_OF if negative == "nearest" else _TRIES
        drawn = [rng.choice(kin) for _ in range(count if kin else 0)]
        others = [d for d in drawn if d.id not in ids]
        if negative != "nearest" or not others:
            return next(iter(others), None)
        own = _words(first)
        return max(others, key=lambda d: (_overlap(own, _words(d)), d.id))

    def response(self, negative: str, dialogue: Dialogue, turn: Turn, rng: Random) -> str | None:
        """A response of another dialogue whose words differ from this turn's response; None where a few draws find
        none."""
        kin = self._said_in.get(_kin(dialogue, turn), []) if negative != "random" else range(len(self._said))
        if not kin:
            return None
        true = plain(turn.response)
        found = []
        for _ in range(_NEAREST_OF if negative == "nearest" else _TRIES):
            d, text = self._said[kin[rng.randrange(len(kin))]]
            if self._dialogues[d].id != dialogue.id and plain(text) != true:
                if negative != "nearest":
                    return text
                found.append(text)
        return max(found, key=lambda text: (fuzz.ratio(true, plain(text)), text), default=None)


Corrupt = Callable[[Dialogue, Pool, Random], tuple[Dialogue, tuple[Target, ...]]]


def _kin(dialogue: Dialogue, turn: Turn) -> str:
    return turn.domain or dialogue.source or ""


def _words(dialogue: Dialogue) -> frozenset[str]:
    return frozenset(plain(" ".join(f"{t.request} {t.response}" for t in dialogue.turns)).split())


def _overlap(a: frozenset[str], b: frozenset[str]) -> float:
    """Words of both over words of either."""
    return len(a & b) / max(1, len(a | b))


def pretraining_example(
    dialogue: Dialogue, pool: Pool, seed: int, epoch: int, mixture: Mapping[str, float] = MIXTURE
) -> tuple[Dialogue, tuple[Target, ...]]:
    """One dialogue by one corruption drawn from the mixture (shares need not sum to one). What becomes of it depends on
    seed, epoch, its id and the pool, so any dialogue can be made alone."""
    rng = Random(f"{seed}/{epoch}/{dialogue.id}")
    name = rng.choices(list(mixture), list(mixture.values()))[0]
    corrupt: Corrupt = resolve(CORRUPTIONS, name, "corruption")
    return corrupt(dialogue, pool, rng)


def check_mixture(mixture: Mapping[str, float]) -> None:
    """Raises UsageError for an unknown corruption or shares that cannot be drawn from."""
    for name in mixture:
        require(name, CORRUPTIONS, "corruption")
    if not mixture or min(mixture.values()) < 0.0 or sum(mixture.values()) <= 0.0:
        raise UsageError("the shares of a mixture are not negative, and some are above 0", f"mixture={dict(mixture)}")


def swapped_answers(
    dialogue: Dialogue, pool: Pool, rng: Random, negatives: Sequence[str] = NEGATIVES
) -> tuple[Dialogue, tuple[Target, ...]]:
    """Some responses become those of other dialogues: `quality` is bad there, and good elsewhere. A turn without a
    response has no target. negatives: those that are drawn from."""
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
    return bare(dialogue, f"{dialogue.id}~swapped", turns), tuple(targets)


def shuffled_order(dialogue: Dialogue, pool: Pool, rng: Random) -> tuple[Dialogue, tuple[Target, ...]]:
    """In half of the dialogues the turns of one window, of two turns up to all, are permuted. A turn is `moved` where
    its place holds other words than it did. Times are dropped."""
    turns = [timeless(turn) for turn in dialogue.turns]
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
    return bare(dialogue, f"{dialogue.id}~shuffled", [turns[t] for t in order]), tuple(targets)


def hidden_answers(dialogue: Dialogue, pool: Pool, rng: Random) -> tuple[Dialogue, tuple[Target, ...]]:
    """The dialogue as it was; for some of its responses, at least one where there are any, the task is to find them
    again among those of the batch (`selection`)."""
    spoken = [t for t, turn in enumerate(dialogue.turns) if turn.response]
    hidden = {t for t in spoken if rng.random() < HIDDEN_SHARE} or set(rng.sample(spoken, min(1, len(spoken))))
    targets = tuple(Target("selection", AtTurn(t), (("own", 1.0),), origin="hidden answer") for t in sorted(hidden))
    return bare(dialogue, f"{dialogue.id}~hidden", dialogue.turns), targets


def timeless(turn: Turn) -> Turn:
    """The turn without its clocks."""
    return replace(turn, time_s=None, response_time_s=None)


def bare(dialogue: Dialogue, name: str, turns: Sequence[Turn]) -> Dialogue:
    """Nothing in it that was said about the dialogue as it was."""
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
