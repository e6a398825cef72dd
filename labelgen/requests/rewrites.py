"""Rewrites of requests that fail, mined from what users ask next: an absorbing Markov chain over request forms, pooled over users.

A form is a request in plain words. A user who asks for a form is served, and the walk ends as satisfied; or is not, and asks for the next form of
the goal, or gives up. The weight of each way is the posterior of the verdict. A form is rewritten to the form at which most of its walks end
as satisfied, if that form works certainly better. Counts are shrunk towards the log's rate, so that a form that was seen once says little.

Source: Ponnusamy et al. 2020, "Feedback-based self-learning in large-scale conversational AI agents"."""

from array import array
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from labelgen.confidence.prediction_powered import RateEstimate, difference, interval_of
from labelgen.data.dialogue import Dialogue
from labelgen.data.labels import AtGoal, AtTurn, plain_words
from labelgen.data.split import user_key
from labelgen.feedback.items import goals_of
from labelgen.metrics.results import Interval
from labelgen.requests.asked import failures, passing_turns, rate_over_users, signals_in

SHRINKAGE = 2.0
"""Imagined requests of each form that end at once, at the log's rate of satisfied ones."""
CHANCE = 0.01
"""A rewrite that follows its request so often by chance with a greater probability than this is left out."""
TRIED = 5
"""Forms at which most walks end that are tried as a rewrite."""
_LEAST_MASS = 1e-12
_DROPPED = 1e-9
"""Visits of a form below which a walk is not followed further."""
_ROWS_AT_ONCE = 256
NOWHERE = -1

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass
class Walks:
    """What users asked for, one entry for each request: form, next form (NOWHERE at the end of a goal), user, and posterior that it was
    served. Memory: about 24 bytes a request, and the words of each form once. unjudged: requests without a verdict, which are left out."""

    forms: dict[str, int] = field(default_factory=dict)
    users: dict[str, int] = field(default_factory=dict)
    form: "array[int]" = field(default_factory=lambda: array("q"))
    next_form: "array[int]" = field(default_factory=lambda: array("q"))
    user: "array[int]" = field(default_factory=lambda: array("q"))
    served: "array[float]" = field(default_factory=lambda: array("d"))
    unjudged: int = 0

    def add(self, user: str, requests: Sequence[tuple[str, float]]) -> None:
        """Add the requests of one goal, in order: form and posterior that it was served."""
        of = self.users.setdefault(user, len(self.users))
        numbers = [self.forms.setdefault(form, len(self.forms)) for form, _ in requests]
        self.form.extend(numbers)
        self.next_form.extend([*numbers[1:], NOWHERE][: len(numbers)])
        self.user.extend([of] * len(numbers))
        self.served.extend(served for _, served in requests)


def walks_of(dialogues: Iterable[Dialogue], annotator: str | None) -> Walks:
    """The walks of a log. annotator: whose verdicts and goals; None: targets from feedback, provisional goals."""
    walks = Walks()
    for dialogue in dialogues:
        for requests in _goals(dialogue, annotator, walks):
            walks.add(user_key(dialogue), requests)
    return walks


def _goals(dialogue: Dialogue, annotator: str | None, walks: Walks) -> Iterator[list[tuple[str, float]]]:
    failed, signals = failures(dialogue, annotator), signals_in(dialogue)
    passing = passing_turns(signals)
    judged = [at.turns for at in failed if isinstance(at, AtGoal)]
    for turns in judged or goals_of(dialogue, annotator, signals)[0]:
        requests = []
        for turn in turns:
            form = plain_words(dialogue.turns[turn].request)
            if form and turn not in passing:
                verdict = failed.get(AtTurn(turn))
                if verdict is None:
                    walks.unjudged += 1
                else:
                    requests.append((form, 1.0 - verdict))
        if requests:
            yield requests


@dataclass(frozen=True, slots=True)
class Chain:
    """The absorbing chain. moves: sparse [forms, forms], the probability of each next form. satisfied: [forms], of ending there as satisfied;
    what is left is abandoned. requests: [forms], how often each was asked for."""

    moves: Any
    satisfied: Floats
    requests: Floats


def chain_of(walks: Walks, shrinkage: float = SHRINKAGE) -> Chain:
    """The chain of walks, shrunk towards the log's rate of satisfied requests."""
    from scipy import sparse

    form, after, served = _arrays(walks)
    count = len(walks.forms)
    requests = np.bincount(form, minlength=count).astype(np.float64)
    good = np.bincount(form, served, count)
    rate = float(served.mean()) if len(served) else 0.0
    goes_on = after != NOWHERE
    ways = (1.0 - served[goes_on], (form[goes_on], after[goes_on]))
    weight = 1.0 / (requests + shrinkage)
    moves = sparse.diags(weight) @ sparse.csr_matrix(ways, shape=(count, count))
    return Chain(moves.tocsr(), (good + shrinkage * rate) * weight, requests)


def _arrays(walks: Walks) -> tuple[Ints, Ints, Floats]:
    form, after = (np.frombuffer(of, np.int64) if of else np.zeros(0, np.int64) for of in (walks.form, walks.next_form))
    return form, after, np.frombuffer(walks.served, np.float64) if walks.served else np.zeros(0)


