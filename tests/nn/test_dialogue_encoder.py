"""A new dialogue encoder leaves its turns as they are; a trained one lets them see each other, within the mask."""

import torch

from labelgen.nn.dialogue_encoder import DialogueEncoder


def test_a_new_encoder_adds_nothing():
    turns = torch.randn(3, 5, 16)
    encoder = DialogueEncoder(16, layers=2, heads=2, dropout=0.0)
    alone = DialogueEncoder(16, layers=0, heads=2, dropout=0.0)
    torch.testing.assert_close(encoder(turns, None), alone(turns, None))


def test_padding_is_never_seen():
    torch.manual_seed(0)
    encoder = DialogueEncoder(16, layers=2, heads=2, dropout=0.0)
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    turns = torch.randn(1, 5, 16)
    real = torch.tensor([[True, True, True, False, False]])
    other = turns.clone()
    other[:, 3:] = 9.0
    first, second = encoder(turns, real)[:, :3], encoder(other, real)[:, :3]
    torch.testing.assert_close(first, second)
    torch.testing.assert_close(first, encoder(turns[:, :3], None), rtol=1e-4, atol=1e-5)
    assert not torch.allclose(first, encoder(turns, None)[:, :3], atol=1e-3)


def test_a_new_block_looks_at_its_neighbours_and_everywhere():
    """The heads that are biased by distance prefer theirs to any other; at least one is free."""
    for heads in (1, 2, 6):
        (block,) = DialogueEncoder(16 * heads, layers=1, heads=heads, dropout=0.0).blocks
        preferred = [int(row.argmax()) - 32 for row in block.get_parameter("distance") if row.any()]
        assert preferred == [-1, 1, -2][: heads - 1]
