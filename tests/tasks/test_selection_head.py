"""A response is at first chosen by its likeness to the request; what the dialogue adds is learned."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from labelgen.features.layout import Layout, States
from labelgen.nn.structure import NEVER
from labelgen.tasks.selection import SelectionHead
from labelgen.tasks.task import Widths

NONE = torch.zeros(0, dtype=torch.long)


def batch_of(count: int, texts: list[int], seed: int) -> tuple[States, Layout]:
    """One dialogue of `count` turns, whose responses are these texts."""
    draw = torch.Generator().manual_seed(seed)
    turns, requests, said = (torch.randn(count, width, generator=draw) for width in (6, 8, 8))
    at = torch.arange(count)
    layout = Layout((count,), (None,), (None,), ((),), at * 0, at, NONE, NONE, NONE, (0,) * count, torch.tensor(texts))
    return States(turns, turns, requests, said[torch.tensor(texts)], None, {}, "earlier"), layout


@given(st.lists(st.integers(0, 3), min_size=4, max_size=9), st.integers(0, 1000))
def test_a_new_head_ranks_by_the_cosine_of_request_and_response(texts: list[int], seed: int):
    states, layout = batch_of(len(texts), texts, seed)
    scores = SelectionHead(Widths(encoder=8, dialogue=6))(states, layout)
    for n, request in enumerate(states.requests):
        for m, response in enumerate(states.responses):
            if n != m and texts[n] == texts[m]:
                assert scores[n, m] == NEVER
            else:
                cosine = torch.cosine_similarity(request, response, dim=0)
                torch.testing.assert_close(scores[n, m], cosine * torch.tensor(2.5).exp(), rtol=1e-4, atol=1e-4)


def test_what_the_dialogue_says_is_learned_from_the_first_step():
    states, layout = batch_of(5, [0, 1, 2, 3, 4], 0)
    head = SelectionHead(Widths(encoder=8, dialogue=6))
    torch.nn.functional.cross_entropy(head(states, layout), torch.arange(5)).backward()
    for name, weight in head.named_parameters():
        assert weight.grad is not None
        assert weight.grad.abs().sum() > 0, name
