"""BETOLD: acts as turns, and nothing in them that exists only because of the hang-up."""

import json
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benchmarks.readers.betold import READER
from labelgen.data.dialogue import Dialogue
from labelgen.features.features import categories_of, numbers_of
from labelgen.feedback.signal import find_signals, mask


def read(folder: Path) -> list[Dialogue]:
    return [item for item in READER.read(folder, {}) if isinstance(item, Dialogue)]


def betold(acts: str, luhf: bool, folder: Path) -> Dialogue:
    """A call of one letter an act: U says something, A asks, W announces."""
    sides = {"U": ("nlu", "inform"), "A": ("nlg", "propose_date"), "W": ("nlg", "working_on_previous_request")}
    call = {
        "LUHF": "luhf" if luhf else "not_luhf",
        "utterances_annotations": [
            {"caller_name": sides[act][0], "intent": sides[act][1], "entities": []} for act in acts
        ],
    }
    (folder / "BETOLD_x.json").write_text(json.dumps([call]))
    (found,) = read(folder)
    return found


def seen_by_a_model(dialogue: Dialogue) -> object:
    features = [
        (list(categories_of(dialogue, turn)), list(numbers_of(dialogue, t))) for t, turn in enumerate(dialogue.turns)
    ]
    return [(t.request, t.response) for t in dialogue.turns], features


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(acts=st.text("UAW", max_size=8), after=st.text("UW", max_size=3))
def test_betold_call_with_any_ending_hides_who_ended_it(acts: str, after: str, tmp_path: Path):
    """Neither the disconnect, nor a gap where it was hidden, nor what only a call that went on can end with."""
    left, stayed = betold(acts, True, tmp_path), betold(acts + after, False, tmp_path)
    assert seen_by_a_model(left) == seen_by_a_model(stayed)
    signals = [s for s in find_signals(left) if s.kind == "disconnect"]
    assert [s.turns for s in signals] == [(len(left.turns) - 1,)] * bool(left.turns)
    hidden = mask(left, signals)
    assert not hidden.feedback
    assert seen_by_a_model(hidden) == seen_by_a_model(left)
