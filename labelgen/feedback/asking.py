"""Which turns to ask "did I answer your question?" about, under a budget.

A question costs the user's patience, so each should tell as much as it can: of its own turn and of all that look alike
(asking_pools.py). Alike are turns of which the same was said and that the model takes to be as good (its log-odds rounded); where
no model judged, turns of which the same was said and that asked for the same, as far as the assistant understood.

Choosing the pool that gains most, one question after the other, is optimal for these gains as long as no dialogue binds
several pools, since they are sums over pools and fall with every question. Within a pool all turns gain the same; there
the intent, then the user, that was asked about least comes first."""

import heapq
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from random import Random

from labelgen.data.dialogue import Dialogue
from labelgen.data.labels import Annotation, AtTurn
from labelgen.data.quality import QualityName
from labelgen.feedback.asking_pools import Pool
from labelgen.feedback.em.patterns import Votes, pattern_of
from labelgen.feedback.items import Item, turn_items
from labelgen.feedback.posterior import Method
from labelgen.feedback.repair import believed
from labelgen.feedback.wording import asks_if_served, gives_up, says_stop, takes_leave, went_wrong

STRATEGIES = ("gain", "random")

NOBODY = Annotation("nobody", "model")

Key = tuple[object, ...]


@dataclass(frozen=True, slots=True)
class Place:
    """A turn, and what is believed of it. votes: what was said of it by other means than an answer. signals, model:
    probability that it went well; None where there is none. asked: the user was asked about it; answer: and said so.
    askable: the question makes sense there."""

    dialogue: str
    turn: int
    user: str | None
    domain: str | None
    intents: tuple[str, ...]
    votes: Votes
    signals: float | None
    model: float | None
    asked: bool = False
    answer: QualityName | None = None
    askable: bool = True

    def alike(self) -> Key:
        """Equal for turns of one pool."""
        if self.model is None:
            return (self.votes, self.domain, self.intents)
        p = min(max(self.model, 1e-9), 1.0 - 1e-9)
        return (self.votes, max(-4, min(math.floor(math.log(p / (1.0 - p))), 3)))


@dataclass(frozen=True, slots=True)
class Question:
    """gain: expected, in turns (asking_pools.py). pool: of the place; asked: how many of its turns come before this one."""

    place: Place
    gain: float
    pool: Pool
    asked: int


def places(dialogue: Dialogue, method: Method | None, annotator: str | None = None) -> Iterator[Place]:
    """Every turn of a dialogue that has signals. method: gives the posterior of the signals, None where nothing is believed
    of them. annotator: the model whose quality of turns is taken, where the dialogue has it; None takes the first model's."""
    judged = _judged(dialogue, annotator)
    for item in turn_items(dialogue, dialogue.signals):
        t = item.turns[0]
        told = method(item) if method is not None else None
        said = {s.vote for s in item.signals if s.kind == "answer"}
        yield Place(
            dialogue=dialogue.id,
            turn=t,
            user=dialogue.user,
            domain=item.domain,
            intents=tuple(sorted(believed(dialogue, t))),
            votes=tuple(vote for vote in pattern_of(item).votes if vote[0] != "answer"),
            signals=None if told is None else told.good,
            model=judged.get(t),
            asked=bool(said) or asks_if_served(dialogue.turns[t].response),
            answer=said.pop() if len(said) == 1 else None,
            askable=askable(item),
        )


def askable(item: Item) -> bool:
    """Whether "did I answer your question?" makes sense after that turn: it asked for something and got a response, which
    neither says itself that it failed, nor asks back."""
    [t] = item.turns
    turn = item.dialogue.turns[t]
    if not turn.request or not turn.response or went_wrong(turn) or turn.response.rstrip().endswith("?"):
        return False
    if gives_up(turn.request) or says_stop(turn.request):
        return False
    return bool(turn.hypothesis.intents) if turn.hypothesis is not None else not takes_leave(turn.request)


def _judged(dialogue: Dialogue, annotator: str | None) -> Mapping[int, float]:
    """Turn -> the probability that it went well by the model, fair counting half."""
    models = (a for a in dialogue.annotations if a.kind == "model" and annotator in (None, a.annotator))
    found = {}
    for label in next(models, NOBODY).labels:
        if label.task == "quality" and isinstance(label.at, AtTurn):
            # A record holds the probabilities of all names, or the name alone.
            names = dict(label.distribution or ((label.name, 1.0),))
            found[label.at.turn] = names.get("good", 0.0) + names.get("fair", 0.0) / 2.0
    return found


