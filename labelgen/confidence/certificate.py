"""Risk control for selective prediction: the lowest threshold with a guaranteed error rate (Learn-then-Test).

An answer is accepted where its score is at least a threshold. A threshold holds where the share of errors among what it
accepts is at most `max_error`; its test rejects the opposite. Answers of one user depend on each other, so a unit, a user or a
dialogue of nobody, is one draw, and counts for at most `most` accepted answers (three of four units have no more), or a few heavy
users could hide any error. Where most units have one, one is drawn of each and counted by the exact binomial; else a bet is
made on the sums of a unit, which uses all of its answers.

Thresholds are tested from the strictest that accepts enough down to the first that fails, each at the full level
(fixed-sequence testing), so that the last that passed holds with the requested confidence. The order, `most` and the stakes come
from other users than those that are tested. Sources: Angelopoulos et al. 2021, "Learn then Test"; Maurer 2008 for the
fixed sequence; Waudby-Smith and Ramdas 2024, "Estimating means of bounded random variables by betting"."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from labelgen.confidence.resampling import Array
from labelgen.data.split import position

MOST_THRESHOLDS = 50
"""Number of thresholds to try; more do not weaken the guarantee and gain little."""

START_ERRORS = 3
"""Number of errors that the first threshold tolerates, if there are enough dialogues."""

_START_SHARE = 0.6
"""Maximum share of the dialogues of the loosest threshold that the first threshold needs."""

_STAKES = np.linspace(0.04, 1.0, 25)


@dataclass(frozen=True, slots=True)
class Scored:
    """Answers of some units: users, and dialogues of nobody. unit: [N], whose each is, 0..units-1; score: [N]; wrong: [N], 1 or 0.
    names: of the units, in order; they decide what is drawn, and in which order bets are made."""

    unit: NDArray[np.int64]
    score: Array
    wrong: Array
    names: tuple[str, ...]

    @property
    def units(self) -> int:
        return len(self.names)

    def accepted(self, threshold: float) -> tuple[Array, Array]:
        """How many answers of each unit the threshold accepts, and how many of them are wrong, both [U]."""
        taken = self.score >= threshold
        unit = self.unit[taken]
        items = np.bincount(unit, minlength=self.units).astype(np.float64)
        errors = np.bincount(unit, weights=self.wrong[taken], minlength=self.units).astype(np.float64)
        return items, errors


@dataclass(frozen=True, slots=True)
class ThresholdTest:
    """A threshold that is to be tested. most: answers a unit counts for; stake: 0..1, of what a bet may lose; expected:
    units with as many answers that the tested part is expected to have."""

    threshold: float
    most: int
    stake: float
    expected: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """threshold: None where none holds, with the reason. p_value: of the threshold, else of the first that failed.
    tested: how many thresholds were. units, items, errors: accepted in the part that was tested; units are users, and dialogues of
    nobody. most: answers a unit counted for."""

    threshold: float | None
    reason: str | None = None
    p_value: float | None = None
    tested: int = 0
    most: int | None = None
    units: int = 0
    items: int = 0
    errors: int = 0


def dialogues_needed(errors: int, max_error: float, confidence: float) -> int:
    """The least number of independent dialogues of which so many may be wrong: 99, 157, 208, 257 for 0 to 3 errors at 3%
    and 95%."""
    from scipy.stats import binom

    low, high = errors + 1, 2 * errors + 2
    while binom.cdf(errors, high, max_error) > 1 - confidence:
        low, high = high, 2 * high
    while low < high:
        middle = (low + high) // 2
        if binom.cdf(errors, middle, max_error) > 1 - confidence:
            low = middle + 1
        else:
            high = middle
    return low


def upper_bound(errors: int, dialogues: int, confidence: float) -> float:
    """The largest error rate that so many errors of so many independent dialogues leave possible. Source: Clopper and
    Pearson 1934."""
    from scipy.stats import beta

    return 1.0 if errors >= dialogues else float(beta.ppf(confidence, errors + 1, dialogues - errors))


def plan(chosen: Scored, dialogues: int, max_error: float, confidence: float) -> tuple[ThresholdTest, ...]:
    """The thresholds to test on a part of so many dialogues, strictest first; empty where even all answers come from too
    few. `chosen` is another part: its scores choose the thresholds, its errors the stakes alone."""
    if not len(chosen.score) or not chosen.units:
        return ()
    grid = np.unique(np.quantile(chosen.score, np.linspace(0.0, 0.98, MOST_THRESHOLDS), method="lower"))[::-1]
    steps = [_step(chosen, float(t), dialogues / chosen.units, max_error, confidence) for t in grid]
    available = steps[-1].expected
    least = dialogues_needed(0, max_error, confidence)
    start = min(dialogues_needed(START_ERRORS, max_error, confidence), max(least, _START_SHARE * available))
    return tuple(step for step in steps if step.expected >= start)


def _step(chosen: Scored, threshold: float, scale: float, max_error: float, confidence: float) -> ThresholdTest:
    items, errors = chosen.accepted(threshold)
    most = int(np.quantile(items[items > 0], 0.75, method="higher"))
    lost = _limit(max_error) * _STAKES
    hoped = scale * np.log1p(-lost[:, None] * _gains(items, errors, most, max_error)).sum(axis=1)
    # Where there is enough to win, one unit that is wholly wrong is not to be the end, though none was seen yet.
    spared = hoped + np.log1p(-lost * (1 - max_error))
    stake = float(_STAKES[(spared if spared.max() >= -np.log(1 - confidence) else hoped).argmax()])
    return ThresholdTest(threshold, most, stake, scale * float((np.minimum(items, most) / most).sum()))


def certify(
    scored: Scored, steps: Sequence[ThresholdTest], max_error: float, confidence: float, draw: str
) -> Certificate:
    """Test the steps on the part `scored`, which did not influence them. draw: seed of the draws, such as the task's name."""
    last: Certificate | None = None
    places = _places(scored, draw)
    for tested, step in enumerate(steps, 1):
        items, errors = scored.accepted(step.threshold)
        certificate = Certificate(
            threshold=step.threshold,
            p_value=_p_value(items, errors, step, max_error, places),
            tested=tested,
            most=step.most,
            units=int((items > 0).sum()),
            items=int(items.sum()),
            errors=int(errors.sum()),
        )
        assert certificate.p_value is not None
        if certificate.p_value > 1 - confidence:
            return _failed(certificate, last, max_error, confidence)
        last = certificate
    return last or Certificate(threshold=None, reason=too_few(scored, max_error, confidence))


