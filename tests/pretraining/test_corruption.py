"""Laws of the corruptions that pretraining is made of."""

from collections import Counter
from random import Random

import pytest
from heard import dialogues, talk
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from labelgen.base.errors import UsageError
from labelgen.base.registry import resolve
from labelgen.data.dialogue import Dialogue
from labelgen.data.labels import AtTurn, Target
from labelgen.data.record import decode, encode
from labelgen.feedback.cues import plain
from labelgen.pretraining.corruption import (
    CORRUPTIONS,
    NEGATIVES,
    DialoguePool,
    check_mixture,
    hidden_answers,
    pretraining_example,
    shuffled_order,
    swapped_answers,
)

logs = st.lists(st.integers(0, 5).flatmap(lambda k: dialogues(name=f"d{k}")), max_size=4, unique_by=lambda d: d.id)
seeds = st.integers(0, 1000)

TOWNS = ["paris", "rome", "oslo", "lima", "cairo", "delhi", "quito", "turin"]


def log(count: int = 8) -> list[Dialogue]:
    """Dialogues of which no two say the same."""
    return [
        talk(
            *(f"{side} {k} of {TOWNS[d]}" for k in range(6) for side in ("question", "reply")), id=f"d{d}", source="toy"
        )
        for d in range(count)
    ]


def words(dialogue: Dialogue) -> list[tuple[str, str]]:
    return [(t.request, t.response) for t in dialogue.turns]


def names(targets: tuple[Target, ...]) -> dict[object, str]:
    return {t.at: (t.distribution or (("", 0.0),))[0][0] for t in targets}


@given(logs, seeds, st.sampled_from(sorted(CORRUPTIONS)))
def test_corruptions_obey_laws(log: list[Dialogue], seed: int, name: str) -> None:
    corrupt = resolve(CORRUPTIONS, name, "corruption")
    pool = DialoguePool(log)
    for dialogue in log:
        before = encode(dialogue)
        made, targets = corrupt(dialogue, pool, Random(seed))
        assert (made, targets) == corrupt(dialogue, DialoguePool(log), Random(seed))
        assert encode(dialogue) == before
        assert (made.annotations, made.feedback, made.signals, made.targets, made.extra) == ((), (), (), (), None)
        assert not any(t.feedback or t.extra for t in made.turns)
        assert isinstance(decode(encode(made), "memory"), Dialogue)
        for target in targets:
            assert (target.weight, target.complement) == (1.0, None) or name == "linked"
            assert target.origin or name == "linked"


@given(logs, seeds)
def test_swapped_answers_are_marked_and_differ(log: list[Dialogue], seed: int) -> None:
    pool = DialoguePool(log)
    said = {t.response for d in log for t in d.turns}
    for dialogue in log:
        made, targets = swapped_answers(dialogue, pool, Random(seed))
        marks = names(targets)
        for t, (before, after) in enumerate(zip(dialogue.turns, made.turns, strict=True)):
            assert after.request == before.request
            assert after.response in said
            if not before.response:
                assert AtTurn(t) not in marks
                assert after.response == ""
            elif before.response == after.response:
                assert marks[AtTurn(t)] == "good"
            else:
                assert marks[AtTurn(t)] == "bad"
                assert plain(before.response) != plain(after.response)


def test_swapped_answers_equal_responses_stay() -> None:
    same = [talk("a", "Okay!", "b", "okay", id=name) for name in "xyz"]
    for seed in range(20):
        made, targets = swapped_answers(same[0], DialoguePool(same), Random(seed))
        assert words(made) == words(same[0])
        assert set(names(targets).values()) == {"good"}