def choose(
    of: Sequence[Place], budget: int, strategy: str = "gain", per_dialogue: int = 1, seed: int = 0
) -> list[Question]:
    """At most `budget` questions, the first to be asked first, and no more than `per_dialogue` about the turns of one
    dialogue, those counted that were asked there already. The order of the places is of no influence."""
    by_pool: dict[Key, list[Place]] = {}
    for place in sorted(of, key=lambda p: (p.dialogue, p.turn)):
        by_pool.setdefault(place.alike(), []).append(place)
    asked = Counter(place.dialogue for place in of if place.asked)
    pools = [
        _Candidates(own, per_dialogue, seed)
        for _, own in sorted(by_pool.items(), key=lambda pair: repr(pair[0]))
        if any(place.askable and not place.asked for place in own)
    ]
    order = _by_gain(pools, asked) if strategy == "gain" else _at_random(pools, asked, seed)
    return [question for question, _ in zip(order, range(budget), strict=False)]


class _Candidates:
    """The turns of one pool that can still be asked about."""

    def __init__(self, own: Sequence[Place], per_dialogue: int, seed: int) -> None:
        self.pool = pool_of(own)
        self.per_dialogue = per_dialogue
        self.asked = 0
        self.intents: Counter[tuple[str, ...]] = Counter()
        free = (place for place in own if place.askable and not place.asked)
        # A seeded place in the queue, which depends on the turn alone and not on what else is in the log.
        self.queue = [(0, 0, Random(f"{seed}/{p.turn}/{p.dialogue}").random(), p.dialogue, p.turn, p) for p in free]
        heapq.heapify(self.queue)

    def take(self, place: Place, asked: Counter[str]) -> Question:
        """Ask about one of its turns."""
        question = Question(place, self.pool.gain(self.asked), self.pool, self.asked)
        self.asked += 1
        self.intents[place.intents] += 1
        asked[place.dialogue] += 1
        return question

    def next(self, asked: Counter[str], users: Counter[str | None]) -> Place | None:
        """The turn whose intents, then whose user, was asked about least; None where none is left."""
        while self.queue:
            intents, user, rank, name, turn, place = heapq.heappop(self.queue)
            if asked[name] >= self.per_dialogue:
                continue
            # Counts only rise, so a turn that was put back with its new ones stands in its right place.
            now = (self.intents[place.intents], users[place.user] if place.user is not None else 0)
            if now == (intents, user):
                return place
            heapq.heappush(self.queue, (*now, rank, name, turn, place))
        return None


def pool_of(own: Sequence[Place]) -> Pool:
    """The pool of these turns, of which one at least has no answer."""
    open_ = [place for place in own if place.answer is None]
    said = Counter(place.answer for place in own)
    return Pool(
        turns=len(open_),
        signals=_mean([p.signals for p in open_ if p.signals is not None]),
        model=_mean([p.model for p in open_ if p.model is not None]),
        good=said["good"],
        bad=said["bad"],
    )


def _mean(values: Sequence[float]) -> float | None:
    return math.fsum(values) / len(values) if values else None


def _by_gain(pools: Sequence[_Candidates], asked: Counter[str]) -> Iterator[Question]:
    """A pool's gain changes by questions about it alone, so a heap of pools gives the greatest."""
    users: Counter[str | None] = Counter()
    heap = [(-own.pool.gain(0), k) for k, own in enumerate(pools)]
    heapq.heapify(heap)
    while heap:
        _, k = heapq.heappop(heap)
        place = pools[k].next(asked, users)
        if place is not None:
            users[place.user] += 1
            yield pools[k].take(place, asked)
            if pools[k].asked < pools[k].pool.turns:
                heapq.heappush(heap, (-pools[k].pool.gain(pools[k].asked), k))


def _at_random(pools: Sequence[_Candidates], asked: Counter[str], seed: int) -> Iterator[Question]:
    """Every turn that makes sense is as likely."""
    drawn = [(own, entry[-1]) for own in pools for entry in sorted(own.queue, key=lambda entry: entry[2:5])]
    drawn.sort(key=lambda pair: (pair[1].dialogue, pair[1].turn))
    Random(f"ask/{seed}").shuffle(drawn)
    for own, place in drawn:
        if asked[place.dialogue] < own.per_dialogue:
            yield own.take(place, asked)
