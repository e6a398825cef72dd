"""Online, a turn is labeled as if its dialogue ended with it."""

import json

import pytest
from decodings import by_task
from hypothesis import given, settings
from hypothesis import strategies as st
from labeled import labeled_dialogue
from msgspec.structs import replace
from random_models import random_model

from labelgen.base.files import digest_bytes
from labelgen.data.labels import AtGoal, AtSpan, AtTurn
from labelgen.model.annotate import annotate
from labelgen.model.annotator import Annotator
from labelgen.model.calibration import CALIBRATION
from labelgen.model.folder import DIGESTS, read_digests, save_model


@settings(max_examples=15)
@given(turns=st.integers(2, 30), share=st.floats(0.05, 0.95), layers=st.integers(0, 2), seed=st.integers(0, 3))
def test_the_labels_of_a_prefix_are_those_of_the_first_turns(tiny_encoder, turns, share, layers, seed):
    """Of turns and spans the same labels, of goals the same turns, and the same outcome of a goal that ended there."""
    model = random_model(tiny_encoder, layers, band=6)
    whole = labeled_dialogue(seed, turns=turns)
    end = max(1, int(share * turns))
    prefix = replace(whole, turns=whole.turns[:end])
    late, early = (by_task(model, annotate(model, [d], online=True)[0]) for d in (whole, prefix))
    for name in late:
        one, other = late[name], early[name]
        ours = {(x.at, x.name): x.probability for x in one.labels if ends(x.at, end)}
        theirs = {(x.at, x.name): x.probability for x in other.labels if ends(x.at, end)}
        if name == "goals":
            so_far = {tuple(t for t in goal if t < end) for goal in goals_of(one.labels)} - {()}
            assert so_far == goals_of(other.labels)
            continue
        if name == "outcome":
            # A goal that goes on is another question.
            theirs = {key: p for key, p in theirs.items() if key[0] in {x.at for x in one.labels}}
        if name == "cause":
            # And may begin to fail later.
            ended = {AtTurn(t) for goal in goals_of(late["goals"].labels) if goal[-1] < end for t in goal}
            ours, theirs = ({k: p for k, p in of.items() if k[0] in ended} for of in (ours, theirs))
        if ours.keys() != theirs.keys():  # Two names of one probability.
            ours, theirs = ({(at, ""): p for (at, _), p in of.items()} for of in (ours, theirs))
        assert ours.keys() == theirs.keys(), name
        assert list(ours.values()) == pytest.approx([theirs[key] for key in ours], rel=1e-4, abs=1e-5), name


def goals_of(labels) -> set[tuple[int, ...]]:
    return {label.at.turns for label in labels if isinstance(label.at, AtGoal)}


def ends(at, end: int) -> bool:
    if isinstance(at, AtTurn | AtSpan):
        return at.turn < end
    return isinstance(at, AtGoal) and at.turns[-1] < end


def test_the_provenance_says_so_and_no_calibration_is_applied(tiny_encoder, tmp_path):
    save_model(random_model(tiny_encoder, 1, band=6), tmp_path / "m", {})
    digest = {CALIBRATION: digest_bytes(b"not read")}
    (tmp_path / "m" / CALIBRATION).write_bytes(b"not read")
    (tmp_path / "m" / DIGESTS).write_text(json.dumps(read_digests(tmp_path / "m") | digest), encoding="utf-8")
    dialogue = labeled_dialogue(1, turns=5)
    (said,) = Annotator(tmp_path / "m", online=True).annotate([dialogue])
    assert said.provenance is not None
    assert (said.provenance.online, said.provenance.thresholds) == (True, ())
