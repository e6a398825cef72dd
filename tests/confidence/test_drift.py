"""Two-sample tests of dialogues: their level, their power, and what they compare."""

from itertools import combinations

import numpy as np
import pytest

from labelgen.confidence.two_sample import LEAST, OTHERS, Aspect, Sample, _groups, compare, energy_test


def sample(rng: np.random.Generator, dialogues: int, shift: float = 0.0, source: str = "a") -> Sample:
    """Aspects that depend on each other: a number, a vector with a heavy tail, a share, and one that some dialogues lack."""
    number = rng.normal(shift, 1.0, dialogues)
    vector = rng.standard_t(2, (dialogues, 4)) + number[:, None]
    share = rng.integers(0, 4, dialogues) / 3
    rows = {
        Aspect("inputs", "number"): tuple({"mean": float(x)} for x in number),
        Aspect("inputs", "vector"): tuple({str(k): float(x) for k, x in enumerate(v)} for v in vector),
        Aspect("predictions", "labels", "intents", "turn"): tuple({"x": float(s), "y": float(1 - s)} for s in share),
        Aspect("labels", "right", "intents", "turn"): tuple(
            {"share": float(s)} if k % 3 == 0 else None for k, s in enumerate(share)
        ),
    }
    return Sample((source,) * dialogues, rows)


def test_without_a_shift_false_alarms_keep_to_the_level():
    """With a level of 5%, 13 or more of 120 comparisons have a chance below 1%."""
    rng = np.random.default_rng(1)
    alarms = sum(
        any(test.drifted for test in compare(sample(rng, 30), sample(rng, 15), seed=trial)) for trial in range(120)
    )
    assert alarms <= 12


def test_a_shift_is_found_in_what_depends_on_it_and_nowhere_else():
    rng = np.random.default_rng(2)
    tests = compare(sample(rng, 60), sample(rng, 40, shift=1.5))
    assert {test.name for test in tests if test.drifted} == {"number", "vector"}
    number = next(test for test in tests if test.name == "number")
    assert number.log - number.reference > 1.0
    assert (number.reference_dialogues, number.log_dialogues) == (60, 40)


@pytest.mark.parametrize("seed", range(4))
def test_p_value_is_the_share_of_relabelings_that_are_as_far_apart(seed: int):
    """Against a plain definition of the energy distance, over all relabelings."""
    rng = np.random.default_rng(seed)
    first, second = rng.normal(0, 1, (4, 2)), rng.normal(0.8, 1, (5, 2))
    rows = np.concatenate([first, second])

    def distance(chosen: tuple[int, ...]) -> float:
        ours, theirs = rows[list(chosen)], rows[[k for k in range(9) if k not in chosen]]
        between, within, beyond = (
            np.mean([[np.linalg.norm(a - b) for b in y] for a in x])
            for x, y in ((ours, theirs), (ours, ours), (theirs, theirs))
        )
        return float(2 * between - within - beyond)

    observed = distance((0, 1, 2, 3))
    exact = np.mean([distance(chosen) >= observed - 1e-9 for chosen in combinations(range(9), 4)])
    found = np.mean([energy_test(first, second, 2000, np.random.default_rng(k)) for k in range(10)])
    assert found == pytest.approx(exact, abs=0.05)


def test_a_source_is_compared_with_its_own_and_an_unknown_one_with_all():
    rng = np.random.default_rng(4)
    reference, far = sample(rng, 40), sample(rng, 40, shift=4.0, source="b")
    both = Sample(
        (*reference.sources, *far.sources),
        {aspect: (*rows, *far.rows[aspect]) for aspect, rows in reference.rows.items()},
    )
    assert not any(test.drifted for test in compare(both, sample(rng, 30, shift=4.0, source="b")))
    assert any(test.drifted for test in compare(both, sample(rng, 30, shift=4.0, source="a")))
    mixed = sample(rng, 30, source="c")
    log = Sample((*mixed.sources[:20], *("a",) * 10), mixed.rows)
    assert {test.source for test in compare(both, log)} == {"a", OTHERS}


def test_too_few_dialogues_and_what_never_varies_are_not_tested():
    rng = np.random.default_rng(5)
    assert compare(sample(rng, 40), sample(rng, LEAST - 1)) == []
    same = Sample(("a",) * 20, {Aspect("inputs", "locale"): ({"en": 1.0},) * 20})
    assert compare(same, same) == []


def test_source_with_just_enough_dialogues_is_compared_by_itself() -> None:
    names = {"few": LEAST, "fewer": LEAST - 1, "many": 9}
    log = [name for name, count in names.items() for _ in range(count)]
    assert [group[0] for group in _groups(log, log)] == ["few", "many", OTHERS]
