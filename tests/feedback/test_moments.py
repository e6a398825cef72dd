"""Teachable moments: kind and span of what users say once and expect an assistant to know."""

from collections.abc import Sequence
from itertools import pairwise

import pytest
from heard import dialogues, talk
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from benchmarks.moments import examples
from labelgen.data.dialogue import Dialogue
from labelgen.data.record import Rejected, decode, encode
from labelgen.feedback.detectors.moments import moments
from labelgen.feedback.items import items_of
from labelgen.feedback.signal import find_signals


def said(request: str, response: str | None = "") -> Sequence[tuple[str, str]]:
    return [(m.kind, request[m.start : m.end]) for m in moments(request, response)]


@pytest.mark.parametrize("form", ["written", "spoken"])
def test_held_out_templates_are_found_with_exact_spans(form: str) -> None:
    drawn = [(moments(request), true) for _, request, true in examples(form)]
    right = sum(true in found for found, true in drawn)
    asked = sum(true is not None for _, true in drawn)
    assert 2 * right >= 0.9 * (sum(len(found) for found, _ in drawn) + asked)


def test_statement_ends_before_courtesy_and_another_request() -> None:
    assert said("I hate jazz, so skip all of it") == [("preference", "I hate jazz")]
    assert said("Please remember that I park on Elm Street, thanks.") == [("remember", "I park on Elm Street")]


@given(st.text(alphabet="Iİß’ remember that no, my call me .?!alwysht", max_size=80))
def test_spans_of_any_text_lie_in_it_in_order(request: str) -> None:
    found = moments(request)
    assert all(0 <= m.start < m.end <= len(request) for m in found)
    assert all(one.end <= other.start for one, other in pairwise(found))


@given(dialogues())
def test_moments_judge_no_item(dialogue: Dialogue) -> None:
    taught = replace(dialogue, turns=tuple(replace(t, request="I always want tea") for t in dialogue.turns))
    signals = find_signals(taught, ["preference"])
    assert len(signals) == len(taught.turns)
    assert not any(item.signals for item in items_of(taught, signals))


def test_span_outside_of_its_request_is_rejected() -> None:
    dialogue = talk("I always want tea", "Noted.")
    (signal,) = find_signals(dialogue, ["preference"])
    good = replace(dialogue, signals=(signal,))
    assert decode(encode(good), "memory") == good
    assert isinstance(decode(encode(replace(good, signals=(replace(signal, span=(0, 99)),))), "memory"), Rejected)
