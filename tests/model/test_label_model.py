"""Laws of the model as a whole: company and padding change nothing, saved is loaded, new labels can be scored."""

import pytest
import torch
from labeled import LABELS, every_target, labeled_dialogue
from msgspec.structs import replace
from random_models import assert_same_in_any_batch, perturb

from labelgen.data.dialogue import Dialogue
from labelgen.data.label_sets import LabelName, merge
from labelgen.data.labels import AtGoal
from labelgen.model.annotator import Annotator
from labelgen.model.batches import Example
from labelgen.model.build import build_model, with_labels
from labelgen.model.folder import load_model, save_model
from labelgen.model.label_model import LabelModel
from labelgen.model.options import ModelOptions
from labelgen.tasks import TASKS, TaskOptions

DIALOGUES = [labeled_dialogue(seed) for seed in range(20)]


def new_model(tiny_encoder, seed: int = 0, **options) -> LabelModel:
    torch.manual_seed(seed)
    chosen = ModelOptions(
        encoder=str(tiny_encoder), **{"dialogue_width": 32, "dialogue_heads": 2, "dialogue_layers": 1, **options}
    )
    model = build_model(chosen, {name: TaskOptions() for name in reversed(list(TASKS))}, LABELS, DIALOGUES).eval()
    # A new dialogue encoder adds nothing to its turns; these tests are about one that does.
    perturb(model.dialogue_encoder)
    return model


@pytest.fixture(scope="module")
def folder(tiny_encoder, tmp_path_factory):
    folder = tmp_path_factory.mktemp("model") / "m"
    save_model(new_model(tiny_encoder), folder, {"data_digest": "abc"})
    return folder


def test_annotator_other_dialogues_in_the_call_change_no_label(folder):
    """Alone, with all others, in another order."""
    assert_same_in_any_batch(Annotator(folder), DIALOGUES)


def test_a_drawn_share_of_the_turns_is_read_alone_in_training_and_all_of_them_at_work(tiny_encoder):
    model = new_model(tiny_encoder, dropout=0.0)
    collate = model.collator()
    batch = collate([Example(d) for d in DIALOGUES])
    encoded = model.encode(batch)
    at_work = model.states(batch, encoded)
    model.train()
    drawn = [model.states(batch, encoded).alone for _ in range(8)]
    apart = torch.stack([(alone != at_work.turns).any(dim=1) for alone in drawn])
    for alone, rows in zip(drawn, apart, strict=True):
        expected = torch.where(rows[:, None], at_work.alone, at_work.turns)
        torch.testing.assert_close(alone, expected, rtol=1e-4, atol=1e-5)
    # A dialogue of one turn is alone anyway.
    several = torch.tensor([len(d.turns) > 1 for d in DIALOGUES for _ in d.turns])
    assert 0.3 < apart[:, several].double().mean() < 0.5


def test_label_model_hidden_response_has_no_influence(folder):
    """Turns hide their response and numbers that would give it away."""
    model = load_model(folder)
    long = labeled_dialogue(3, turns=4)
    other = replace(long, turns=(*long.turns[:-1], replace(long.turns[-1], response="something else altogether")))
    hidden = torch.tensor([False, False, False, True])
    first, second = (model.collator()([Example(d)]) for d in (long, other))
    a = model.states(first, model.encode(first), hidden=hidden, causal=True).turns
    b = model.states(second, model.encode(second), hidden=hidden, causal=True).turns
    torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


def test_annotator_goals_from_an_annotator_replaces_predicted_goals(folder):
    """Asked of an annotator's goals, outcomes are about these goals and no others."""
    for annotation, dialogue in zip(Annotator(folder).annotate(DIALOGUES, goals_from="anna"), DIALOGUES, strict=True):
        given = {x.at for x in dialogue.annotations[0].labels if x.task == "goals"}
        assert {x.at for x in annotation.labels if x.task == "outcome"} == given
    for annotation in Annotator(folder).annotate(DIALOGUES):
        own = {x.at for x in annotation.labels if x.task == "goals"}
        assert {x.at for x in annotation.labels if x.task == "outcome"} == own
        assert all(isinstance(at, AtGoal) for at in own)


def test_annotator_annotations_are_valid_records(folder):
    from labelgen.data.record import decode, encode

    for annotation, dialogue in zip(Annotator(folder).annotate(DIALOGUES), DIALOGUES, strict=True):
        labeled = replace(dialogue, annotations=(*dialogue.annotations, annotation))
        again = decode(encode(labeled), "x")
        assert isinstance(again, Dialogue)
        own = again.annotation("model")
        assert own is not None
        wanted = {(x.task, x.at, x.name, x.probability) for x in annotation.labels if x.task in own_groups(own)}
        assert {(x.task, x.at, x.name, x.probability) for x in own.labels} >= wanted
        assert set(own.none) == set(annotation.none)
        assert all(none.probability is not None for none in annotation.none)


def own_groups(annotation) -> set[str]:
    return {x.task for x in annotation.labels}


def test_with_labels_new_labels_keep_the_old_ones(folder):
    """Other label sets add columns; scores of known labels do not move, new ones are scored by their text."""
    more = merge(LABELS, {"toy": {"intents": (LabelName("BuyMilk", "the user wants milk"),)}})
    old, new = load_model(folder), with_labels(load_model(folder), more)
    batch = old.collator()([Example(d) for d in DIALOGUES])
    before = old.heads["intents"](old.states(batch, old.encode(batch)), batch.layout)
    after = new.heads["intents"](new.states(batch, new.encode(batch)), batch.layout)
    names = [label.name for label in new.tasks["intents"].labels.names]
    assert names == ["BuyMilk", "GetWeather", "PlayMusic", "SetTimer"]
    # Before the names stands the score of any intent.
    some, new_name, old_names = after.split([1, 1, 3], dim=1)
    torch.testing.assert_close(torch.cat([some, old_names], dim=1), before, rtol=1e-4, atol=1e-5)
    assert new_name.std() > 0


def test_losses_frozen_encoder_has_no_gradient(tiny_encoder):
    model = new_model(tiny_encoder, encoder_frozen=True).train()
    losses = model.losses(model.collator()([Example(d, every_target(d)) for d in DIALOGUES]))
    torch.stack([loss.total for loss in losses.values()]).sum().backward()
    assert all(p.grad is None for p in model.turn_encoder.parameters())
    assert any(p.grad is not None for p in model.fusion.parameters())
