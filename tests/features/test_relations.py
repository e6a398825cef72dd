"""Who wrote a turn and whom it addresses, and the features of pairs of turns made of that."""

import math

import torch
from hypothesis import given
from hypothesis import strategies as st

from labelgen.data.dialogue import SPEAKER, Category, Dialogue, Turn
from labelgen.features.layout import NEVER, relations_of
from labelgen.nn import structure
from labelgen.nn.structure import pair_features

NAMES = ("ana_", "Bobby", "[cy]", "x")


def channel(*messages):
    """A dialogue of (speaker or None, text) or (speaker, text, seconds)."""
    turns = [
        Turn(
            request=text,
            response="",
            time_s=seconds[0] if seconds else None,
            categories=(Category(name=SPEAKER, value=speaker),) if speaker else (),
        )
        for speaker, text, *seconds in messages
    ]
    return Dialogue(id="d", turns=tuple(turns))


def test_relations_find_names_with_punctuation_and_no_later_speaker():
    by = relations_of(
        [
            channel(
                ("ana_", "Bobby: are you there?"),
                ("Bobby", "yes, Ana!"),
                (None, "ana_ has left"),
                ("x", "bobby, ANA_: hello x"),
                ("Bobby", "hello stranger"),
                ("ana_", "Bobby: so"),
                ("c|^", "hi"),
                ("Bobby", "c|^: hi"),
            )
        ]
    )
    assert by.speaker.tolist() == [1, 2, 0, 3, 2, 1, 4, 2]
    assert by.addressed.tolist() == [
        [0, 0, 0],
        [1, 0, 0],
        [0, 0, 0],
        [2, 1, 0],
        [0, 0, 0],
        [2, 0, 0],
        [0, 0, 0],
        [4, 0, 0],
    ]
    assert by.calls.tolist() == [True, *[False] * 7], "no Bobby had spoken at the first turn"
    assert by.previous.tolist() == [-1, -1, -1, -1, 1, 0, -1, 4]
    assert by.following.tolist() == [5, 4, NEVER, NEVER, 7, NEVER, NEVER, NEVER]


MESSAGES = st.lists(
    st.tuples(
        st.sampled_from([None, *NAMES]),
        st.lists(st.sampled_from([*NAMES, "ana", "bobby:", "(cy)", "so", "who, "]), max_size=3).map(" ".join),
        st.one_of(st.none(), st.integers(0, 4000).map(float)),
    ),
    min_size=1,
    max_size=9,
)


@given(MESSAGES, st.integers(1, 8))
def test_relations_depend_on_no_later_turn(messages, kept):
    whole, cut = relations_of([channel(*messages)]), relations_of([channel(*messages[:kept])])
    count = len(cut.speaker)
    for name in ("speaker", "addressed", "calls", "previous"):
        assert torch.equal(getattr(whole, name)[:count], getattr(cut, name))
    assert torch.equal(whole.following[:count].clamp(max=count), cut.following.clamp(max=count))


def naive_pair(messages, later, earlier):
    """The features of two turns, in the words of their names."""
    by = relations_of([channel(*messages)])
    speakers, named = by.speaker.tolist(), [{n for n in row if n} for row in by.addressed.tolist()]
    me, other = speakers[later], speakers[earlier]
    since = range(earlier + 1, later)
    gap = math.nan
    if messages[later][2] is not None and messages[earlier][2] is not None:
        gap = messages[later][2] - messages[earlier][2]
    same = me == other and me != 0
    calls, called = other in named[later], me in named[earlier]
    is_last = other == 0 or all(speakers[t] != other for t in since)
    none_since = me == 0 or all(speakers[t] != me for t in since)
    return [
        *(later - earlier >= step for step in structure._DISTANCE_STEPS),
        *(gap >= step for step in structure._GAP_STEPS),
        same,
        same and is_last,
        calls,
        called,
        is_last,
        none_since,
        calls and is_last,
        called and none_since,
        bool(named[later] & named[earlier]),
        bool(named[later]) and not calls and not same,
        bool(named[earlier]) and not called and not same,
        bool(named[earlier]),
        other == 0,
        me == 0,
        by.previous[later].item() < 0,
        by.calls[later].item(),
        earlier > 0 and other != 0 and speakers[earlier - 1] == other,
    ]


@given(st.lists(MESSAGES, min_size=1, max_size=3), st.integers(1, 9))
def test_pair_features_equal_their_definition(logs, reach):
    by = relations_of([channel(*messages) for messages in logs])
    positions = torch.tensor([t for messages in logs for t in range(len(messages))])
    found = pair_features(positions, by, torch.arange(len(positions)), reach)
    row = 0
    for messages in logs:
        for later in range(len(messages)):
            for back in range(1, min(reach, later) + 1):
                wanted = naive_pair(messages, later, later - back)
                assert found[row, back - 1].tolist() == [float(x) for x in wanted]
            row += 1
    assert found.shape[2] == structure._PAIR
