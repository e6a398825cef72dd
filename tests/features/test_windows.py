"""A text longer than the encoder's window is read in windows: nothing is lost, short texts stay as they were."""

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from labelgen.features.pretrained import load_encoder, load_tokenizer
from labelgen.features.text import Tokenizer, group_passages
from labelgen.nn.turn_encoder import EmbeddingCache, TurnEncoder, pool_texts

WORDS = st.lists(st.sampled_from(["play", "the", "red", "lamp", "für", "stop"]), max_size=40).map(" ".join)


@pytest.fixture(scope="module")
def tokenizer(tiny_encoder):
    return load_tokenizer(str(tiny_encoder))


@pytest.fixture(scope="module")
def encoder(tiny_encoder) -> TurnEncoder:
    made: Any = load_encoder(str(tiny_encoder))
    return TurnEncoder(made, made.config.hidden_size, frozen=True).eval()


@given(text=WORDS, most=st.integers(4, 12))
@settings(max_examples=60)
def test_windows_of_a_text_have_all_its_tokens_once(tokenizer, text: str, most: int) -> None:
    (whole,) = Tokenizer(tokenizer, 10_000)([text])
    (tokens,) = Tokenizer(tokenizer, most, 1_000)([text])
    assert (tokens.ids, tokens.spans) == (whole.ids, whole.spans)
    assert all(len(ids) <= most for ids in tokens.windows)
    joined = [k for ids, (start, end) in zip(tokens.windows, tokens.kept, strict=True) for k in ids[start:end]]
    assert tuple(joined) == tokens.ids
    if len(whole.ids) <= most:
        assert tokens.windows == (whole.ids,)
    assert tokens.windows[0] == tokens.truncated == Tokenizer(tokenizer, most)([text])[0].ids


@pytest.mark.parametrize("side", ["left", "right"])
def test_text_of_more_windows_loses_the_side_that_truncation_cuts(tiny_encoder, side: str) -> None:
    tokenizer = load_tokenizer(str(tiny_encoder))
    tokenizer.truncation_side = side
    text = " ".join(["play", "stop", "lamp", "red"] * 10)
    (whole,) = Tokenizer(tokenizer, 10_000)([text])
    (tokens,) = Tokenizer(tokenizer, 8, 2)([text])
    kept = [span for span in tokens.spans if span != (0, 0)]
    all_spans = [span for span in whole.spans if span != (0, 0)]
    assert len(tokens.windows) == 2
    assert kept == (all_spans[: len(kept)] if side == "right" else all_spans[-len(kept) :])


def vectors(encoder: TurnEncoder, tokenizer, texts: list[str], with_tokens: bool = True):
    tokens = Tokenizer(tokenizer, 8, 4)(texts)
    passages = group_passages(tokens, tokens[::-1])
    with torch.no_grad():
        pooled, states = encoder(passages, with_tokens)
    assert not with_tokens or len(states[passages.request_token]) == sum(len(t.ids) for t in tokens)
    return (
        pooled[passages.request],
        pooled[passages.response],
        states if states is None else states[passages.request_token],
    )


def test_vector_of_a_long_text_is_the_mean_of_all_its_token_states(encoder, tokenizer) -> None:
    text = "play the red lamp stop the red lamp play the red"
    (tokens,) = Tokenizer(tokenizer, 8, 4)([text])
    assert len(tokens.windows) > 1
    with torch.no_grad():
        states = torch.cat([encoder.states([torch.tensor([ids])])[0][0] for ids in tokens.windows])
    requests, _, _ = vectors(encoder, tokenizer, ["stop", text])
    torch.testing.assert_close(requests[1], states.mean(dim=0), rtol=1e-5, atol=1e-6)
    assert torch.equal(requests[0], pool_texts(encoder, [Tokenizer(tokenizer, 8)(["stop"])[0].ids])[0])


def test_embedding_cache_gives_the_same_for_long_texts(tiny_encoder, encoder, tokenizer) -> None:
    texts = ["play the red lamp stop the red lamp play", "stop", "stop stop red lamp stop stop red lamp stop stop"]
    plain = vectors(encoder, tokenizer, texts)
    made: Any = load_encoder(str(tiny_encoder))
    cached = TurnEncoder(made, made.config.hidden_size, frozen=True).eval()
    cached.encoder.load_state_dict(encoder.encoder.state_dict())
    cached.embedding_cache = EmbeddingCache()
    for _ in range(2):
        for one, other in zip(vectors(cached, tokenizer, texts), plain, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)
