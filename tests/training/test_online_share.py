"""Which batches are shown without later turns: a share of them, by their place in the run alone."""

from typing import Any

import pytest
from torch import nn

from labelgen.training.module import TrainingModule
from labelgen.training.options import OptimizerOptions
from labelgen.training.sampler import StepPart


class Told(nn.Linear):
    """A model that remembers how it was asked."""

    def __init__(self) -> None:
        super().__init__(1, 1)
        self.asked: list[bool] = []
        self.tasks: dict[str, Any] = {}

    def losses(self, batch: Any, causal: bool = False) -> dict[str, Any]:
        self.asked.append(causal)
        return {}


def drawn(seed: int, share: float) -> list[bool]:
    module = TrainingModule(Told(), OptimizerOptions(), 1, seed, share)  # type: ignore[arg-type]
    places = [(step, part) for step in range(200) for part in range(2)]
    return [module._is_online(StepPart(step, part, part == 1, 0, ())) for step, part in places]


@pytest.mark.parametrize("share", [0.0, 0.25, 0.5, 1.0])
def test_the_share_is_kept_and_the_seed_alone_decides(share: float):
    found = drawn(3, share)
    assert sum(found) / len(found) == pytest.approx(share, abs=0.07)
    assert drawn(3, share) == found
    assert (drawn(4, share) == found) == (share in (0.0, 1.0))


def test_validation_sees_both_ways():
    module: Any = TrainingModule(Told(), OptimizerOptions(), 1, 0, 1.0)  # type: ignore[arg-type]
    module.validation_step(None, 0)
    assert module.model.asked == [False]
