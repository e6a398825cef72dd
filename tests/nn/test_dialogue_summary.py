"""Labels of a dialogue from its turns and goals: equal to a loop over dialogues, the same in any batch."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from labeled import LABELS, labeled_dialogue
from layouts import layout_of
from random_models import assert_batch_invariant, perturb

from labelgen.data.labels import AtDialogue, AtGoal, Label
from labelgen.features.layout import Layout, States
from labelgen.kernels.batch_invariant import make_batch_invariant
from labelgen.model.annotate import annotate
from labelgen.model.annotator import Annotator
from labelgen.model.build import build_model
from labelgen.model.folder import load_model, save_model
from labelgen.model.label_model import LabelModel
from labelgen.model.options import ModelOptions
from labelgen.nn.dialogue_summary import DialogueSummary
from labelgen.tasks.options import TaskOptions
from labelgen.tasks.quality import QualityHead

WIDTH = 8
NAMES = ("bad", "fair", "good")
Divisions = list[tuple[int, list[tuple[int, ...]]]]
"""Of each dialogue, its number of turns and its goals."""


def divisions(draw) -> Divisions:
    counts = draw(st.lists(st.integers(1, 5), min_size=1, max_size=4))
    return [
        (
            n,
            sorted(
                draw(st.sets(st.sets(st.integers(0, n - 1), min_size=1).map(lambda s: tuple(sorted(s))), max_size=3))
            ),
        )
        for n in counts
    ]


def batch_of(dialogues: Divisions, rows: torch.Tensor) -> tuple[States, Layout]:
    layout = layout_of(*(n for n, _ in dialogues)).with_goals(tuple(tuple(goals) for _, goals in dialogues))
    return States(rows, rows, rows, rows, None, {}, "all"), layout


def scores_of(head: DialogueSummary, dialogues: Divisions, rows, of_turns, of_goals) -> torch.Tensor:
    states, layout = batch_of(dialogues, rows)
    return head(states, layout, of_turns, of_goals)


def new_head() -> DialogueSummary:
    """With weights that are not zero."""
    head = DialogueSummary(WIDTH, 3, 2)
    perturb(head)
    return head


def by_loop(head: DialogueSummary, goals: int, rows, of_turns, of_goals) -> torch.Tensor:
    """Scores of one dialogue from its turns' states and scores and its goals' scores."""
    weights = head.attention(rows).softmax(dim=0)
    p, q = of_turns.softmax(dim=1), of_goals.softmax(dim=1)
    none = torch.zeros(2)
    parts = [
        p.mean(dim=0),
        p.max(dim=0).values,
        *(weights.T @ p),
        q.mean(dim=0) if goals else none,
        q.max(dim=0).values if goals else none,
        torch.tensor([len(rows), goals]).log1p(),
        torch.tensor([float(goals > 0)]),
    ]
    return head.parts(10.0 * torch.cat(parts))


@given(st.data())
@settings(max_examples=40, deadline=None)
def test_scores_equal_a_loop_over_dialogues(data):
    dialogues = divisions(data.draw)
    turns, goals = sum(n for n, _ in dialogues), sum(len(g) for _, g in dialogues)
    torch.manual_seed(turns)
    head = new_head()
    rows, of_turns, of_goals = torch.randn(turns, WIDTH), torch.randn(turns, 3), torch.randn(goals, 2)
    together = scores_of(head, dialogues, rows, of_turns, of_goals)
    turn = goal = 0
    for k, (n, own) in enumerate(dialogues):
        alone = by_loop(head, len(own), rows[turn:][:n], of_turns[turn:][:n], of_goals[goal:][: len(own)])
        torch.testing.assert_close(together[k], alone)
        turn, goal = turn + n, goal + len(own)


@given(st.data())
@settings(max_examples=25, deadline=None)
def test_scores_without_gradient_are_bitwise_those_of_the_dialogue_alone(data):
    dialogues = divisions(data.draw)
    turns, goals = sum(n for n, _ in dialogues), sum(len(g) for _, g in dialogues)
    torch.manual_seed(turns)
    head = new_head().eval()
    make_batch_invariant(head)
    rows, of_turns, of_goals = torch.randn(turns, WIDTH), torch.randn(turns, 3), torch.randn(goals, 2)
    with torch.inference_mode():
        states, layout = batch_of(dialogues, rows)
        together = head(states, layout, of_turns, of_goals)
        turn = goal = 0
        for k, (n, own) in enumerate(dialogues):
            one, of_one = batch_of([(n, own)], rows[turn:][:n].clone())
            parts = of_turns[turn:][:n].clone(), of_goals[goal:][: len(own)].clone()
            assert torch.equal(together[k], head(one, of_one, *parts)[0])
            turn, goal = turn + n, goal + len(own)


def test_one_bad_turn_of_many_moves_the_dialogue_more_than_the_mean_does():
    """The maximum shows one bad turn in a long dialogue as clearly as in a short one."""
    head = DialogueSummary(WIDTH, 3, 2)
    rows = torch.zeros(20, WIDTH)
    good, one_bad = torch.tensor([[-9.0, 0.0, 9.0]]).repeat(20, 1), torch.tensor([[-9.0, 0.0, 9.0]]).repeat(20, 1)
    one_bad[7] = torch.tensor([9.0, 0.0, -9.0])
    with torch.no_grad():
        # The fourth number is the largest probability of `bad` among the turns.
        head.parts.weight[0, 3] = 0.5
        values = [scores_of(head, [(20, [])], rows, x, torch.zeros(0, 2))[0, 0] for x in (good, one_bad)]
    assert values[1] - values[0] > 4.0


def test_gradient_of_the_dialogue_reaches_its_turns_and_goals():
    torch.manual_seed(0)
    head = new_head()
    of_turns, of_goals = torch.randn(3, 3, requires_grad=True), torch.randn(2, 2, requires_grad=True)
    scores_of(head, [(3, [(0, 1), (2,)])], torch.randn(3, WIDTH), of_turns, of_goals)[0, 0].backward()
    for scores in (of_turns, of_goals):
        assert scores.grad is not None
        assert bool((scores.grad.abs().sum(dim=1) > 0).all())


@pytest.fixture(scope="module")
def model(tiny_encoder) -> LabelModel:
    torch.manual_seed(3)
    options = ModelOptions(
        encoder=str(tiny_encoder), dialogue_width=32, dialogue_heads=2, dialogue_layers=1, overlaps=True
    )
    tasks = {"goals": TaskOptions(), "outcome": TaskOptions(), "quality": TaskOptions(parts=True)}
    made = build_model(options, tasks, LABELS, [labeled_dialogue(seed) for seed in range(8)]).eval()
    perturb(made.heads, 0.3)
    return made


DIALOGUES = [labeled_dialogue(seed) for seed in range(20, 32)]


def test_saved_model_gives_equal_labels_which_are_batch_invariant(model, tmp_path):
    save_model(model, tmp_path / "m", {})
    assert annotate(load_model(tmp_path / "m"), DIALOGUES) == annotate(model, DIALOGUES)
    assert_batch_invariant(Annotator(tmp_path / "m"), DIALOGUES)


def test_label_of_the_dialogue_depends_on_its_goals(model):
    """Goals of an annotator in place of the decoded ones change the rating of the dialogue, and of no turn."""
    changed = 0
    for dialogue in DIALOGUES:
        (annotation,) = dialogue.annotations
        of_annotator = annotate(model, [dialogue], goals_from=annotation.annotator)[0]
        decoded = annotate(model, [dialogue])[0]
        goals = [{x.at for x in answers if isinstance(x.at, AtGoal)} for answers in (of_annotator, decoded)]
        ratings = [
            {x.at: x.distribution for x in answers if isinstance(x, Label) and x.task == "quality"}
            for answers in (of_annotator, decoded)
        ]
        overall = [one.pop(AtDialogue()) for one in ratings]
        assert ratings[0] == ratings[1]
        assert (overall[0] == overall[1]) or goals[0] != goals[1]
        changed += overall[0] != overall[1]
    assert changed > 0


def test_head_without_the_option_has_the_weights_of_older_models():
    names = set(QualityHead(WIDTH).state_dict())
    assert names == {
        f"{part}.{layer}.{kind}" for part in ("turn", "dialogue") for layer in (0, 2) for kind in ("weight", "bias")
    }
