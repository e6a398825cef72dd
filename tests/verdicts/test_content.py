"""Content: no bit of it depends on evidence, and what the assistant did is in it."""

import dataclasses

import numpy as np
import pytest
from heard import dialogues, talk
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from labelgen.data.dialogue import Dialogue, Feedback
from labelgen.data.labels import At, AtDialogue, AtGoal, AtTurn
from labelgen.verdicts.columns import Columns
from labelgen.verdicts.content import TEXTS, contents_of

RATING = (Feedback(kind="rating", rating=1.0), Feedback(kind="barge_in"))


def rewritten(dialogue: Dialogue, first: int) -> Dialogue:
    """Other words, times and feedback of the user from a turn on; what the assistant did stays."""
    turns = [
        replace(
            turn,
            request="no, that is wrong" if t >= first else turn.request,
            nbest=() if t >= first else turn.nbest,
            audio=None if t >= first else turn.audio,
            feedback=RATING,
        )
        for t, turn in enumerate(dialogue.turns)
    ]
    return replace(dialogue, turns=tuple(turns), feedback=RATING, signals=(), annotations=(), targets=())


@given(dialogues())
def test_evidence_changes_no_bit_of_the_content_of_goals_and_dialogues(dialogue: Dialogue) -> None:
    turns = tuple(range(len(dialogue.turns)))
    places: list[At] = [AtDialogue(), *([AtGoal(turns)] if turns else [])]
    assert contents_of(rewritten(dialogue, 1), places) == contents_of(dialogue, places)


@given(dialogues(), st.data())
def test_what_follows_changes_no_bit_of_the_content_of_a_turn(dialogue: Dialogue, data: st.DataObject) -> None:
    if not dialogue.turns:
        return
    t = data.draw(st.integers(0, len(dialogue.turns) - 1))
    cut = replace(dialogue, turns=dialogue.turns[: t + 1], signals=(), annotations=(), targets=(), feedback=RATING)
    cut = replace(cut, turns=tuple(replace(turn, feedback=()) for turn in cut.turns))
    assert contents_of(cut, [AtTurn(t)]) == contents_of(dialogue, [AtTurn(t)])


def test_farewell_of_the_assistant_is_no_content() -> None:
    said = talk("a room", "There is no room.", "ok bye", "Goodbye!")
    without = talk("a room", "There is no room.")
    assert contents_of(said, [AtDialogue()])[0].texts == contents_of(without, [AtDialogue()])[0].texts


def test_words_of_failure_are_content_of_their_turn() -> None:
    failed, served = talk("play haze", "Sorry, I didn't get that."), talk("play haze", "Playing Purple Haze.")
    assert contents_of(failed, [AtTurn(0)])[0].rules < 0.0 == contents_of(served, [AtTurn(0)])[0].rules


@given(st.lists(dialogues(), min_size=1, max_size=4))
def test_row_depends_on_its_own_content_only(log: list[Dialogue]) -> None:
    contents = [c for d in log for c in contents_of(d, [AtDialogue()])]
    columns = Columns.learn(contents, 100)
    matrix = columns.matrix(contents).toarray()
    assert matrix.shape == (len(contents), len(columns))
    for row, content in zip(matrix, contents, strict=True):
        assert len(content.texts) == len(TEXTS)
        assert (columns.matrix([content]).toarray()[0] == row).all()


@pytest.mark.parametrize("width", [20, 2000])
def test_voice_counts_as_one_text_field_however_many_numbers_it_has(width: int) -> None:
    (content,) = contents_of(talk("play haze", "no", "again"), [AtTurn(0)], later=True)
    heard = dataclasses.replace(content, voice=np.random.default_rng(0).normal(size=width).astype(np.float32))
    columns = Columns.learn([heard, heard], 10, later=True)
    row = columns.matrix([heard]).toarray()[0]
    assert np.linalg.norm(row[-width:]) == pytest.approx(1.0, abs=0.3)


def test_left_out_features_are_not_read() -> None:
    contents = contents_of(talk("one two", "three", "four", "five six", device="phone"), [AtTurn(0), AtTurn(1)])
    assert Columns.learn(contents, 10).categories == ("device=phone",)
    assert Columns.learn(contents, 10, ("device", "turns")).categories == ()


def test_words_of_earlier_turns_are_read_where_people_judged_alone() -> None:
    turns = [at for _ in range(2) for at in contents_of(talk("red", "a", "b", "c", "d", "e"), [AtTurn(2)], later=True)]
    assert "before 'red'" in Columns.learn(turns, 10, later=True).column_names
    assert not any(name.startswith("before") for name in Columns.learn(turns, 10).column_names)


def test_later_words_are_those_of_the_next_turn() -> None:
    contents = contents_of(talk("a", "b", "c", "d", "e", "f"), [AtTurn(t) for t in range(3)], later=True)
    assert [content.texts[len(TEXTS) :] for content in contents] == [("c", "d"), ("e", "f"), ("", "")]


def test_category_of_a_goal_is_the_share_of_its_turns() -> None:
    said = talk("a", "b", "c", "d", "e", "f", "g", "h")
    turns = tuple(replace(turn, domain="music" if t else "news") for t, turn in enumerate(said.turns))
    (goal,) = contents_of(replace(said, turns=turns), [AtGoal((0, 1, 2, 3))])
    assert goal.categories == {"domain=news": 0.25, "domain=music": 0.75, "last domain=music": 1.0}
