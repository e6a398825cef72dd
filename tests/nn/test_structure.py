"""A new biaffine scores how alike two turns are."""

import torch

from labelgen.nn.structure import Biaffine


def test_new_links_are_as_strong_as_turns_are_alike():
    torch.manual_seed(0)
    turns = torch.randn(1, 6, 16)
    turns[0, 4] = turns[0, 1]
    pairs = Biaffine(16, 8)
    with torch.no_grad():
        pairs.bias.weight.zero_()
        scores = pairs(turns)[0]
    torch.testing.assert_close(scores, scores.T)
    states = pairs.later(turns)[0]
    torch.testing.assert_close(scores[4, 1], states[4].square().sum() / 8**0.5 + pairs.bias.bias[0])
