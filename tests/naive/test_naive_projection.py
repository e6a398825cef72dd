"""The alignment of words against one that tries everything."""

from hypothesis import given
from hypothesis import strategies as st

from labelgen.feedback.repair import align, project, swap_cost, words

WORDS = st.lists(st.sampled_from(["play", "pay", "place", "a", "haze", "hays", "Haze", "rain", "ray"]), max_size=5)


def cheapest(before: list[str], after: list[str]) -> tuple[int, list[tuple[int, int]]]:
    """(cost, pairs) of the best alignment; of equal ones the first of: pair the last words, leave one out, put one in."""
    if not before or not after:
        return 1000 * (len(before) + len(after)), []
    ways = []
    cost = swap_cost(before[-1], after[-1])
    if cost < 2000:
        rest, pairs = cheapest(before[:-1], after[:-1])
        ways.append((rest + cost, [*pairs, (len(after) - 1, len(before) - 1)]))
    for shorter in ((before[:-1], after), (before, after[:-1])):
        rest, pairs = cheapest(*shorter)
        ways.append((rest + 1000, pairs))
    return min(ways, key=lambda way: way[0])


@given(WORDS, WORDS)
def test_the_alignment_is_the_cheapest_there_is(before: list[str], after: list[str]):
    assert align(before, after) == cheapest(before, after)[1]


@given(WORDS, WORDS)
def test_a_span_goes_where_the_cheapest_alignment_takes_its_words(before: list[str], after: list[str]):
    old, new = " ".join(before), " ".join(after)
    like = dict(cheapest(before, after)[1])
    places, within = words(new), words(old)
    for first in range(len(after)):
        for last in range(first, len(after)):
            (found,) = project(old, new, [(places[first][0], places[last][1])]).spans
            taken = [like.get(k) for k in range(first, last + 1)]
            if None in taken:
                assert found is None
            else:
                assert found == (within[like[first]][0], within[like[last]][1])
