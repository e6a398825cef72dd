"""Witnesses: what the user's reactions say about an item, and how reliable each is.

A family of signals is one witness, since its kinds read the same event. About an item it says one of its votes, or it is silent, or
it could not speak; then it adds nothing. The log-odds of what the witnesses say are added, those of implicit ones times TEMPER: they
depend on each other in ways that two classes do not explain, and a sum would be too sure.

Each witness is judged by content and by the others: an item's posterior without the witness is a reference with errors. Were the
reference exact, the share of good items among those where a witness says v would be the precision of v. It is not, so the
difference from the mean is shrunk by the reference's reliability, the ratio of variances, as in a regression on a variable with errors; the
same ratio says how many exact items the votes are worth. PRIOR_VOTES votes of the declared precision are added. A vote that turns
against its polarity is switched off.

Sources: Dawid and Skene 1979; Raykar et al. 2010, "Learning from crowds"; Carroll et al. 2006, "Measurement Error in Nonlinear
Models", for the ratio."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from labelgen.data.dialogue import Dialogue
from labelgen.feedback.cues import Vote
from labelgen.feedback.detectors import DETECTORS
from labelgen.feedback.items import FeedbackItem, log_odds, prior_log_odds
from labelgen.feedback.signal import EARLIER, MASKED, detector, reliability
from labelgen.verdicts.content import content_kinds

Floats = NDArray[np.float64]

TEMPER = 0.3
"""Factor of the log-odds of implicit witnesses."""

PRIOR_VOTES = 30.0
"""Exact votes that a declared precision is worth."""

MOST_SILENCE = 0.5
"""Log-odds of silence at most, in nats, either way."""

_SURE = 0.02
"""Precisions nearer to 0 or 1 are clipped."""

ASKED = ("answer", "rating", "questionnaire")
"""Witnesses whose silence says nothing: few users answer, and those who do are not representative."""

SILENT = "silent"

GOOD = {"success": 1.0, "failure": 0.0, "good": 1.0, "fair": 0.5, "bad": 0.0}
"""A name of a verdict -> the share of good."""


@dataclass(frozen=True, slots=True)
class Statement:
    """What one witness says: the kind that spoke loudest, its vote and strength; kind is SILENT where none did. explicit: the user was
    asked, or rated."""

    witness: str
    kind: str
    vote: Vote | None = None
    strength: float = 1.0
    explicit: bool = False
    declared: float = field(init=False, repr=False)
    """Log-odds of good as declared; silence declares none."""
    full: float = field(init=False, repr=False)
    """The same at full strength."""

    def __post_init__(self) -> None:
        for name, strength in (("declared", self.strength), ("full", 1.0)):
            nats = 0.0 if self.vote is None else prior_log_odds(self.kind, self.vote, strength)
            object.__setattr__(self, name, nats)

    @property
    def key(self) -> str:
        """The name of its rate."""
        return f"{self.witness} {SILENT}" if self.vote is None else f"{self.kind} {self.vote}"

    @property
    def weight(self) -> float:
        """1 of explicit witnesses, else TEMPER."""
        return 1.0 if self.explicit else TEMPER


Statements = tuple[Statement, ...]

_Observable = Callable[[Dialogue, int], bool]
"""Whether a kind could have spoken about a turn."""


def statements_of(item: FeedbackItem) -> Statements:
    """What the witnesses of an item say, by witness; those that could not speak are left out (`all_statements`)."""
    return all_statements([item])[0]


def all_statements(items: Iterable[FeedbackItem]) -> list[Statements]:
    """What the witnesses of each item say, by witness; those that could not speak are left out.

    Of a kind that speaks several times the strongest signal counts, and of a family its strongest vote. Votes of both polarities that
    are equally strong cancel out: the witness could not speak. Where feedback is masked nobody could."""
    content, families = content_kinds(), _families()
    return [_statements(item, content, families) for item in items]


def _statements(
    item: FeedbackItem, content: Sequence[str], families: Mapping[str, Sequence[_Observable]]
) -> Statements:
    if any(signal.kind == MASKED for signal in item.dialogue.signals):
        return ()
    loudest: dict[str, list[Statement]] = {}
    for signal in item.signals:
        declared = reliability(signal.kind)
        if signal.kind not in content and signal.vote in declared.precision and signal.vote != "fair":
            said = Statement(declared.family, signal.kind, signal.vote, signal.strength, signal.explicit)
            loudest.setdefault(declared.family, []).append(said)
    asked = any(said.explicit for kinds in loudest.values() for said in kinds)
    found = []
    for witness in sorted({*families, *loudest}):
        if witness in loudest:
            said = max(loudest[witness], key=lambda s: (abs(s.declared), s.key))
            if not any(math.isclose(s.declared, -said.declared) for s in loudest[witness]):
                found.append(said)
        elif witness not in ASKED and not asked and _could_speak(families[witness], item):
            found.append(Statement(witness, SILENT))
    return tuple(found)


def _families() -> dict[str, list[_Observable]]:
    """Each witness, and whether each of its kinds could have spoken about a turn; EARLIER, which no detector finds, has none."""
    families: dict[str, list[_Observable]] = {EARLIER: []}
    content = content_kinds()
    for kind in DETECTORS:
        if kind not in content:
            families.setdefault(reliability(kind).family, []).append(detector(kind).observable)
    return families


def _could_speak(kinds: Sequence[_Observable], item: FeedbackItem) -> bool:
    if not kinds:
        return len(item.turns) > 1
    return any(observable(item.dialogue, turn) for observable in kinds for turn in item.turns)


@dataclass(frozen=True, slots=True)
class Rate:
    """What a log teaches about one vote of one kind, or about the silence of a witness.

    times: items of which it says so. agreement: share of them that content and the other witnesses call as the vote does, by
    expectation; of silence, that they call good. nats: log-odds of good, at full strength; 0 where it is switched off."""

    times: int
    agreement: float
    nats: float


@dataclass(frozen=True, slots=True)
class Rates:
    """rates: by the key of a statement. A statement without a rate counts as declared. only_explicit: implicit witnesses are ignored."""

    rates: dict[str, Rate] = field(default_factory=dict)
    only_explicit: bool = False

    def nats(self, statement: Statement) -> float:
        """Log-odds of good of one statement: its rate at its strength, times the weight of the witness."""
        rate = self.rates.get(statement.key)
        if self.only_explicit and not statement.explicit:
            return 0.0
        if rate is None:
            return statement.weight * statement.declared
        return statement.weight * rate.nats * (statement.declared / statement.full if statement.full else 1.0)

    def total(self, statements: Statements) -> float:
        """The sum of all statements of an item."""
        return math.fsum(map(self.nats, statements))

    def explicit(self) -> "Rates":
        """These rates for explicit witnesses, and nothing for implicit ones."""
        return Rates(dict(self.rates), only_explicit=True)

    def switched_off(self) -> Iterator[str]:
        """Votes that turned against their polarity."""
        return (key for key, rate in sorted(self.rates.items()) if not key.endswith(SILENT) and rate.nats == 0.0)


def fit_rates(said: Sequence[Statements], content: Floats, known: Floats, before: Rates | None = None) -> Rates:
    """Rates from items. content: log-odds of good by content, out of fold. known: the share of people who call an item good, NaN where
    nobody judged it. before: rates of the others, None for the declared ones."""
    others = before or Rates()
    totals = np.array([others.total(statements) for statements in said])
    of_witness: dict[str, list[tuple[int, Statement]]] = {}
    for k, statements in enumerate(said):
        for statement in statements:
            of_witness.setdefault(statement.witness, []).append((k, statement))
    rates: dict[str, Rate] = {}
    for entries in of_witness.values():
        items = np.array([k for k, _ in entries])
        own = np.array([others.nats(statement) for _, statement in entries])
        reference = np.where(np.isnan(known[items]), _sigmoid(content[items] + totals[items] - own), known[items])
        mean = float(np.clip(reference.mean(), _SURE, 1.0 - _SURE))
        reliable = float(np.clip(reference.var() / (mean * (1.0 - mean)), 1e-3, 1.0))
        keys = np.array([statement.key for _, statement in entries])
        for key in np.unique(keys):
            chosen = np.flatnonzero(keys == key)
            rates[str(key)] = _rate(entries[chosen[0]][1], reference[chosen], mean, reliable)
    return Rates(rates)


def _rate(statement: Statement, reference: Floats, mean: float, reliable: float) -> Rate:
    """The rate of one key. reference: of its items. mean, reliable: of all items of its witness."""
    good = mean + (float(reference.mean()) - mean) / reliable
    found = log_odds(min(max(good, _SURE), 1.0 - _SURE)) - log_odds(mean)
    votes = len(reference) * reliable**2
    full = statement.full
    nats = (votes * found + PRIOR_VOTES * full) / (votes + PRIOR_VOTES)
    share = float(reference.mean())
    if statement.vote is None:
        return Rate(len(reference), share, float(np.clip(nats, -MOST_SILENCE, MOST_SILENCE)))
    return Rate(len(reference), share if full > 0.0 else 1.0 - share, max(nats, 0.0) if full > 0.0 else min(nats, 0.0))


def witness_words(rates: Rates, statements: Iterable[Statement]) -> str:
    """What the witnesses say, each with its log-odds, the strongest first; silence is named where it counts."""
    parts = sorted(((rates.nats(s), s) for s in statements), key=lambda pair: (-abs(pair[0]), pair[1].key))
    return ", ".join(f"{s.key} {nats:+.2f}" for nats, s in parts if s.vote is not None or abs(nats) >= 0.005)


def _sigmoid(nats: Floats) -> Floats:
    result: Floats = 1.0 / (1.0 + np.exp(-np.clip(nats, -30.0, 30.0)))
    return result
