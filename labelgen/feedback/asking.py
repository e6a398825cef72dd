"""Active learning from users: which turns to ask "did I answer your question?" about, under a budget.

Turns that look alike form a pool, and an answer about one of them is evidence about all. Alike are turns with the same
votes and the same model prediction (its log-odds rounded); without a model, turns with the same votes, domain and intents.

A pool's turns go well at one unknown rate with a Beta distribution. Its mean is that of the posteriors by signals and model.
Its variance is that of a belief worth BELIEF_ITEMS turns, plus the disagreement of the two. The loss is the squared error
of the posterior, summed over the turns of the pool. With mean m, strength s (items' worth) and x answers,

    loss of the others  = n (m (1 - m) s / (s + 1) + m (1 - m) / (s + 1) * s / (s + x))

of which only the second part can be learned. So each question about a pool gains less than the one before it, and large,
uncertain, contested pools come first. An answer that is wrong with probability w is worth (1 - 2 w)^2 right ones. Source:
Gelman et al. 2013, "Bayesian Data Analysis", chapter 2 (posterior variance of a beta-binomial).

The greedy choice of the pool that gains most is optimal for these gains, as long as no dialogue binds several pools: they
are sums over pools and fall with every question. Within a pool all turns gain the same; there the intent, then the user,
that was asked about least comes first."""

import heapq
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from random import Random

from labelgen.data.dialogue import Dialogue
from labelgen.data.labels import Annotation, AtTurn, QualityName
from labelgen.feedback.cues import asks_if_served, gives_up, says_stop, takes_leave, went_wrong
from labelgen.feedback.em.patterns import Votes, pattern_of
from labelgen.feedback.items import FeedbackItem, turn_items
from labelgen.feedback.posterior import Method
from labelgen.feedback.repair import predicted_intents
from labelgen.feedback.signal import reliability

STRATEGIES = ("gain", "random")

BELIEF_ITEMS = 100.0
"""Number of answered turns that a posterior is worth as a belief about the rate of a pool."""

ANSWERED = 0.5
"""Assumed share of users who answer. It scales all gains alike, but for how fast they fall."""

WRONG = 1.0 - reliability("answer").precision["good"]
"""Share of wrong answers."""

_WORTH = (1.0 - 2.0 * WRONG) ** 2
"""Right answers that one answer is worth."""
_LEAST_STRENGTH = 0.5
_SURE = 0.005

Key = tuple[object, ...]


@dataclass(frozen=True, slots=True)
class TurnBelief:
    """A turn, and what is known about it.

    votes: by other means than an answer. signals, model: probability that it went well; None without either. asked: the user
    was asked about it; answer: the user's answer. askable: the question makes sense there."""

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
class Pool:
    """turns: number without an answer, at least 1. signals, model: their mean probability of good; None without any. good,
    bad: number of answers about turns of the pool."""

    turns: int
    signals: float | None
    model: float | None
    good: int = 0
    bad: int = 0

    def rate(self) -> tuple[float, float]:
        """Mean of the rate of good turns, and how many right answers that belief is worth."""
        beliefs = [p for p in (self.signals, self.model) if p is not None]
        mean = min(max(sum(beliefs) / len(beliefs), _SURE), 1.0 - _SURE) if beliefs else 0.5
        # Without any belief all rates are equally likely: two items' worth.
        spread = mean * (1.0 - mean) / ((BELIEF_ITEMS if beliefs else 2.0) + 1.0)
        if len(beliefs) == 2:
            spread += ((beliefs[0] - beliefs[1]) / 2.0) ** 2
        strength = max(mean * (1.0 - mean) / spread - 1.0, _LEAST_STRENGTH)
        total = strength + _WORTH * (self.good + self.bad)
        return (strength * mean + _WORTH * self.good) / total, total

    def gain(self, asked: int) -> float:
        """Expected decrease of the loss by one more question, where `asked` open questions about the pool come before it.

        In turns: to know one turn for sure instead of at evens gains 0.25. Raises ValueError where no turn is left."""
        if not 0 <= asked < self.turns:
            raise ValueError(f"{asked} of {self.turns} turns asked")
        mean, strength = self.rate()
        even = mean * (1.0 - mean)
        yes = WRONG + (1.0 - 2.0 * WRONG) * mean
        of_turn = ANSWERED * (even * (1.0 - 2.0 * WRONG)) ** 2 / (yes * (1.0 - yes))
        worth, others = ANSWERED * _WORTH, self.turns - 1 - asked
        before = strength + asked * worth
        return of_turn + others * even / (strength + 1.0) * strength * (1.0 / before - 1.0 / (before + worth))


