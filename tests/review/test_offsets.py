"""Offsets in UTF-16 code units and in code points."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labelgen.review.label_studio import from_units, to_units

texts = st.text(
    st.one_of(st.characters(exclude_categories=["Cs"]), st.sampled_from("a😀👨‍👩‍👧é́𝄞\n\u200d")), max_size=12
)


def naive_units(text: str) -> int:
    """What `text.length` is in JavaScript: two for a character outside the Basic Multilingual Plane."""
    return sum(2 if ord(character) > 0xFFFF else 1 for character in text)


@given(texts, st.data())
def test_units_are_those_of_a_browser_and_lead_back(text, data):
    offset = data.draw(st.integers(0, len(text)))
    units = to_units(text, offset)
    assert units == naive_units(text[:offset])
    assert from_units(text, units) == offset


@given(texts)
def test_units_that_no_character_begins_at_are_refused(text):
    places = {to_units(text, offset) for offset in range(len(text) + 1)}
    for units in range(-1, naive_units(text) + 2):
        if units not in places:
            with pytest.raises(ValueError, match="offset"):
                from_units(text, units)


def test_an_emoji_before_a_slot_counts_twice():
    assert to_units("😀 play", 2) == 3
    assert from_units("😀 play", 3) == 2
    with pytest.raises(ValueError, match="within a character"):
        from_units("😀 play", 1)
