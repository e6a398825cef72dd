"""A model whose goals read pairs of turns: batch invariance, windows and causality."""

import pytest
import torch
from labeled import labeled_dialogue
from msgspec.structs import replace
from random_models import assert_same_in_any_batch, perturb

from labelgen.data.dialogue import SPEAKER, Category
from labelgen.model.annotator import Annotator
from labelgen.model.build import build_model
from labelgen.model.folder import load_model, save_model
from labelgen.model.options import ModelOptions
from labelgen.nn import structure
from labelgen.tasks import TaskOptions

NAMES = ("anna", "bert", "cleo")


def spoken(dialogue, seed):
    """The dialogue with a speaker for most turns, who often names another."""
    draw = torch.Generator().manual_seed(seed)

    def pick(count):
        return int(torch.randint(count, (1,), generator=draw))

    turns = []
    for turn in dialogue.turns:
        speaker, other = NAMES[pick(3)], NAMES[pick(3)]
        who = (Category(name=SPEAKER, value=speaker),) if pick(5) else ()
        text = f"{other}: {turn.request}" if pick(2) else turn.request
        turns.append(replace(turn, request=text, categories=(*turn.categories, *who)))
    return replace(dialogue, turns=tuple(turns), annotations=())


DIALOGUES = [spoken(labeled_dialogue(seed), seed) for seed in range(16)]
LONG = spoken(labeled_dialogue(50, turns=40), 50)


def pair_model(tiny_encoder, **options):
    torch.manual_seed(0)
    chosen = ModelOptions(encoder=str(tiny_encoder), dialogue_width=32, dialogue_heads=2, dialogue_layers=1)
    model = build_model(chosen, {"goals": TaskOptions(**{"pairs": True, **options})}, {}, DIALOGUES).eval()
    perturb(model)
    return model


@pytest.fixture(scope="module")
def folder(tiny_encoder, tmp_path_factory):
    folder = tmp_path_factory.mktemp("model") / "m"
    save_model(pair_model(tiny_encoder), folder, {"data_digest": "abc"})
    return folder


def test_pairs_other_dialogues_in_the_call_change_no_bit(folder):
    assert_same_in_any_batch(Annotator(folder), DIALOGUES)


def test_pairs_padding_changes_no_score(folder):
    model = load_model(folder)
    pairs, collate = model.heads["goals"].pairs, model.collator()
    assert isinstance(pairs, structure.PairScorer)
    short, long = DIALOGUES[0], LONG
    batch = collate.batch([short, long], [(), ()], [None, None])
    scores = pairs(batch.layout, torch.zeros(len(batch.layout.position), 9))
    row = 0
    for dialogue in (short, long):
        alone = collate.batch([dialogue], [()], [None])
        links, single = pairs(alone.layout, torch.zeros(len(dialogue.turns), 9))
        for turn in range(len(dialogue.turns)):
            back = min(turn, 9)
            torch.testing.assert_close(scores[0][row, :back], links[turn, :back])
            torch.testing.assert_close(scores[1][row], single[turn])
            row += 1