@dataclass(frozen=True, slots=True)
class Question:
    """turn: to ask about. gain: expected, in turns (Pool.gain). pool: of the turn; asked: number of its turns that come
    before this one."""

    turn: TurnBelief
    gain: float
    pool: Pool
    asked: int


def turn_beliefs(dialogue: Dialogue, method: Method | None, annotator: str | None = None) -> Iterator[TurnBelief]:
    """Every turn of a dialogue that has signals. method: gives the posterior of the signals, None to ignore them. annotator:
    the model whose quality of turns is used, where the dialogue has it; None for the first model."""
    of_model = _qualities(dialogue, annotator)
    for item in turn_items(dialogue, dialogue.signals):
        t = item.turns[0]
        posterior = method(item) if method is not None else None
        answers = {s.vote for s in item.signals if s.kind == "answer"}
        yield TurnBelief(
            dialogue=dialogue.id,
            turn=t,
            user=dialogue.user,
            domain=item.domain,
            intents=tuple(sorted(predicted_intents(dialogue, t))),
            votes=tuple(vote for vote in pattern_of(item).votes if vote[0] != "answer"),
            signals=None if posterior is None else posterior.good,
            model=of_model.get(t),
            asked=bool(answers) or asks_if_served(dialogue.turns[t].response, dialogue.locale),
            answer=answers.pop() if len(answers) == 1 else None,
            askable=is_askable(item),
        )


def is_askable(item: FeedbackItem) -> bool:
    """Whether "did I answer your question?" makes sense after that turn: a request got a response that neither reports a
    failure nor asks back."""
    [t] = item.turns
    turn, locale = item.dialogue.turns[t], item.dialogue.locale
    if not turn.request or not turn.response or went_wrong(turn, locale) or turn.response.rstrip().endswith("?"):
        return False
    if gives_up(turn.request, locale) or says_stop(turn.request, locale):
        return False
    return bool(turn.hypothesis.intents) if turn.hypothesis is not None else not takes_leave(turn.request, locale)


def _qualities(dialogue: Dialogue, annotator: str | None) -> Mapping[int, float]:
    """Turn -> the model's probability that it went well, fair counts half."""
    models = (a for a in dialogue.annotations if a.kind == "model" and annotator in (None, a.annotator))
    qualities = {}
    for label in next(models, Annotation("nobody", "model")).labels:
        if label.task == "quality" and isinstance(label.at, AtTurn):
            # A record holds the probabilities of all names, or the name alone.
            names = dict(label.distribution or ((label.name, 1.0),))
            qualities[label.at.turn] = names.get("good", 0.0) + names.get("fair", 0.0) / 2.0
    return qualities


def choose(
    turns: Sequence[TurnBelief], budget: int, strategy: str = "gain", per_dialogue: int = 1, seed: int = 0
) -> list[Question]:
    """At most `budget` questions in their order, and no more than `per_dialogue` in one dialogue, earlier questions there
    included. The order of the turns does not matter."""
    by_pool: dict[Key, list[TurnBelief]] = {}
    for turn in sorted(turns, key=lambda p: (p.dialogue, p.turn)):
        by_pool.setdefault(turn.alike(), []).append(turn)
    asked = Counter(turn.dialogue for turn in turns if turn.asked)
    queues = [
        _PoolQueue(pool, per_dialogue, seed)
        for _, pool in sorted(by_pool.items(), key=lambda pair: repr(pair[0]))
        if any(turn.askable and not turn.asked for turn in pool)
    ]
    order = _by_gain(queues, asked) if strategy == "gain" else _at_random(queues, asked, seed)
    return [question for question, _ in zip(order, range(budget), strict=False)]


