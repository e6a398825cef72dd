"""Labels of a dialogue from its turns and goals: equal to a loop over dialogues, the same in any batch."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from labeled import LABELS, labeled_dialogue
from layouts import layout_of
from random_models import perturb

from labelgen.data.labels import AtDialogue, AtGoal, Label
from labelgen.features.layout import Layout
from labelgen.model.annotate import annotate
from labelgen.model.build import build_model
from labelgen.model.label_model import LabelModel
from labelgen.model.options import ModelOptions
from labelgen.nn.dialogue_summary import SCALE, DialogueSummary
from labelgen.tasks.options import TaskOptions

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


def layout_with(dialogues: Divisions) -> Layout:
    return layout_of(*(n for n, _ in dialogues)).with_goals(tuple(tuple(goals) for _, goals in dialogues))


def drawn(data) -> tuple[Divisions, torch.Tensor, torch.Tensor]:
    """Dialogues, with scores of their turns and goals."""
    dialogues = divisions(data.draw)
    torch.manual_seed(len(dialogues))
    turns, goals = sum(n for n, _ in dialogues), sum(len(own) for _, own in dialogues)
    return dialogues, torch.randn(turns, 3), torch.randn(goals, 2)


def new_head() -> DialogueSummary:
    """With weights that are not zero."""
    head = DialogueSummary(3, 2)
    perturb(head)
    return head.eval()


def by_loop(head: DialogueSummary, goals: int, of_turns, of_goals) -> torch.Tensor:
    """Scores of one dialogue."""
    p, q, none = of_turns.softmax(dim=1), of_goals.softmax(dim=1), torch.zeros(2)
    parts = [
        p.mean(dim=0),
        p.max(dim=0).values,
        q.mean(dim=0) if goals else none,
        q.max(dim=0).values if goals else none,
        torch.tensor([len(of_turns), goals]).log1p(),
        torch.tensor([float(goals > 0)]),
    ]
    return head.parts(SCALE * torch.cat(parts))


@given(st.data())
@settings(max_examples=40, deadline=None)
def test_scores_equal_a_loop_over_dialogues(data):
    dialogues, of_turns, of_goals = drawn(data)
    head = new_head()
    together = head(layout_with(dialogues), of_turns, of_goals)
    turn = goal = 0
    for k, (n, own) in enumerate(dialogues):
        alone = by_loop(head, len(own), of_turns[turn:][:n], of_goals[goal:][: len(own)])
        torch.testing.assert_close(together[k], alone)
        turn, goal = turn + n, goal + len(own)


@torch.no_grad()
def test_one_bad_turn_of_twenty_shows_in_full_and_not_by_a_twentieth():
    head, layout = DialogueSummary(3, 2), layout_with([(20, [])])
    good = torch.tensor([[-9.0, 0.0, 9.0]]).repeat(20, 1)
    one_bad = good.clone()
    one_bad[7] = torch.tensor([9.0, 0.0, -9.0])
    # The first number is the mean probability of `bad` among the turns, the fourth the largest one.
    effects = []
    for number in (0, 3):
        head.parts.weight.zero_()
        head.parts.weight[0, number] = 1.0
        before, after = (head(layout, x, torch.zeros(0, 2))[0, 0] for x in (good, one_bad))
        effects.append(float(after - before) / SCALE)
    assert effects == pytest.approx([1 / 20, 1.0], abs=1e-3)


def test_loss_of_the_dialogue_does_not_train_the_scores_of_turns_and_goals():
    of_turns, of_goals = torch.randn(3, 3, requires_grad=True), torch.randn(2, 2, requires_grad=True)
    head = new_head()
    head(layout_with([(3, [(0, 1), (2,)])]), of_turns, of_goals)[0, 0].backward()
    assert of_turns.grad is None
    assert of_goals.grad is None
    assert head.parts.weight.grad is not None


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
