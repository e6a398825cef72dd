"""The second network of a task, which reads no text: averaged with the first, trained by itself, saved with the model."""

import pytest
import torch
from labeled import LABELS, labeled_dialogue
from random_models import assert_same_in_any_batch, perturb

from labelgen.base.errors import UsageError
from labelgen.data.dialogue import Dialogue
from labelgen.data.labels import targets_of
from labelgen.features.layout import Batch, States
from labelgen.model.annotate import annotate
from labelgen.model.annotator import Annotator
from labelgen.model.batches import Example
from labelgen.model.build import build_model, take_over
from labelgen.model.folder import load_model, save_model
from labelgen.model.label_model import LabelModel
from labelgen.model.options import ModelOptions
from labelgen.tasks.options import TaskOptions

LOG = [labeled_dialogue(seed) for seed in range(8)]
OTHERS = [labeled_dialogue(seed) for seed in range(20, 32)]


def new_model(tiny_encoder, without_texts: bool = True) -> LabelModel:
    torch.manual_seed(1)
    options = ModelOptions(
        encoder=str(tiny_encoder), dialogue_width=32, dialogue_heads=2, dialogue_layers=1, words=30, overlaps=True
    )
    second = TaskOptions(without_texts=without_texts)
    parts = TaskOptions(without_texts=without_texts, parts=True)
    model = build_model(options, {"goals": TaskOptions(), "outcome": second, "quality": parts}, LABELS, LOG).eval()
    perturb(model.heads, 0.3)
    perturb(model.heads_without_texts, 0.3)
    return model


@pytest.fixture(scope="module")
def model(tiny_encoder) -> LabelModel:
    return new_model(tiny_encoder)


def batch_of(model: LabelModel, dialogues: list[Dialogue]) -> Batch:
    return model.collator()([Example(d, targets_of(d.annotations[0])) for d in dialogues])


def states_of(model: LabelModel, dialogues: list[Dialogue]) -> tuple[States, Batch]:
    batch = batch_of(model, dialogues)
    return model.states(batch, model.encode(batch)), batch


@torch.no_grad()
def test_scores_are_the_geometric_mean_of_both_networks(model):
    states, batch = states_of(model, OTHERS)
    for name in ("outcome", "quality"):
        both, second = model.score(name, states, batch.layout), model.score_without_texts(name, states, batch.layout)
        model.train()
        first = model.score(name, states, batch.layout)
        model.eval()
        expected = (first.softmax(dim=1) * second.softmax(dim=1)).sqrt()
        torch.testing.assert_close(both.softmax(dim=1), expected / expected.sum(dim=1, keepdim=True))
        assert not torch.allclose(first, second)


@torch.no_grad()
def test_second_network_is_blind_to_vectors_of_texts(model):
    """Other vectors of texts, with equal features, change the first network's scores alone."""
    batch = batch_of(model, OTHERS)
    pooled, tokens = model.encode(batch)
    states, other = (model.states(batch, (vectors, tokens)) for vectors in (pooled, torch.randn_like(pooled)))
    for name in ("outcome", "quality"):
        before, after = (model.score_without_texts(name, x, batch.layout) for x in (states, other))
        assert torch.equal(before, after)
        assert not torch.equal(model.score(name, states, batch.layout), model.score(name, other, batch.layout))


def test_networks_are_trained_apart(model):
    """The loss is the mean of both losses, and no gradient of the second network's loss reaches the first."""
    model.train()
    model.zero_grad()
    try:
        states, batch = states_of(model, OTHERS)
        task, target = model.tasks["quality"], batch.targets["quality"]
        loss = task.loss(model.score_without_texts("quality", states, batch.layout), target)
        loss.total.backward()
        reached = {name.split(".")[0] for name, p in model.named_parameters() if p.grad is not None and p.grad.any()}
        assert reached == {"fusion_without_texts", "heads_without_texts"}
    finally:
        model.zero_grad()
        model.eval()


def test_saved_model_gives_equal_labels_which_are_batch_invariant(model, tmp_path):
    save_model(model, tmp_path / "m", {})
    assert annotate(load_model(tmp_path / "m"), OTHERS) == annotate(model, OTHERS)
    assert_same_in_any_batch(Annotator(tmp_path / "m"), OTHERS)


def test_model_without_the_option_has_no_second_network_and_takes_over_the_first(tiny_encoder, model):
    plain = new_model(tiny_encoder, without_texts=False)
    assert not any("without_texts" in name for name in plain.state_dict())
    stayed = take_over(new_model(tiny_encoder), plain)
    assert stayed
    assert all("without_texts" in name for name in stayed)


@pytest.mark.parametrize(
    ("options", "wrong"),
    [
        ({"goals": TaskOptions(without_texts=True)}, "goals may have several labels"),
        ({"outcome": TaskOptions(parts=True)}, "outcome has no labels of whole dialogues"),
    ],
)
def test_option_without_effect_is_refused(tiny_encoder, options, wrong):
    with pytest.raises(UsageError, match=wrong):
        build_model(ModelOptions(encoder=str(tiny_encoder)), options, LABELS, LOG)
