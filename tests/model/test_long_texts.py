"""Dialogues with texts of several windows: labels do not depend on the batch, slots stand anywhere, and short texts are unchanged."""

import pytest
from labeled import labeled_dialogue
from msgspec.structs import replace
from random_models import assert_alike, random_model

from labelgen.data.dialogue import Dialogue
from labelgen.data.labels import AtSpan
from labelgen.features.text import Tokenizer
from labelgen.model.annotate import annotate
from labelgen.model.label_model import LabelModel


def long_dialogue(seed: int, times: int) -> Dialogue:
    """Every second turn says its texts several times."""
    dialogue = labeled_dialogue(seed)
    turns = [
        replace(turn, request=" ".join([turn.request] * times), response=" ".join([turn.response] * times))
        if t % 2
        else turn
        for t, turn in enumerate(dialogue.turns)
    ]
    return Dialogue(id=f"{dialogue.id}-{times}", turns=tuple(turns))


def with_windows(model: LabelModel, most: int, windows: int) -> LabelModel:
    model.tokenizer = Tokenizer(model.tokenizer.tokenizer, most, windows)
    return model


@pytest.fixture
def model(tiny_encoder) -> LabelModel:
    return with_windows(random_model(tiny_encoder, 1, 6), 12, 6)


def test_labels_of_long_texts_are_the_same_in_any_batch(model):
    dialogues = [long_dialogue(seed, times) for seed in range(4) for times in (1, 3, 9)]
    for one, two in zip(annotate(model, dialogues), annotate(model, dialogues[::-1])[::-1], strict=True):
        assert_alike(one, two)


def test_slots_stand_behind_the_first_window(model):
    dialogues = [long_dialogue(seed, 6) for seed in range(12)]
    behind = 0
    for dialogue, answers in zip(dialogues, annotate(model, dialogues), strict=True):
        requests = model.tokenizer([turn.request for turn in dialogue.turns])
        for answer in answers:
            if isinstance(answer.at, AtSpan):
                tokens = requests[answer.at.turn]
                first_window = tokens.spans[tokens.kept[0][1] - 1][1]
                behind += len(tokens.windows) > 1 and answer.at.start >= first_window
    assert behind
