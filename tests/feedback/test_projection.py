"""Projection of spans from one request onto another."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labelgen.feedback.repair import Span, project, words

TEXT = st.text(st.characters() | st.sampled_from(" abAB'é\u0301ß🎵\u200d\u00a0\u3000播放"), max_size=20)
OURS = ("play", "some", "jazz", "für", "Öl", "播放")
NEW = ("xxxx", "qqqq", "🎵")
"""Words that are like none of OURS and not like each other."""


def on_words(text: str) -> st.SearchStrategy[list[Span]]:
    """Spans that begin and end with a word; none where there is no word."""
    places = words(text)
    if not places:
        return st.just([])
    ends = st.lists(st.integers(0, len(places) - 1), min_size=2, max_size=2).map(sorted)
    return st.lists(ends.map(lambda pair: (places[pair[0]][0], places[pair[1]][1])), max_size=3)


@given(TEXT)
def test_words_cover_all_visible_characters_once(text: str):
    places = words(text)
    assert all(a < b for a, b in places)
    assert all(before[1] <= after[0] for before, after in pairwise(places))
    assert "".join(text[a:b] for a, b in places) == "".join(text.split())


@given(st.data())
def test_projection_of_a_request_onto_itself_is_complete(data: st.DataObject):
    text = data.draw(TEXT)
    spans = data.draw(on_words(text))
    found = project(text, text, spans)
    assert found.spans == tuple(spans)
    assert found.complete == bool(words(text))


@given(st.data())
def test_projected_spans_begin_and_end_with_words(data: st.DataObject):
    before, after = data.draw(TEXT), data.draw(TEXT)
    spans = data.draw(st.lists(st.tuples(st.integers(0, 22), st.integers(0, 22)), max_size=4))
    found = project(before, after, spans)
    assert len(found.spans) == len(spans)
    assert 0.0 <= found.shared <= 1.0
    starts, ends = {a for a, _ in words(before)}, {b for _, b in words(before)}
    for place in found.spans:
        assert place is None or (place[0] in starts and place[1] in ends and 0 <= place[0] < place[1] <= len(before))


def text_of(parts: list[str]) -> str:
    return " ".join(parts)


@st.composite
def requests(draw: st.DrawFn) -> tuple[list[str], int, int]:
    """Words, and the first and one past the last that a span holds."""
    parts = draw(st.lists(st.sampled_from(OURS), min_size=1, max_size=7))
    first = draw(st.integers(0, len(parts) - 1))
    return parts, first, draw(st.integers(first + 1, len(parts)))


def span_of(parts: list[str], first: int, end: int) -> Span:
    places = words(text_of(parts))
    return places[first][0], places[end - 1][1]


@given(requests(), st.lists(st.sampled_from(NEW), max_size=3), st.lists(st.sampled_from(NEW), max_size=3))
def test_insertions_elsewhere_change_no_projection(request, early: list[str], late: list[str]):
    parts, first, end = request
    longer = [*parts[:first], *early, *parts[first:end], *late, *parts[end:]]
    for before, after, at in ((longer, parts, first), (parts, longer, first + len(early))):
        found = project(text_of(before), text_of(after), [span_of(after, at, at + end - first)])
        (place,) = found.spans
        assert place is not None
        assert text_of(before)[slice(*place)] == text_of(parts[first:end])
        assert found.complete == (len(before) <= len(parts))


@pytest.mark.parametrize(
    ("before", "after", "words_of_span", "place"),
    [
        ("play purple hays please", "play purple haze", "purple haze", "purple hays"),
        ("start a timer for fifty minutes", "set a fifteen minute timer", "fifteen minute", "fifty minutes"),
        ("set a timer for fifty minutes", "no i said for fifteen minutes", "fifteen minutes", "fifty minutes"),
        ("play haze", "play purple haze", "purple haze", None),
        ("play the purple um haze", "play purple haze", "purple haze", "purple um haze"),
        ("play something", "the other one", "other", None),
        ("SPIELE 🎵 FÜR STRASSE", "spiele für straße 🎵", "straße", "STRASSE"),
        ("🎵🎵 play cafe\u0301 noir!", "play cafe\u0301 noir", "cafe\u0301 noir", "cafe\u0301 noir"),
        ("", "play haze", "haze", None),
    ],
)
def test_projection_of_examples_returns_the_expected_place(
    before: str, after: str, words_of_span: str, place: str | None
):
    start = after.index(words_of_span)
    (found,) = project(before, after, [(start, start + len(words_of_span))]).spans
    assert (None if found is None else before[slice(*found)]) == place
