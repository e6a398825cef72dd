"""What is masked, what is not, and that spans stay valid."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from labelgen.data.dialogue import (
    Category,
    Dialogue,
    Feedback,
    Hypothesis,
    HypothesisSlot,
    Number,
    Recognition,
    Signal,
    Step,
    Turn,
)
from labelgen.data.labels import Annotation, AtSpan, AtTurn, Label, Target
from labelgen.data.record import Rejected, encode
from labelgen.data.redact import mask, redact_dialogue, redact_rejected

PERSONAL = """ann.o'neil+x@mail.example.org
+1 (707) 555-0123
707-555-0123
555-0123
+442079460958
4111 1111 1111 1111
4111.1111.1111.1111
(707)555-0123
707\u00a0555\u00a00123
707\u2011555\u20110123
７０７－５５５－０１２３
7 0 7 5 5 5 0 1 2 3
0049 171 2345678
ann＠example．org
ann@\u200bexample.org
DE89 3704 0044 0532 0130 00
gb82 west 1234 5698 7654 32
2001:db8::ff00:42:8329
::ffff:192.0.2.128
192.0.2.128"""


@pytest.mark.parametrize("text", PERSONAL.split("\n"))
def test_mask_personal_data_in_any_context_is_masked(text):
    assert mask(text) == "#" * len(text)
    assert mask(f"call {text}, please") == f"call {'#' * len(text)}, please"


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ('{"text": "call\\n7075550123"}', '{"text": "call\\n##########"}'),
        ('{"text": "7075550123\\u3067\\u3059"}', '{"text": "##########\\u3067\\u3059"}'),
        ('{"text": "ann\\u0040example.org"}', '{"text": "####################"}'),
        ('"{\\\\"a\\\\": \\\\"call\\\\\\\\n7075550123\\\\"}"', None),
        ("call\n7075550123", "call\n##########"),
        ("<a href=tel:+1-707-555-0123>", "<a href=tel:###############>"),
        ("tel:7075550123", "tel:##########"),
        ("phone:707-555-0123", "phone:############"),
        ("电话7075550123吗", "电话##########吗"),
        ("7075550123,7075550124", "##########,##########"),
        ("707-555-0123x22", "############x22"),
        ("mailto:ann%40mail.test", "mailto:###############"),
        ("mine:2001:db8::ff00:42:8329", "mine:######################"),
        ("192.0.2.128:8080", "###########:8080"),
        ("https://example.org/7075550123", None),
    ],
)
def test_mask_personal_data_within_run_is_masked(text, masked):
    found = mask(text)
    assert "5550123" not in found
    assert "example" not in found or "0040" not in text
    assert masked in (None, found)


NUMBERS = st.from_regex(r"[\d +().@a-z:/\\\u00a0\u2013\[\]-]{0,40}", fullmatch=True)


@given(st.one_of(st.text(max_size=60), NUMBERS))
def test_mask_twice_keeps_length_and_text(text):
    once = mask(text)
    assert len(once) == len(text)
    assert mask(once) == once
    assert all(a in (b, "#") for a, b in zip(once, text, strict=True))


def test_redacted_dialogue_has_masked_texts_and_valid_spans():
    turn = Turn(
        request="call 707-555-0123 now",
        response="Calling 707-555-0123.",
        hypothesis=Hypothesis(slots=(HypothesisSlot(name="phone", start=5, end=17, value="call seven oh seven"),)),
        nbest=(Recognition(text="call 707-555-0123 now"),),
        extra='{"note":["ann@example.org",5]}',
    )
    labels = (Label("slots", AtSpan(0, 5, 17), "phone", value="7 0 7 5"), Label("intents", AtTurn(0), "Call"))
    dialogue = Dialogue(id="d", turns=(turn,), annotations=(Annotation("anna", "person", labels),))
    found = redact_dialogue(dialogue)
    assert found.turns[0].request == "call ############ now"
    assert found.annotations[0].labels[0] == replace(labels[0], value="#######")
    assert found.annotations[0].labels[1] == labels[1]
    text = encode(found)
    assert b"555" not in text
    assert b"seven" not in text
    assert b"ann@" not in text
    assert redact_dialogue(found) == found
    assert (
        redact_rejected(Rejected(file="a", reason="bad_json: x", raw='{"id": "ann@example.org"')).raw
        == '{"id": "###############"'
    )


def test_redacted_record_masks_every_text_field():
    """Whatever is free text, keys too; the record's identity and the vocabulary of labels stay."""
    text = "mail ann@example.org or 707-555-0123"
    turn = Turn(
        request=text,
        response=text,
        domain=text,
        status=text,
        categories=(Category(name=text, value=text),),
        numbers=(Number(name=text, value=1.0),),
        hypothesis=Hypothesis(slots=(HypothesisSlot(name="s", start=0, end=4, value=text),)),
        nbest=(Recognition(text=text),),
        feedback=(Feedback(kind=text, question=text, answer=text, text=text),),
        steps=(
            Step(kind=text, name=text, arguments=json.dumps({text: [text, 7075550123]}), result=text, error=text),
            Step(kind="tool", result="7075550123"),
        ),
        extra=json.dumps({text: {text: [text]}}),
    )
    dialogue = Dialogue(
        id="d",
        turns=(turn,),
        device=text,
        feedback=(Feedback(kind=text, question=text, answer=text, text=text),),
        annotations=(Annotation("anna", "person", (Label("slots", AtSpan(0, 0, 4), "s", value=text),)),),
        signals=(Signal(kind=text, turns=(0,), vote="bad"),),
        targets=(Target("quality", AtTurn(0), (("bad", 1.0),), origin=text),),
        extra=json.dumps({"ann@example.org": 1, "bob@example.org": 2}),
    )
    found = redact_dialogue(dialogue)
    assert b"example" not in encode(found)
    assert b"555" not in encode(found)
    assert found.extra is not None
    assert sorted(json.loads(found.extra).values()) == [1, 2]
    assert redact_dialogue(found) == found
