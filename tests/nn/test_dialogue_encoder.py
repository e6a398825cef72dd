"""A new dialogue encoder leaves its turns as they are; a trained one lets them see each other, within the mask."""

from unittest.mock import patch

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from labelgen.nn import dialogue_encoder
from labelgen.nn.dialogue_encoder import DialogueEncoder


def trained(layers: int, band: int) -> DialogueEncoder:
    """As if it were: a new one adds nothing to its turns."""
    torch.manual_seed(0)
    encoder = DialogueEncoder(16, layers=layers, heads=2, dropout=0.0, band=band)
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return encoder


def test_dialogue_encoder_padding_has_no_effect():
    encoder = trained(layers=2, band=128)
    turns = torch.randn(1, 5, 16)
    real = torch.tensor([[True, True, True, False, False]])
    other = turns.clone()
    other[:, 3:] = 9.0
    first, second = encoder(turns, real)[:, :3], encoder(other, real)[:, :3]
    torch.testing.assert_close(first, second)
    torch.testing.assert_close(first, encoder(turns[:, :3], None), rtol=1e-4, atol=1e-5)
    assert not torch.allclose(first, encoder(turns, None)[:, :3], atol=1e-3)


@given(
    lengths=st.lists(st.integers(1, 40), min_size=1, max_size=3),
    layers=st.integers(1, 3),
    band=st.integers(1, 12),
    window=st.integers(1, 17),
    causal=st.booleans(),
)
def test_dialogue_encoder_windows_equal_one_pass(lengths, layers, band, window, causal):
    """Whatever the lengths of the batch, the layers, the band and the mask, in training as at work."""
    encoder = trained(layers, band)
    longest = max(lengths)
    turns = torch.randn(len(lengths), longest, 16)
    real = torch.arange(longest) < torch.tensor(lengths)[:, None] if len(set(lengths)) > 1 else None
    whole = encoder(turns, real, causal)
    with patch.object(dialogue_encoder, "_WINDOW", window):
        windows = encoder(turns, real, causal)
    for b, length in enumerate(lengths):
        torch.testing.assert_close(windows[b, :length], whole[b, :length], rtol=1e-4, atol=1e-5)


@settings(max_examples=10)
@given(st.integers(1, 3), st.integers(1, 5), st.booleans())
def test_dialogue_encoder_turn_sees_one_band_a_layer(layers, band, causal):
    """Of a turn that changes, exactly those hear that are no further than layers times the band, later ones alone where
    the mask is causal."""
    encoder = trained(layers, band)
    turns = torch.randn(1, 40, 16)
    other = turns.clone()
    other[0, 20] = torch.randn(16)
    with torch.no_grad():
        moved = (encoder(turns, None, causal) != encoder(other, None, causal)).any(dim=2)[0]
    wanted = (torch.arange(40) - 20).abs() <= layers * band
    assert torch.equal(moved, wanted & (torch.arange(40) >= 20) if causal else wanted)
