"""Laws of the alarm over weeks: false alarms at any time, users that are heavy or return, and power."""

import numpy as np
import pytest

from labelgen.confidence.two_sample import evidence_of_change

WEEKS = 15


def world(seed: int, rise: float, returning: bool = True) -> tuple[dict[int, float], list[dict[int, float]]]:
    """Users with rates of their own and many dialogues, who come back in several weeks, and were before the release."""
    rng = np.random.default_rng(seed)
    rates = rng.beta(1.5, 3.5, 400)
    dialogues = rng.geometric(0.2, 400)

    def seen(users: np.ndarray, more: float) -> dict[int, float]:
        own = np.minimum(1, rates[users] + more)
        return dict(zip(users.tolist(), (rng.binomial(dialogues[users], own) / dialogues[users]).tolist(), strict=True))

    before = seen(rng.permutation(200), 0)
    later = np.arange(0 if returning else 200, 400)
    return before, [seen(rng.choice(later, 30, replace=False), rise) for _ in range(WEEKS)]


@pytest.mark.parametrize("returning", [True, False])
def test_without_a_change_an_alarm_is_as_seldom_as_it_says_at_any_week(returning: bool):
    alarms = sum(evidence_of_change(*world(seed, 0.0, returning))[-1].p_value <= 0.05 for seed in range(400))
    assert alarms <= 0.05 * 400


def test_a_large_rise_raises_the_alarm_and_its_direction():
    found = [evidence_of_change(*world(seed, 0.3))[-1] for seed in range(50)]
    assert sum(one.p_value <= 0.05 and one.rises for one in found) >= 45


def test_evidence_is_that_of_a_naive_game():
    """One unit of money, split evenly over ten bets, each of which is multiplied at every pair."""
    before, weeks = {1: 0.5, 2: 0.0, 5: 1.0}, [{2: 1.0, 7: 0.5}, {2: 1.0, 9: 0.0, 1: 1.0}]
    # 2 with itself, 7 with 1; then 1 is in a pair already, and 9 takes 5.
    pairs = [(1.0, 0.0), (0.5, 0.5), (0.0, 1.0)]
    stakes = [sign * stake for sign in (1, -1) for stake in (0.05, 0.1, 0.2, 0.4, 0.8)]
    wealth = [np.mean([np.prod([1 + s * (a - b) for a, b in pairs[:k]]) for s in stakes]) for k in range(1, 4)]
    found = evidence_of_change(before, weeks)
    assert [one.pairs for one in found] == [2, 3]
    assert [one.p_value for one in found] == pytest.approx([1 / max(1, *wealth[:2]), 1 / max(1, *wealth)])


def test_later_weeks_change_no_earlier_evidence():
    before, weeks = world(0, 0.2)
    every = evidence_of_change(before, weeks)
    assert evidence_of_change(before, weeks[:4]) == every[:4]
    assert [one.p_value for one in every] == sorted((one.p_value for one in every), reverse=True)