def ends(chain: Chain, forms: Sequence[int]) -> Any:
    """Where walks from these forms end as satisfied: a sparse matrix [len(forms), all forms] of probabilities.

    Visits are summed step by step, which is the inverse of (1 - moves) times these rows. A step that visits a form less than _DROPPED
    times is not followed, so memory is bounded by what is reached from these forms."""
    from scipy import sparse

    count = len(forms)
    step = sparse.csr_matrix(
        (np.ones(count), (np.arange(count), np.asarray(forms, np.int64))), (count, len(chain.satisfied))
    )
    visits = step
    while step.nnz and step.sum(axis=1).max() > _LEAST_MASS:
        step = step @ chain.moves
        step.data[step.data < _DROPPED] = 0.0
        step.eliminate_zeros()
        visits = visits + step
    return visits.multiply(chain.satisfied[None]).tocsr()


class Rewrite(Struct, frozen=True, kw_only=True):
    """A request and what it is rewritten to.

    reached: probability that a walk from the request ends as satisfied at the rewrite. requests: how often it was asked for. moved: users who
    asked for the rewrite next. users, users_after: of the request, and of the rewrite. before, after: share of each that was served, and change: the
    difference, with intervals over users."""

    request: str
    rewrite: str
    reached: float
    requests: int
    moved: int
    users: int
    users_after: int
    before: Interval
    after: Interval
    change: Interval


class RequestForms:
    """The requests of a log by form. known: forms that may be rewritten or be a rewrite."""

    def __init__(self, walks: Walks, least_users: int, blocked: Collection[str]) -> None:
        form, after, self._served = _arrays(walks)
        self._user = np.frombuffer(walks.user, np.int64) if walks.user else form
        self._after = after
        self._order = np.argsort(form, kind="stable")
        self._starts = np.searchsorted(form[self._order], np.arange(len(walks.forms) + 1))
        moved = after[after != NOWHERE]
        self._into, self._moves = np.bincount(moved, minlength=len(walks.forms)), max(1, len(moved))
        often = np.flatnonzero(np.diff(self._starts) >= least_users).tolist()
        names = list(walks.forms)
        self.known = {k: names[k] for k in often if self.users(k) >= least_users and not _is_blocked(names[k], blocked)}

    def rows(self, form: int) -> Ints:
        return self._order[self._starts[form] : self._starts[form + 1]]

    def users(self, form: int) -> int:
        return len(np.unique(self._user[self.rows(form)]))

    def rate(self, form: int) -> RateEstimate | None:
        """The share that was served."""
        return rate_over_users(
            self._served[self.rows(form)].tolist(), [str(k) for k in self._user[self.rows(form)].tolist()]
        )

    def moved(self, form: int, to: int) -> tuple[int, float]:
        """How many users moved from one form to another, and the probability of so many if forms followed each other by chance."""
        from scipy.stats import binom

        rows = self.rows(form)
        count, goes_on = (
            len(np.unique(self._user[rows[kept]])) for kept in (self._after[rows] == to, self._after[rows] != NOWHERE)
        )
        return count, float(binom.sf(count - 1, goes_on, self._into[to] / self._moves))

    def rewrite(self, form: int, to: int, reached: float, level: float) -> Rewrite | None:
        """The rewrite of a form; None if the other form does not work certainly better, or follows it by chance."""
        before, after = self.rate(form), self.rate(to)
        change = interval_of(difference(before, after), level, -1.0)
        moved, chance = self.moved(form, to)
        if change.low is None or change.low <= 0.0 or chance > CHANCE:
            return None
        return Rewrite(
            request=self.known[form],
            rewrite=self.known[to],
            reached=reached,
            requests=len(self.rows(form)),
            moved=moved,
            users=self.users(form),
            users_after=self.users(to),
            before=interval_of(before, level),
            after=interval_of(after, level),
            change=change,
        )


def mine(
    walks: Walks, least_users: int, blocked: Collection[str] = (), level: float = 0.95, shrinkage: float = SHRINKAGE
) -> list[Rewrite]:
    """The rewrites of a log, those of the most frequent requests first. least_users: of a request and of its rewrite. blocked: words or
    phrases that neither may have.

    No rewrite is rewritten itself: of a chain of rewrites only the last step is kept, so applying them twice changes nothing."""
    chain, forms = chain_of(walks, shrinkage), RequestForms(walks, least_users, blocked)
    sources = [k for k in sorted(forms.known) if chain.moves.indptr[k + 1] > chain.moves.indptr[k]]
    rewrites: dict[int, tuple[int, Rewrite]] = {}
    for start in range(0, len(sources), _ROWS_AT_ONCE):
        some = sources[start : start + _ROWS_AT_ONCE]
        rows = ends(chain, some)
        for row, source in enumerate(some):
            span = slice(rows.indptr[row], rows.indptr[row + 1])
            reached = dict(zip(rows.indices[span].tolist(), rows.data[span].tolist(), strict=True))
            others = sorted((-p, k) for k, p in reached.items() if k in forms.known and k != source)[:TRIED]
            tried = ((k, forms.rewrite(source, k, -p, level)) for p, k in others)
            if (first := next(((k, one) for k, one in tried if one is not None), None)) is not None:
                rewrites[source] = first
    kept = [one for best, one in rewrites.values() if best not in rewrites]
    return sorted(kept, key=lambda one: (-one.requests, one.request))


def _is_blocked(form: str, blocked: Collection[str]) -> bool:
    return any(f" {word} " in f" {form} " for word in blocked)
