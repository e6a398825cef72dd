"""Laws that every task in the registry obeys."""

import pytest
import torch
from decodings import decoded
from labeled import LABELS, every_target, labeled_dialogue

from labelgen.data.labels import scope
from labelgen.features.layout import Batch, TargetTensors
from labelgen.model.batches import Example
from labelgen.model.build import build_model
from labelgen.model.label_model import LabelModel
from labelgen.model.options import ModelOptions
from labelgen.tasks import TASKS, TaskOptions

DIALOGUES = [labeled_dialogue(seed) for seed in range(24)]


@pytest.fixture(scope="module")
def model(tiny_encoder) -> LabelModel:
    torch.manual_seed(0)
    options = ModelOptions(encoder=str(tiny_encoder), dialogue_width=32, dialogue_heads=2, dialogue_layers=1)
    return build_model(options, {name: TaskOptions() for name in TASKS}, LABELS, DIALOGUES).eval()


@pytest.fixture(scope="module")
def batch(model) -> Batch:
    return model.collator()([Example(d, every_target(d)) for d in DIALOGUES])


def outputs(model: LabelModel, batch: Batch, name: str):
    return model.heads[name](model.states(batch, model.encode(batch)), batch.layout)


@pytest.mark.parametrize("name", TASKS)
def test_decode_encoded_targets_returns_them(model, batch, name):
    task, target = model.tasks[name], batch.targets[name]
    decodings = decoded(task, 20.0 * (2.0 * target.expected - 1.0), batch.layout)
    for dialogue, answers in zip(DIALOGUES, decodings, strict=True):
        if name in ("order", "selection"):
            wanted = {(t.at, t.distribution[0][0]) for t in every_target(dialogue) if t.task == name and t.distribution}
            assert wanted <= {(label.at, label.name) for label in answers.labels}
            continue
        annotation = dialogue.annotations[0]
        assert {(x.at, x.name) for x in answers.labels} == {(x.at, x.name) for x in annotation.labels if x.task == name}
        assert {x.field for x in answers.none} == {none.field for none in annotation.none if none.task == name}
        assert not {scope(label) for label in answers.labels} & {x.field for x in answers.none}


@pytest.mark.parametrize("name", TASKS)
def test_decode_certain_targets_have_probability_one(model, batch, name):
    task, target = model.tasks[name], batch.targets[name]
    if name == "selection":
        pytest.skip("its targets name only some turns")
    for answers in decoded(task, 30.0 * (2.0 * target.expected - 1.0), batch.layout):
        assert all(label.probability == pytest.approx(1.0, abs=1e-6) for label in answers.labels)
        assert all(p == pytest.approx(1.0, abs=1e-6) for p in [x.probability for x in answers.none])


def test_no_goal_is_as_probable_as_that_no_turn_serves_one(model, batch):
    rows = torch.zeros(sum(batch.layout.turns), batch.layout.longest + 2)
    rows[:, -2:] = torch.tensor([0.4, 0.6])
    for count, answers in zip(batch.layout.turns, decoded(model.tasks["goals"], rows.log(), batch.layout), strict=True):
        assert (answers.labels, len(answers.none)) == ((), 1)
        assert answers.none[0].probability == pytest.approx(0.6**count)


@pytest.mark.parametrize("name", TASKS)
def test_loss_absent_targets_has_no_gradient(model, batch, name):
    task, target = model.tasks[name], batch.targets[name]
    out = outputs(model, batch, name).detach().requires_grad_()
    gone = TargetTensors(target.expected, torch.zeros_like(target.weight))
    loss = task.loss(out, gone)
    loss.total.backward()
    assert loss.total.item() == 0.0
    assert loss.weight.item() == 0.0
    assert bool((out.grad == 0).all())


@pytest.mark.parametrize("name", TASKS)
def test_loss_rows_without_weight_have_no_gradient(model, batch, name):
    task, target = model.tasks[name], batch.targets[name]
    out = outputs(model, batch, name).detach().requires_grad_()
    task.loss(out, target).total.backward()
    weight = target.weight if target.weight.dim() == 1 else target.weight.amax(dim=1)
    assert bool((out.grad[weight == 0] == 0).all())
    assert bool((out.grad[weight > 0] != 0).any())


@pytest.mark.parametrize("name", TASKS)
def test_loss_at_the_target_is_minimal(model, batch, name):
    task, target = model.tasks[name], batch.targets[name]
    right = task.loss(20.0 * (2.0 * target.expected - 1.0), target).total
    other = task.loss(outputs(model, batch, name), target).total
    assert right.item() < 1e-2
    assert right.item() < other.item()


@pytest.mark.parametrize("name", TASKS)
def test_encode_two_half_targets_equals_one(model, name):
    """The same targets twice, each at half weight, say what they say once: soft is hard where it is one-hot."""
    task = model.tasks[name]
    collate = model.collator()
    own = [every_target(d) for d in DIALOGUES]
    layout = collate([Example(d, t) for d, t in zip(DIALOGUES, own, strict=True)]).layout
    once = task.encode([[t for t in ts if t.task == name] for ts in own], layout)
    twice = task.encode([[t for t in ts if t.task == name] * 2 for ts in own], layout)
    assert torch.allclose(once.expected, twice.expected)


@pytest.mark.parametrize("name", [n for n in TASKS if n != "selection"])
def test_loss_other_dialogues_in_the_batch_change_nothing(model, name):
    """The loss of a batch is the sum of the losses of its dialogues."""
    collate = model.collator()
    examples = [Example(d, every_target(d)) for d in DIALOGUES[:8]]
    together = model.losses(collate(examples)).get(name)
    alone = [model.losses(collate([e])).get(name) for e in examples]
    assert together is not None
    assert together.total.item() == pytest.approx(sum(x.total.item() for x in alone if x is not None), rel=1e-4)
    assert float(together.weight) == pytest.approx(sum(float(x.weight) for x in alone if x is not None), rel=1e-6)
