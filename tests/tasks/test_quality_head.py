"""Quality is read beside the turns around, as far as they may be seen."""

from dataclasses import replace

import torch
from hypothesis import given
from hypothesis import strategies as st
from layouts import layout_of

from labelgen.features.layout import Layout, States
from labelgen.tasks.quality import QualityHead, around

D = 4


def batch_of(counts: list[int], sees: str, width: int = D) -> tuple[States, Layout]:
    torch.manual_seed(sum(counts))
    turns = torch.randn(sum(counts), width)
    return States(turns, turns, turns, turns, None, {}, sees), layout_of(*counts)  # type: ignore[arg-type]


@given(st.lists(st.integers(1, 5), min_size=1, max_size=4), st.sampled_from(["all", "earlier", "none"]))
def test_before_after_and_mean_beside_a_loop(counts, sees):
    states, layout = batch_of(counts, sees)
    before, after, whole = around(states, layout)
    k = 0
    for n in counts:
        own = states.turns[k : k + n]
        for t in range(n):
            nothing = torch.zeros(D)
            wanted = {
                "all": (
                    own[t - 1] if t else nothing,
                    own[t + 1] if t + 1 < n else nothing,
                    own.mean(dim=0),
                ),
                "earlier": (own[t - 1] if t else nothing, nothing, own[: t + 1].mean(dim=0)),
                "none": (nothing, nothing, nothing),
            }[sees]
            for found, right in zip((before, after, whole), wanted, strict=True):
                torch.testing.assert_close(found[k + t], right)
        k += n


def test_without_context_a_turn_is_judged_by_itself():
    torch.manual_seed(0)
    head = QualityHead(32)
    states, layout = batch_of([5], "none", 32)
    turns = torch.cat([states.turns[:1], torch.randn(4, 32)])
    other = replace(states, turns=turns, alone=turns)
    assert torch.equal(head(states, layout)[0], head(other, layout)[0])
    one, another = (head(replace(x, sees="all"), layout)[0] for x in (states, other))
    assert not torch.equal(one, another)
