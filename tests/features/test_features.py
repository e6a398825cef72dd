"""Words that are read by themselves: learned from a log, the same whatever stands beside a turn."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from labeled import LABELS, labeled_dialogue
from msgspec.structs import replace

from labelgen.data.dialogue import Category, Dialogue, Step, Turn
from labelgen.features.features import (
    categories_of,
    learn_words,
    numbers_of,
    words_of,
)
from labelgen.model.build import build_model, take_over
from labelgen.model.folder import load_model, save_model
from labelgen.model.options import ModelOptions
from labelgen.tasks import TaskOptions

TEXT = st.text(alphabet="ab' ?Né", max_size=12)
LOG = [labeled_dialogue(seed) for seed in range(12)]


@given(st.lists(st.tuples(TEXT, TEXT), max_size=12), st.integers(1, 8), st.integers(1, 3))
def test_learn_words_any_log_keeps_the_most_frequent(texts, most, least):
    """Beside a count of each word by itself."""
    turns = tuple(Turn(request=a, response=b) for a, b in texts)
    found = learn_words([Dialogue(id="d", turns=turns)], most, least)
    counts = {
        (role, word): sum(word in words_of(pair[role]) for pair in texts)
        for role in (0, 1)
        for pair in texts
        for word in words_of(pair[role])
    }
    kept = {(0, w) for w in found.request} | {(1, w) for w in found.response}
    assert len(kept) == min(most, sum(c >= least for c in counts.values()))
    assert all(counts[key] >= least for key in kept)
    left = [c for key, c in counts.items() if key not in kept and c >= least]
    assert not left or max(left) <= min(counts[key] for key in kept)


def test_steps_of_a_turn_become_features_of_tools():
    steps = (
        Step(kind="understanding", name="parser", error="no match"),
        Step(kind="tool", name="search"),
        Step(kind="tool", name="book", error="full"),
        Step(kind="tool", name="search"),
    )
    turn = Turn(request="a", response="b", steps=steps)
    dialogue = Dialogue(id="d", turns=(turn, Turn(request="c", response="d")))
    assert dict(categories_of(dialogue, turn))["tool"] == "book+search"
    assert {"tools": 3.0, "tool_errors": 1.0}.items() <= dict(numbers_of(dialogue, 0)).items()
    plain = (dict(categories_of(dialogue, dialogue.turns[1])), dict(numbers_of(dialogue, 1)))
    assert not {"tool", "tools", "tool_errors"} & (plain[0].keys() | plain[1].keys())
    recorded = replace(turn, categories=(Category(name="tool", value="mine"),))
    assert dict(categories_of(dialogue, recorded))["tool"] == "mine"


def model_of(encoder, words: int):
    torch.manual_seed(0)
    options = ModelOptions(encoder=str(encoder), dialogue_width=32, dialogue_heads=2, dialogue_layers=1, words=words)
    return build_model(options, {"quality": TaskOptions()}, LABELS, LOG).eval()


@pytest.fixture(scope="module")
def model(tiny_encoder):
    return model_of(tiny_encoder, 40)


def by_themselves(model, dialogues, hidden=None):
    batch = model.collator().batch(dialogues, [()] * len(dialogues), [None] * len(dialogues))
    with torch.no_grad():
        return model.turns(batch, model.encode(batch), hidden).turns


def test_word_features_any_batch_are_the_same(model):
    alone = torch.cat([by_themselves(model, [one]) for one in LOG])
    torch.testing.assert_close(by_themselves(model, LOG), alone, rtol=1e-4, atol=1e-5)


def test_word_features_of_hidden_response_have_no_effect(model):
    dialogue = next(d for d in LOG if len(d.turns) > 1)
    muted = replace(dialogue, turns=tuple(replace(turn, response="") for turn in dialogue.turns))
    assert model.features.words.response
    assert not torch.equal(by_themselves(model, [dialogue]), by_themselves(model, [muted]))
    hidden = torch.ones(len(dialogue.turns), dtype=torch.bool)
    assert torch.equal(by_themselves(model, [dialogue], hidden), by_themselves(model, [muted], hidden))


def test_word_features_saved_and_loaded_keep_vocabulary_and_weights(model, tiny_encoder, tmp_path):
    save_model(model, tmp_path / "m", {})
    loaded = load_model(tmp_path / "m")
    assert loaded.features == model.features
    assert torch.equal(by_themselves(loaded, LOG), by_themselves(model, LOG))
    assert "fusion.words.weight" in take_over(model_of(tiny_encoder, 5), model)
    assert "fusion.words.weight" not in take_over(model_of(tiny_encoder, 40), model)
