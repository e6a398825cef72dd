"""The table of feedback methods: metrics over resampled groups, and calibration that never sees its fold."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, log_loss

from benchmarks.feedback import METRICS, _calibrated, _value
from labelgen.confidence.resampling import resamples

RNG = np.random.default_rng(3)
GROUP = RNG.integers(0, 40, 400)
BAD = RNG.random(400) < 0.3
P = np.clip(np.round(0.3 + 0.3 * (BAD - 0.5) + RNG.normal(0.0, 0.2, 400), 1), 0.1, 0.9)


@pytest.mark.parametrize("metric", METRICS)
def test_values_of_resamples_equal_those_of_repeated_places(metric: str) -> None:
    times = resamples(40, 6, 1)
    found = _value(metric, P, BAD, GROUP, times)
    naive = average_precision_score if metric == "bad_auprc" else log_loss
    for value, taken in zip(found, [np.ones(40), *times], strict=True):
        places = np.repeat(np.arange(400), taken[GROUP].astype(int))
        assert value == pytest.approx(naive(BAD[places], P[places]))


def test_calibration_does_not_see_the_places_that_it_is_applied_to() -> None:
    """Answers of one group turned around change no probability of that group."""
    before = _calibrated(P, BAD, GROUP)
    turned = np.where(GROUP == 7, ~BAD, BAD)
    after = _calibrated(P, turned, GROUP)
    assert after[GROUP == 7] == pytest.approx(before[GROUP == 7])
    assert not np.allclose(after, before)
