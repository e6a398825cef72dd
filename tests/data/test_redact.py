"""What is masked, what is not, and that spans stay valid."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labelgen.data.dialogue import Dialogue, Hypothesis, HypothesisSlot, Recognition, Turn
from labelgen.data.labels import Annotation, AtSpan, AtTurn, Label
from labelgen.data.quarantine import Rejected
from labelgen.data.record import encode
from labelgen.data.redact import mask, redacted, redacted_bad


@pytest.mark.parametrize(
    "text",
    [
        "ann.o'neil+x@mail.example.org",
        "+1 (707) 555-0123",
        "707-555-0123",
        "(707) 555 0123",
        "0171/2345678",
        "555-0123",
        "7075550123",
        "+442079460958",
        "4111 1111 1111 1111",
        "5500-0000-0000-0004",
        "378282246310005",
    ],
)
def test_these_are_masked_wherever_they_stand(text):
    assert mask(text) == "#" * len(text)
    assert mask(f"call {text}, please") == f"call {'#' * len(text)}, please"


@pytest.mark.parametrize(
    "text",
    [
        "on 2019-03-01 at 10:30",
        "on 01.03.2019",
        "from 2019-2020",
        "for $1,234,567.89",
        "room 101 for 2 at 7 pm",
        "it is 12.5 degrees and 1013.25 hPa",
        "version 10.2.33",
        "five five five one two",
        "@ann and ann at example",
        "the 3rd of 1200 people",
    ],
)
def test_these_are_left(text):
    assert mask(text) == text


def test_a_long_number_is_a_card_only_with_its_check_digit():
    assert mask("4111111111111111") == "#" * 16
    assert mask("4111111111111112") == "4111111111111112"


NUMBERS = st.from_regex(r"[\d +().@a-z/-]{0,40}", fullmatch=True)


@given(st.one_of(st.text(max_size=60), NUMBERS))
def test_a_mask_keeps_the_length_and_finds_nothing_new(text):
    once = mask(text)
    assert len(once) == len(text)
    assert mask(once) == once
    assert all(a in (b, "#") for a, b in zip(once, text, strict=True))


def test_every_text_of_a_dialogue_is_masked_and_spans_stay():
    turn = Turn(
        request="call 707-555-0123 now",
        response="Calling 707-555-0123.",
        hypothesis=Hypothesis(slots=(HypothesisSlot(name="phone", start=5, end=17, value="call seven oh seven"),)),
        nbest=(Recognition(text="call 707-555-0123 now"),),
        extra='{"note":["ann@example.org",5]}',
    )
    labels = (Label("slots", AtSpan(0, 5, 17), "phone", value="7 0 7 5"), Label("intents", AtTurn(0), "Call"))
    dialogue = Dialogue(id="d", turns=(turn,), annotations=(Annotation("anna", "person", labels),))
    found = redacted(dialogue)
    assert found.turns[0].request == "call ############ now"
    assert found.annotations[0].labels[0] == replace(labels[0], value="#######")
    assert found.annotations[0].labels[1] == labels[1]
    text = encode(found)
    assert b"555" not in text
    assert b"seven" not in text
    assert b"ann@" not in text
    assert redacted(found) == found
    assert (
        redacted_bad(Rejected(file="a", reason="bad_json: x", raw='{"id": "ann@example.org"')).raw
        == '{"id": "###############"'
    )
