"""Joins of annotated dialogues."""

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from labelgen.data.dialogue import Dialogue, Turn
from labelgen.data.labels import AtDialogue, AtGoal, AtSpan, AtTurn, Target
from labelgen.training.corpus import join_at_goals

FAILED = (("failure", 1.0),)
SUCCEEDED = (("success", 1.0),)


def dialogue(name: str, serves: list[int | None], closed: bool = True) -> Dialogue:
    """A dialogue whose turn t serves goal `serves[t]`; each turn has a span, and every second goal failed."""
    goals = {g: tuple(t for t, own in enumerate(serves) if own == g) for g in dict.fromkeys(serves) if g is not None}
    targets = [Target("goals", AtGoal(turns), (("goal", 1.0),)) for turns in goals.values()]
    targets += [Target("outcome", AtGoal(turns), FAILED if g % 2 else SUCCEEDED) for g, turns in goals.items()]
    targets += [Target("slots", AtSpan(t, 0, len(f"{name}{t}")), ((f"{name}{t}", 1.0),)) for t in range(len(serves))]
    targets += [Target("quality", AtTurn(t), ((f"{name}{t}", 1.0),)) for t in range(len(serves))]
    targets.append(Target("quality", AtDialogue(), (("good", 1.0),)))
    targets += [Target("goals", AtDialogue(), ())] if closed else []
    turns = tuple(Turn(request=f"{name}{t}", response=f"{name}{t}", time_s=float(t)) for t in range(len(serves)))
    return Dialogue(id=name, turns=turns, targets=tuple(targets))


serving = st.lists(st.sampled_from([None, 0, 1, 2]), min_size=1, max_size=7)


def words(one: Dialogue, turns: tuple[int, ...]) -> tuple[str, ...]:
    return tuple(one.turns[t].request for t in turns)


@given(first=serving, second=serving, seed=st.integers(0, 99))
def test_joined_dialogues_keep_turns_and_whole_goals(first: list[int | None], second: list[int | None], seed: int):
    a, b = dialogue("a", first), dialogue("b", second)
    made = join_at_goals(a, b, Random(seed))
    if made is None:
        assert not (set(first) - {None}) or not (set(second) - {None})
        return
    said = [turn.request for turn in made.turns]
    end = sum(text.startswith("a") for text in said)
    assert said == [f"a{t}" for t in range(end)] + [f"b{t}" for t in range(len(second) - len(said) + end, len(second))]
    assert all(turn.time_s is None for turn in made.turns)
    known = {words(d, t.at.turns) for d in (a, b) for t in d.targets if isinstance(t.at, AtGoal)}
    goals = [t for t in made.targets if t.task == "goals" and isinstance(t.at, AtGoal)]
    assert {words(made, t.at.turns) for t in goals if isinstance(t.at, AtGoal)} <= known
    served = {turn for t in goals if isinstance(t.at, AtGoal) for turn in t.at.turns}
    # No goal lies on both sides, so each turn that served a goal still does.
    before = {
        text
        for one, serves in ((a, first), (b, second))
        for text, g in zip(words(one, tuple(range(len(serves)))), serves, strict=True)
        if g is not None
    }
    assert {said[t] for t in served} == {text for text in said if text in before}
    assert {0, end - 1} & served or served
    for target in made.targets:
        if isinstance(target.at, AtTurn | AtSpan):
            assert target.distribution == ((said[target.at.turn], 1.0),)
    assert [t.task for t in made.targets if isinstance(t.at, AtDialogue)] == ["goals"]
    outcome_of = {
        words(d, t.at.turns): t.distribution
        for d in (a, b)
        for t in d.targets
        if t.task == "outcome" and isinstance(t.at, AtGoal)
    }
    outcomes = [t for t in made.targets if t.task == "outcome" and isinstance(t.at, AtGoal)]
    assert len(outcomes) == len(goals)
    assert all(outcome_of[words(made, t.at.turns)] == t.distribution for t in outcomes if isinstance(t.at, AtGoal))


def test_join_hides_greetings_at_the_cut():
    a, b = dialogue("a", [None, 0, 0, None]), dialogue("b", [None, 0, None])
    for seed in range(20):
        made = join_at_goals(a, b, Random(seed))
        assert made is not None
        assert [turn.request for turn in made.turns] == ["a0", "a1", "a2", "b1", "b2"]


def test_join_needs_goals_divided_alike():
    whole, open_ = dialogue("a", [0, 1]), dialogue("b", [0, 1], closed=False)
    assert join_at_goals(whole, open_, Random(0)) is None
    assert join_at_goals(whole, dialogue("c", [None]), Random(0)) is None
    both = join_at_goals(open_, dialogue("c", [0], closed=False), Random(0))
    assert both is not None
    assert not [t for t in both.targets if isinstance(t.at, AtDialogue)]
