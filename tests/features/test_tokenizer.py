"""Tokens are those that transformers gives, with their places in the text."""

from hypothesis import given
from hypothesis import strategies as st

from labelgen.features.pretrained import load_tokenizer
from labelgen.features.text import Tokenizer


@given(st.lists(st.text(max_size=30), min_size=1, max_size=4), st.integers(4, 12))
def test_ids_and_places_are_those_of_transformers(tiny_encoder, texts, most):
    own = Tokenizer(load_tokenizer(str(tiny_encoder)), most)(texts)
    theirs = load_tokenizer(str(tiny_encoder))(texts, truncation=True, max_length=most, return_offsets_mapping=True)
    assert [list(tokens.ids) for tokens in own] == theirs["input_ids"]
    assert [list(tokens.spans) for tokens in own] == [list(map(tuple, spans)) for spans in theirs["offset_mapping"]]