def test_swapped_answers_use_every_negative() -> None:
    pool, seen = DialoguePool(log()), Counter[str]()
    for seed in range(30):
        for dialogue in log():
            made, targets = swapped_answers(dialogue, pool, Random(seed))
            own = {t.response for t in dialogue.turns}
            for target in targets:
                if target.distribution == (("bad", 1.0),) and isinstance(target.at, AtTurn):
                    assert made.turns[target.at.turn].response not in own
                    seen[target.origin.removeprefix("swapped answer, ")] += 1
    assert set(seen) == set(NEGATIVES)
    assert 0.2 < sum(seen.values()) / (30 * 8 * 6) < 0.4


def test_nearest_response_is_most_similar() -> None:
    other = talk("a", "Playing Purple Rain by Prince.", "b", "Your timer is set.", "c", "It is sunny.", id="other")
    own = talk("a", "Playing Purple Haze by Hendrix.", id="own")
    found = {DialoguePool([other, own]).response("nearest", own, own.turns[0], Random(seed)) for seed in range(5)}
    assert found == {"Playing Purple Rain by Prince."}


@given(dialogues(), seeds)
def test_shuffled_order_marks_moved_turns(dialogue: Dialogue, seed: int) -> None:
    made, targets = shuffled_order(dialogue, DialoguePool([]), Random(seed))
    assert Counter(words(made)) == Counter(words(dialogue))
    marks = names(targets)
    assert marks == {
        AtTurn(t): "kept" if before == after else "moved"
        for t, (before, after) in enumerate(zip(words(dialogue), words(made), strict=True))
    }


@given(dialogues(), seeds, st.sampled_from(sorted(set(CORRUPTIONS) - {"swapped_answers", "hidden_answers"})))
def test_times_never_reveal_the_order_or_the_seams(dialogue: Dialogue, seed: int, name: str) -> None:
    """Of all corruptions whose targets are about order or goals."""
    timed = [replace(t, time_s=10.0 * k, response_time_s=10.0 * k + 5.0) for k, t in enumerate(dialogue.turns)]
    dialogue = replace(dialogue, turns=tuple(timed))
    made, _ = resolve(CORRUPTIONS, name, "corruption")(dialogue, DialoguePool([dialogue, *log(3)]), Random(seed))
    assert {(turn.time_s, turn.response_time_s) for turn in made.turns} <= {(None, None)}


@given(dialogues(), seeds)
def test_hidden_answers_are_existing_responses(dialogue: Dialogue, seed: int) -> None:
    made, targets = hidden_answers(dialogue, DialoguePool([]), Random(seed))
    assert words(made) == words(dialogue)
    spoken = {AtTurn(t) for t, turn in enumerate(dialogue.turns) if turn.response}
    assert set(names(targets)) <= spoken
    assert bool(targets) == bool(spoken)
    assert {(t.task, t.distribution) for t in targets} <= {("selection", (("own", 1.0),))}


def test_examples_depend_on_seed_and_epoch() -> None:
    def examples(seed: int, epoch: int) -> list[tuple[Dialogue, tuple[Target, ...]]]:
        return [pretraining_example(dialogue, DialoguePool(log()), seed, epoch) for dialogue in log()]

    first = examples(1, 0)
    assert first == examples(1, 0)
    assert first != examples(1, 1)
    assert first != examples(2, 0)
    assert len({made.id for made, _ in first}) == 8


def test_mixture_determines_corruptions() -> None:
    many = [talk("a", f"b {k}", "c", f"d {k}", id=f"d{k}") for k in range(200)]
    pool, mixture = DialoguePool(many), {"splice": 3.0, "shuffled_order": 1.0}
    tasks = Counter(pretraining_example(dialogue, pool, 0, 0, mixture)[1][0].task for dialogue in many)
    assert set(tasks) == {"goals", "order"}
    assert 0.6 < tasks["goals"] / 200 < 0.9


@pytest.mark.parametrize("mixture", [{}, {"splice": 0.0}, {"splice": -1.0, "shuffled_order": 2.0}, {"splices": 1.0}])
def test_mixture_invalid_is_refused(mixture: dict[str, float]) -> None:
    with pytest.raises(UsageError):
        check_mixture(mixture)
