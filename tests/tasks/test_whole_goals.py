"""Links to whole goals: the loss and the search against their definitions, and what a model of them guarantees and learns."""

import math
from itertools import product
from unittest.mock import patch

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from labeled import labeled_dialogue
from layouts import layout_of
from msgspec.structs import replace
from random_models import assert_same_in_any_batch, perturb

from labelgen.base.errors import UsageError
from labelgen.data.label_sets import LabelName, LabelSet
from labelgen.data.labels import AtDialogue, AtGoal, Target
from labelgen.model.annotate import annotate
from labelgen.model.annotator import Annotator
from labelgen.model.batches import Example
from labelgen.model.build import build_model
from labelgen.model.folder import save_model
from labelgen.model.options import ModelOptions
from labelgen.nn import structure
from labelgen.nn.structure import shared_words
from labelgen.tasks import goals
from labelgen.tasks.goals import Goals, goal_probabilities, search
from labelgen.tasks.options import TaskOptions

OPTIONS = TaskOptions(antecedents="goal")
TASK = Goals(LabelSet("goals", (LabelName("goal"),), {}), OPTIONS)


def scores_of(turns: int, reach: int, seed: int) -> torch.Tensor:
    torch.manual_seed(seed)
    return 2 * torch.randn(turns, 2 * reach + 2)


def naive_choices(row: torch.Tensor, turn: int, goal_of: list[int], reach: int) -> dict[int, float]:
    """Goal so far, "opens" as the number after the last goal and "none" as -1 -> probability, straight from the definition."""
    scores = {}
    for goal in {*goal_of} - {-1}:
        back = [turn - t for t, g in enumerate(goal_of) if g == goal and turn - t <= reach]
        if back:
            scores[goal] = float(row[min(back) - 1]) + sum(float(row[reach + 1 + b]) for b in back) / len(back)
    scores[max(goal_of, default=-1) + 1], scores[-1] = float(row[reach]), float(row[reach + 1])
    total = sum(math.exp(x) for x in scores.values())
    return {goal: math.exp(x) / total for goal, x in scores.items()}


def naive_probability(scores: torch.Tensor, goal_of: tuple[int, ...], reach: int) -> float:
    """Probability of a division; 0 if it numbers its goals otherwise than by their first turns."""
    p = 1.0
    for turn, goal in enumerate(goal_of):
        p *= naive_choices(scores[turn], turn, list(goal_of[:turn]), reach).get(goal, 0.0)
    return p


def goals_in(goal_of):
    return tuple(tuple(t for t, g in enumerate(goal_of) if g == goal) for goal in sorted({*goal_of} - {-1}))


@settings(deadline=None, max_examples=30)
@given(turns=st.integers(1, 4), reach=st.integers(1, 4), seed=st.integers(0, 100))
def test_a_wide_search_finds_the_most_probable_division(turns: int, reach: int, seed: int) -> None:
    scores = scores_of(turns, reach, seed)
    best = max(product(range(-1, turns), repeat=turns), key=lambda g: naive_probability(scores, g, reach))
    links, found = search(scores.double().tolist(), width=10_000)
    assert found == goals_in(best)
    for goal, p in zip(found, goal_probabilities(links, found), strict=True):
        wanted = 1.0
        for turn in range(turns):
            choices = naive_choices(scores[turn], turn, list(best[:turn]), reach)
            number = best[goal[0]]
            wanted *= (
                choices.get(number, 0.0)
                if turn in goal
                else 1.0 - choices[number] * (turn > goal[0])
                if number in choices
                else 1.0
            )
        assert p == pytest.approx(wanted, abs=1e-6)


@settings(deadline=None, max_examples=30)
@given(counts=st.lists(st.integers(1, 6), min_size=1, max_size=3), reach=st.integers(1, 7), seed=st.integers(0, 100))
def test_loss_is_the_cross_entropy_of_goals_given_those_before(counts: list[int], reach: int, seed: int) -> None:
    """Two divisions of each dialogue count like one with half the weight each, and the turns that a division covers alone count."""
    draw = torch.Generator().manual_seed(seed)
    with patch.object(goals, "_REACH", reach):
        layout = layout_of(*counts)
        columns = min(reach, max(counts))
        scores = scores_of(sum(counts), columns, seed)
        targets: list[list[Target]] = []
        naive, weight = 0.0, 0.0
        for b, count in enumerate(counts):
            targets.append([])
            for origin in ("one", "other"):
                drawn = torch.randint(-1, 3, (count,), generator=draw).tolist()
                made = goals_in(drawn)
                targets[-1] += [Target("goals", AtGoal(g), (("goal", 1.0),), weight=0.5, origin=origin) for g in made]
                targets[-1].append(Target("goals", AtDialogue(), (), weight=0.5, origin=origin))
                goal_of: list[int] = []
                for turn, goal in enumerate(drawn):
                    row = scores[layout.turn(b, turn)]
                    number = {g: k for k, g in enumerate(dict.fromkeys(x for x in goal_of if x >= 0))}
                    choices = naive_choices(row, turn, [number.get(g, -1) for g in goal_of], columns)
                    wanted = -1 if goal < 0 else number.get(goal, len(number))
                    # A goal out of reach opens again.
                    naive -= 0.5 * math.log(choices.get(wanted, choices[max(choices)]))
                    goal_of.append(goal)
                    weight += 0.5
        loss = TASK.loss(scores, TASK.encode(targets, layout))
    assert float(loss.weight) == pytest.approx(weight)
    assert float(loss.total) == pytest.approx(naive, rel=1e-4)


