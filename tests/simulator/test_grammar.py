"""Templates: what is said can be found again at the spans that it claims."""

from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from labelgen.simulator.grammar import plain, say, template, write
from labelgen.simulator.vocabulary import TABLE

WORD = st.text("abcdefgh'", max_size=4).map(lambda inner: f"a{inner}h")
WORDS = st.lists(WORD, min_size=1, max_size=3).map(" ".join)


def test_template_draws_every_alternative():
    one = template("(turn|switch) on the {room} (lights|)")
    said = {" ".join(say(one, [("room", "attic")], Random(seed)).words) for seed in range(60)}
    assert said == {f"{verb} on the attic{rest}" for verb in ("turn", "switch") for rest in (" lights", "")}


def test_template_text_keeps_punctuation():
    assert (
        write(template("Playing {song}, by {artist}."), {"song": "A", "artist": "B"}, Random(0)) == "Playing A, by B."
    )


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
