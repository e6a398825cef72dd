"""Templates: what is said can be found again at the spans that it claims."""

from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from labelgen.simulator.vocabulary import TABLE, plain, say

WORD = st.text("abcdefgh'", max_size=4).map(lambda inner: f"a{inner}h")
WORDS = st.lists(WORD, min_size=1, max_size=3).map(" ".join)


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(sorted(TABLE)), st.data(), st.integers(0, 2**32))
def test_phrases_contain_slots_at_spans(key, data, seed):
    for slots, templates in TABLE[key].items():
        values = [(name, data.draw(WORDS)) for name in slots]
        for one in templates:
            phrase = plain("oh well") + say(one, values, Random(seed))
            spans = phrase.spans()
            assert sorted(spans) == list(range(len(values)))
            for k, (_, words) in enumerate(values):
                start, end = spans[k]
                assert phrase.text()[start:end] == words