def test_a_dialogue_without_targets_has_no_gradient() -> None:
    layout = layout_of(3, 2)
    scores = scores_of(5, 3, 0).requires_grad_()
    goal = Target("goals", AtGoal((0, 2)), (("goal", 1.0),))
    TASK.loss(scores, TASK.encode([[goal, Target("goals", AtDialogue(), ())], []], layout)).total.backward()
    assert scores.grad is not None
    assert scores.grad[:3].any()
    assert not scores.grad[3:].any()


def naive_shared(texts, t, s, later, earlier):
    def words(text):
        return {w.strip(".,?!") for w in text.lower().split()} - {""}

    own = words(texts[t][later]) & words(texts[s][earlier])
    so_far = [words(" ".join(turn)) for turn in texts[: t + 1]]
    return math.log1p(sum(round(math.log((t + 2) / sum(w in x for x in so_far)) * 1024) / 1024 for w in own))


@settings(deadline=None, max_examples=30)
@given(
    st.lists(
        st.tuples(*[st.lists(st.sampled_from(["a", "b", "c", "d", "?", "!"]), max_size=4).map(" ".join)] * 2),
        max_size=7,
    ),
    st.integers(1, 8),
)
def test_shared_words_equal_their_definition_in_any_pieces(texts, reach) -> None:
    with patch.object(structure, "_ROWS", 3):
        found = shared_words(texts, reach)
    for t, back in product(range(len(texts)), range(1, reach + 1)):
        wanted = [naive_shared(texts, t, t - back, *sides) if back <= t else 0.0 for sides in product((0, 1), repeat=2)]
        assert found[t, back - 1].tolist() == pytest.approx(wanted, abs=1e-6)
    for turns in range(len(texts)):
        assert torch.equal(shared_words(texts[:turns], reach), found[:turns])


def test_whole_goals_and_features_of_pairs_are_refused_together() -> None:
    with pytest.raises(UsageError, match="whole goals"):
        Goals(TASK.labels, TaskOptions(antecedents="goal", pairs=True))


DIALOGUES = [replace(labeled_dialogue(seed), annotations=()) for seed in range(16)]
LONG = replace(labeled_dialogue(50, turns=40), annotations=())


def model_of(tiny_encoder, log, **options):
    torch.manual_seed(0)
    chosen = ModelOptions(encoder=str(tiny_encoder), dialogue_width=32, dialogue_heads=2, dialogue_layers=1)
    return build_model(chosen, {"goals": TaskOptions(**{"antecedents": "goal", **options})}, {}, log)


@pytest.fixture(scope="module")
def folder(tiny_encoder, tmp_path_factory):
    folder = tmp_path_factory.mktemp("model") / "m"
    model = model_of(tiny_encoder, DIALOGUES).eval()
    perturb(model)
    save_model(model, folder, {"data_digest": "abc"})
    return folder


def test_other_dialogues_in_the_call_change_no_bit(folder):
    assert_same_in_any_batch(Annotator(folder), DIALOGUES)


def test_returns_are_learned_from_names_that_recur(tiny_encoder):
    """Turns of two goals alternate in any order; only a number that the texts of a goal share tells them apart."""
    draw = torch.Generator().manual_seed(0)
    like = replace(labeled_dialogue(0, turns=8), annotations=(), targets=())

    def made():
        names = torch.randperm(900, generator=draw)[:2].tolist()
        order = torch.randint(2, (8,), generator=draw).tolist()
        turns = tuple(
            replace(t, request=f"about {names[k]}", response="fine", time_s=None, response_time_s=None)
            for t, k in zip(like.turns, order, strict=True)
        )
        found = goals_in([order[0] != k for k in order])
        targets = [Target("goals", AtGoal(g), (("goal", 1.0),)) for g in found]
        return replace(like, turns=turns), (*targets, Target("goals", AtDialogue(), ())), found

    log = [made() for _ in range(48)]
    model = model_of(tiny_encoder, [d for d, _, _ in log]).train()
    collate = model.collator()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for step in range(60):
        chosen = log[:32][step % 4 :: 4]
        losses = model.losses(collate([Example(d, targets) for d, targets, _ in chosen]))
        optimizer.zero_grad()
        (losses["goals"].total / losses["goals"].weight).backward()
        optimizer.step()
    predicted = annotate(model.eval(), [d for d, _, _ in log[32:]])
    right = [
        sorted(x.at.turns for x in p if isinstance(x.at, AtGoal)) == sorted(wanted)
        for p, (_, _, wanted) in zip(predicted, log[32:], strict=True)
    ]
    assert sum(right) >= 0.75 * len(right)
