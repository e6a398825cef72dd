"""Laws of dialogues that are put together: which turns serve which goal is known."""

from collections import Counter
from random import Random

import pytest
from heard import dialogues, talk
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from labelgen.base.registry import resolve
from labelgen.data.dialogue import Audio, Dialogue
from labelgen.data.labels import Annotation, AtDialogue, AtGoal, Label, Target, targets_of
from labelgen.pretraining.corruption import (
    CORRUPTIONS,
    LONGEST_RUN,
    NEGATIVES,
    Corrupted,
    DialoguePool,
    in_line,
    interleaved,
    pretraining_example,
    splice,
    whole,
)

KINDS = {"splice": splice, "in_line": in_line, "whole": whole}
logs = st.lists(st.integers(0, 5).flatmap(lambda k: dialogues(name=f"d{k}")), max_size=4, unique_by=lambda d: d.id)
seeds = st.integers(0, 1000)


def log(count: int = 8, source: str = "toy") -> list[Dialogue]:
    """Dialogues of six turns of which no two say the same."""
    return [
        talk(
            *(f"{side} {k} of {source} {d}" for k in range(6) for side in ("question", "reply")),
            id=f"{source}{d}",
            source=source,
        )
        for d in range(count)
    ]


def words(dialogue: Dialogue) -> list[tuple[str, str]]:
    return [(t.request, t.response) for t in dialogue.turns]


def goals(made: Corrupted) -> list[tuple[int, ...]]:
    return [t.at.turns for t in made[1] if isinstance(t.at, AtGoal)]


def within(part: list[tuple[str, str]], whole: list[tuple[str, str]]) -> bool:
    return any(whole[k : k + len(part)] == part for k in range(len(whole) - len(part) + 1))


@given(logs, seeds, st.sampled_from(sorted(KINDS)))
def test_splice_contains_its_dialogues(log: list[Dialogue], seed: int, kind: str) -> None:
    pool = DialoguePool(log)
    by_id = {d.id: d for d in log}
    for dialogue in log:
        if not dialogue.turns:
            continue
        made, _ = put = KINDS[kind](dialogue, pool, Random(seed))
        assert sorted(t for goal in goals(put) for t in goal) == list(range(len(made.turns)))
        parts = made.id.split("+")
        assert dialogue.id in parts
        assert len(set(parts)) == len(parts) == len(goals(put))
        taken = sorted([words(made)[t] for t in goal] for goal in goals(put))
        if kind == "in_line":
            assert all(goal == tuple(range(goal[0], goal[-1] + 1)) for goal in goals(put))
            said = [[words(made)[t] for t in goal] for goal in goals(put)]
            assert all(within(own, words(by_id[part])) for own, part in zip(said, parts, strict=True))
        else:
            assert taken == sorted(words(by_id[part]) for part in parts)
        assert all(t.time_s is None and t.response_time_s is None for t in made.turns)


@given(logs, seeds)
def test_whole_dialogue_is_one_goal(log: list[Dialogue], seed: int) -> None:
    for dialogue in log:
        made, _ = put = whole(dialogue, DialoguePool(log), Random(seed))
        assert words(made) == words(dialogue)
        assert goals(put) == ([tuple(range(len(dialogue.turns)))] if dialogue.turns else [])


@given(seeds, st.sampled_from(sorted(KINDS)))
def test_splice_drops_audio(seed: int, kind: str) -> None:
    heard = [
        replace(d, turns=tuple(replace(t, audio=Audio(path=f"{d.id}/{k}.wav")) for k, t in enumerate(d.turns)))
        for d in log()
    ]
    for dialogue in heard:
        made, _ = KINDS[kind](dialogue, DialoguePool(heard), Random(seed))
        assert not any(turn.audio for turn in made.turns)
        for name in sorted(set(CORRUPTIONS) - set(KINDS)):
            corrupted, _ = resolve(CORRUPTIONS, name, "corruption")(dialogue, DialoguePool(heard), Random(seed))
            assert {t.audio for t in corrupted.turns} == {t.audio for t in dialogue.turns}


def test_splice_targets_equal_annotation_targets() -> None:
    made = splice(log()[0], DialoguePool(log()), Random(3))
    labels = [Label("goals", AtGoal(goal), "goal") for goal in goals(made)]
    like = targets_of(Annotation("x", "person", tuple(labels)))
    assert [(t.task, t.at, t.distribution, t.weight, t.complete) for t in made[1]] == [
        (t.task, t.at, t.distribution, t.weight, t.complete) for t in like
    ]
    assert made[1][-1].at == AtDialogue()


