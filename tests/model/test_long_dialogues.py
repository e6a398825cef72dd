"""Laws of long dialogues: read in windows they get what they get at once, and links reach back a bounded number of turns."""

import json
import shutil
from itertools import pairwise
from unittest.mock import patch

import pytest
from decodings import by_task
from hypothesis import given, settings
from hypothesis import strategies as st
from labeled import labeled_dialogue
from random_models import random_model

from labelgen.base.files import digest_file
from labelgen.data.labels import AtGoal, AtSpan, AtTurn
from labelgen.model import annotate as annotate_module
from labelgen.model.annotate import annotate
from labelgen.model.annotator import Annotator
from labelgen.model.folder import load_model
from labelgen.model.options import ModelOptions
from labelgen.nn import dialogue_encoder, structure
from labelgen.tasks import goals


def assert_alike(said, other):
    """The same answers at the same places, with probabilities that are equal but for rounding."""
    assert [(x.task, x.at, getattr(x, "name", None)) for x in said] == [
        (x.task, x.at, getattr(x, "name", None)) for x in other
    ]
    assert [x.probability for x in said] == pytest.approx([x.probability for x in other], rel=1e-4, abs=1e-5)


@settings(max_examples=12)
@given(turns=st.integers(9, 60), layers=st.integers(0, 2), band=st.integers(1, 20), reach=st.integers(1, 80))
def test_windows_give_what_is_given_at_once(tiny_encoder, turns, layers, band, reach):
    model, dialogue = random_model(tiny_encoder, layers, band), labeled_dialogue(turns, turns=turns)
    with patch.object(goals, "_REACH", reach):
        (whole,) = annotate(model, [dialogue])
        with (
            patch.object(annotate_module, "WINDOW", 8),
            patch.object(dialogue_encoder, "_WINDOW", 7),
            patch.object(structure, "_ROWS", 5),
        ):
            (windows,) = annotate(model, [dialogue])
    assert_alike(whole, windows)


def test_a_dialogue_of_2000_turns(tiny_encoder):
    """Every turn is answered by each task about turns, links reach no further than they may, and at once it is the same."""
    model, dialogue = random_model(tiny_encoder, 3, 16), labeled_dialogue(1, turns=2000)
    (windows,) = annotate(model, [dialogue])
    answers = by_task(model, windows)
    for task in ("quality", "intents", "slots", "order"):
        places = [x.at for x in answers[task].answers]
        assert {at.turn for at in places if isinstance(at, AtTurn | AtSpan)} == set(range(2000)), task
    divided = [label.at.turns for label in answers["goals"].labels if isinstance(label.at, AtGoal)]
    assert divided
    assert all(b - a <= goals._REACH for turns in divided for a, b in pairwise(turns))
    with patch.object(annotate_module, "WINDOW", 2000), patch.object(dialogue_encoder, "_WINDOW", 2000):
        (whole,) = annotate(model, [dialogue])
    assert_alike(whole, windows)


def test_given_goals_are_those_of_the_whole_dialogue(tiny_encoder):
    dialogue = labeled_dialogue(2, turns=40)
    with patch.object(annotate_module, "WINDOW", 8):
        (said,) = annotate(random_model(tiny_encoder, 1, 4), [dialogue], goals_from="anna")
    given = {x.at for x in dialogue.annotations[0].labels if isinstance(x.at, AtGoal)}
    assert {x.at for x in said if x.task == "outcome"} == given


def test_a_model_from_before_the_band_has_its_default(tiny_model, tmp_path):
    """It said the same of dialogues that fit into the band."""
    older = shutil.copytree(tiny_model, tmp_path / "m")
    card = json.loads((older / "config.json").read_text())
    assert card["options"].pop("dialogue_band") == ModelOptions.dialogue_band
    (older / "config.json").write_text(json.dumps(card))
    digests = {name: digest_file(older / name) for name in json.loads((older / "digests.json").read_text())}
    (older / "digests.json").write_text(json.dumps(digests))
    assert load_model(older).dialogue_encoder.band == ModelOptions.dialogue_band
    dialogues = [labeled_dialogue(seed) for seed in range(4)]
    old, new = (Annotator(path).annotate(dialogues) for path in (older, tiny_model))
    assert [one.answers for one in old] == [one.answers for one in new]