def _failed(failed: Certificate, last: Certificate | None, max_error: float, confidence: float) -> Certificate:
    if last is not None:
        return replace(last, tested=failed.tested)
    reason = (
        f"the {failed.items:,} most confident answers, of {failed.units:,} users, have {failed.errors:,} errors "
        f"({failed.errors / max(1, failed.items):.1%}): too many for {max_error:.1%} at {confidence:.0%}"
    )
    return replace(failed, threshold=None, reason=reason)


def too_few(scored: Scored, max_error: float, confidence: float) -> str:
    """The reason why there are too few users for a guarantee."""
    with_answers = len(np.unique(scored.unit))
    least = dialogues_needed(0, max_error, confidence)
    could = (
        f"; without an error they would support {upper_bound(0, with_answers, confidence):.1%}" if with_answers else ""
    )
    return (
        f"{max_error:.1%} at {confidence:.0%} needs {least:,} users (or dialogues of nobody) without an error, and more "
        f"where they have fewer answers than most; {with_answers:,} were held out that have an answer{could}"
    )


def p_value(scored: Scored, step: ThresholdTest, max_error: float, draw: str) -> float:
    """How likely units at least as good are, were the share of errors above `max_error`. It is at most the level with
    a chance of at most the level, for each threshold by itself."""
    return _p_value(*scored.accepted(step.threshold), step, max_error, _places(scored, draw))


def _places(scored: Scored, draw: str) -> Array:
    """Where each unit lies in [0, 1), by its name: what is drawn of it, and when its bet is made."""
    return np.array([position(0, f"{draw} {name}") for name in scored.names])


def _p_value(items: Array, errors: Array, step: ThresholdTest, max_error: float, places: Array) -> float:
    if step.most == 1:
        from scipy.stats import binom

        some = items > 0
        drawn = places[some] < errors[some] / items[some]
        return float(binom.cdf(int(drawn.sum()), int(some.sum()), max_error))
    gains = _gains(items, errors, step.most, max_error)[np.argsort(places, kind="stable")]
    wealth = np.log1p(-step.stake * _limit(max_error) * gains).cumsum()
    # Ville 1939: a fair game's wealth reaches 1 / p ever with a chance of at most p, so the best moment may be taken.
    return float(np.exp(-max(0.0, wealth.max(initial=0.0))))


def _gains(items: Array, errors: Array, most: int, max_error: float) -> Array:
    """Errors beyond those allowed, of each unit, in -max_error..1 - max_error; 0 where nothing was accepted."""
    counted = np.minimum(items, most)
    share = np.divide(errors, items, out=np.zeros_like(errors), where=items > 0)
    return counted / most * (share - max_error)


def _limit(max_error: float) -> float:
    """The largest stake that never loses more than there is; a little less, so that one error is not the end."""
    return 0.9999 / (1 - max_error)