@pytest.mark.parametrize(("kind", "counts"), [("splice", {2, 3}), ("in_line", {1, 2, 3, 4})])
def test_splice_joins_some_dialogues(kind: str, counts: set[int]) -> None:
    seen = Counter(len(goals(KINDS[kind](log()[0], DialoguePool(log()), Random(seed)))) for seed in range(200))
    assert set(seen) == counts
    assert min(seen.values()) > 15


@given(st.lists(st.integers(0, 9), min_size=1, max_size=3), seeds)
def test_interleaved_uses_all_turns(lengths: list[int], seed: int) -> None:
    order = interleaved(lengths, Random(seed))
    assert Counter(order) == Counter({p: n for p, n in enumerate(lengths) if n})


def test_interleaved_runs_have_one_to_four_turns() -> None:
    # A part may be drawn twice in a row, so runs are told by the first change of part.
    firsts = Counter(next(k for k, p in enumerate(order) if p != order[0]) for order in _orders())
    assert {1, 2, 3, LONGEST_RUN} <= set(firsts)
    assert min(firsts[k] for k in range(1, LONGEST_RUN + 1)) > 100


def _orders() -> list[list[int]]:
    return [interleaved([40, 40, 40], Random(seed)) for seed in range(1000)]


def test_in_line_takes_runs_of_turns() -> None:
    pool, lengths = DialoguePool(log()), Counter[int]()
    for seed in range(100):
        lengths.update(map(len, goals(in_line(log()[0], pool, Random(seed)))))
    assert set(lengths) == {2, 3, 4, 5, 6}
    assert lengths[6] > sum(lengths.values()) / 4
    one = talk("a", "b", id="one")
    assert words(in_line(one, DialoguePool([]), Random(0))[0]) == words(one)


def test_in_line_drops_greetings_and_partings_within() -> None:
    said = [
        talk("hi", "Hello.", f"ask {d}", f"reply {d}", f"more {d}", f"that {d}", "thanks, bye", "Bye.", id=f"d{d}")
        for d in range(6)
    ]
    for seed in range(60):
        made, _ = put = in_line(said[0], DialoguePool(said), Random(seed))
        requests = [turn.request for turn in made.turns]
        for goal in goals(put):
            assert "hi" not in [requests[t] for t in goal] or goal[0] == 0
            assert "thanks, bye" not in [requests[t] for t in goal] or goal[-1] == len(requests) - 1
    only = [talk("hello", "Hi.", id=name) for name in "ab"]
    assert all(in_line(only[0], DialoguePool(only), Random(seed))[0].turns for seed in range(20))


def test_single_share_splices_the_shortest_of_each_source() -> None:
    def some(source: str, *lengths: int) -> list[Dialogue]:
        return [talk(*["a", "b"] * n, id=f"{source}{n}", source=source) for n in lengths]

    mixed = [*some("x", 2, 3, 8, 9), *some("y", 20, 21, 30, 40)]
    pool = DialoguePool(mixed, single=0.5)
    assert [pool.is_single(d) for d in mixed] == [True, True, False, False] * 2
    spliced = [pretraining_example(d, pool, seed, 0, {"in_line": 1.0}) for d in mixed for seed in range(30)]
    parts = {part for made, _ in spliced for part in made.id.split("+")}
    assert parts == {"x2", "x3", "y20", "y21"}
    kept = [pretraining_example(d, pool, 0, 0, {"hidden_answers": 1.0})[0] for d in mixed]
    assert [len(d.turns) for d in kept] == [len(d.turns) for d in mixed]
    assert all(DialoguePool(mixed).is_single(d) for d in mixed)


def test_linked_keeps_links_of_goals_alone() -> None:
    link = Target("goals", AtGoal((0, 1)), (("goal", 0.9),), complete=False)
    outcome = Target("outcome", AtGoal((0, 1)), (("success", 1.0),))
    dialogue = replace(log()[0], targets=(link, outcome))
    made, targets = pretraining_example(dialogue, DialoguePool([dialogue]), 0, 0, {"linked": 1.0})
    assert targets == (link,)
    assert words(made) == words(dialogue)


def test_splices_are_of_one_source_for_every_negative() -> None:
    mixed = [*log(8, "toy"), *log(8, "other")]
    pool = DialoguePool(mixed)
    for negative in NEGATIVES:
        for first in (mixed[0], mixed[8]):
            found = [pool.other(negative, [first], Random(seed)) for seed in range(40)]
            assert first not in found
            assert {d.source for d in found if d is not None} == {first.source}


def test_nearest_dialogue_is_most_similar() -> None:
    own = talk("play purple haze", "Playing Purple Haze.", id="own")
    near = talk("play purple rain", "Playing Purple Rain.", id="near")
    far = talk("is it cold", "Two degrees.", id="far")
    assert {DialoguePool([own, near, far]).other("nearest", [own], Random(seed)) for seed in range(5)} == {near}
    assert DialoguePool([own]).other("nearest", [own], Random(0)) is None
