"""Labels of a task of which the model learned nothing are withheld, and its card says why."""

import pytest
import torch
from labeled import LABELS, labeled_dialogue

from labelgen.data.labels import AtDialogue, AtTurn
from labelgen.model.annotator import Annotator
from labelgen.model.build import build_model
from labelgen.model.card import WEAK, model_card, weak_lines
from labelgen.model.folder import save_model
from labelgen.model.options import ModelOptions
from labelgen.tasks import TaskOptions

WEAK_TURNS = {"quality": {"turn": "all its probabilities lie within 0.010 of each other"}}


@pytest.fixture(scope="module")
def folder(tiny_encoder, tmp_path_factory):
    torch.manual_seed(0)
    options = ModelOptions(encoder=str(tiny_encoder), dialogue_width=32, dialogue_heads=2, dialogue_layers=1)
    tasks = {"outcome": TaskOptions(ngrams=0), "quality": TaskOptions(ngrams=0)}
    path = tmp_path_factory.mktemp("weak") / "m"
    save_model(
        build_model(options, tasks, LABELS, [labeled_dialogue(0)]), path, {"data_digest": "abc", WEAK: WEAK_TURNS}
    )
    return path


def test_answers_of_a_weak_unit_are_withheld_with_the_best_guess(folder):
    dialogue = labeled_dialogue(1)
    (withheld,) = Annotator(folder).annotate([dialogue])
    (kept,) = Annotator(folder, keep_weak=True).annotate([dialogue])
    assert {type(x.at) for x in withheld.labels if x.task == "quality"} == {AtDialogue}
    assert [x for x in withheld.labels if x.task == "outcome"] == [x for x in kept.labels if x.task == "outcome"]
    gone = [one for one in withheld.abstained if one.field.task == "quality"]
    assert [one.field.at for one in gone] == [AtTurn(t) for t in range(len(dialogue.turns))]
    assert sorted(withheld.labels + tuple(x for one in gone for x in one.best), key=repr) == sorted(
        kept.labels, key=repr
    )
    assert not kept.abstained


def test_card_says_it_first():
    card = model_card({WEAK: WEAK_TURNS}, {"quality": ("bad", "good")})
    (line,) = weak_lines(WEAK_TURNS)
    assert card.split("# Dialogue annotator\n\n")[1].startswith(line)
    assert "--keep-weak" in line
    assert weak_lines({}) == []