class _PoolQueue:
    """The turns of one pool that can still be asked about."""

    def __init__(self, turns: Sequence[TurnBelief], per_dialogue: int, seed: int) -> None:
        self.pool = pool_of(turns)
        self.per_dialogue = per_dialogue
        self.asked = 0
        self.intents: Counter[tuple[str, ...]] = Counter()
        free = (turn for turn in turns if turn.askable and not turn.asked)
        # A seeded place in the queue, which depends on the turn alone and not on the rest of the log.
        self.queue = [(0, 0, Random(f"{seed}/{p.turn}/{p.dialogue}").random(), p.dialogue, p.turn, p) for p in free]
        heapq.heapify(self.queue)

    def take(self, turn: TurnBelief, asked: Counter[str]) -> Question:
        """Ask about one of its turns."""
        question = Question(turn, self.pool.gain(self.asked), self.pool, self.asked)
        self.asked += 1
        self.intents[turn.intents] += 1
        asked[turn.dialogue] += 1
        return question

    def next(self, asked: Counter[str], users: Counter[str | None]) -> TurnBelief | None:
        """The turn whose intents, then whose user, was asked about least; None where none is left."""
        while self.queue:
            intents, user, rank, name, number, turn = heapq.heappop(self.queue)
            if asked[name] >= self.per_dialogue:
                continue
            # Counts only rise, so a turn that is put back with its new ones is in its right place.
            now = (self.intents[turn.intents], users[turn.user] if turn.user else 0)
            if now == (intents, user):
                return turn
            heapq.heappush(self.queue, (*now, rank, name, number, turn))
        return None


def pool_of(turns: Sequence[TurnBelief]) -> Pool:
    """The pool of these turns, of which at least one has no answer."""
    unanswered = [turn for turn in turns if turn.answer is None]
    answers = Counter(turn.answer for turn in turns)
    return Pool(
        turns=len(unanswered),
        signals=_mean([p.signals for p in unanswered if p.signals is not None]),
        model=_mean([p.model for p in unanswered if p.model is not None]),
        good=answers["good"],
        bad=answers["bad"],
    )


def _mean(values: Sequence[float]) -> float | None:
    return math.fsum(values) / len(values) if values else None


def _by_gain(queues: Sequence[_PoolQueue], asked: Counter[str]) -> Iterator[Question]:
    """Greedy: questions about other pools do not change a pool's gain, so a heap of pools gives the greatest."""
    users: Counter[str | None] = Counter()
    heap = [(-queue.pool.gain(0), k) for k, queue in enumerate(queues)]
    heapq.heapify(heap)
    while heap:
        _, k = heapq.heappop(heap)
        turn = queues[k].next(asked, users)
        if turn is not None:
            users[turn.user] += 1
            yield queues[k].take(turn, asked)
            if queues[k].asked < queues[k].pool.turns:
                heapq.heappush(heap, (-queues[k].pool.gain(queues[k].asked), k))


def _at_random(queues: Sequence[_PoolQueue], asked: Counter[str], seed: int) -> Iterator[Question]:
    """Every askable turn is equally likely."""
    turns = [(queue, entry[-1]) for queue in queues for entry in sorted(queue.queue, key=lambda entry: entry[2:5])]
    turns.sort(key=lambda pair: (pair[1].dialogue, pair[1].turn))
    Random(f"ask/{seed}").shuffle(turns)
    for queue, turn in turns:
        if asked[turn.dialogue] < queue.per_dialogue:
            yield queue.take(turn, asked)
