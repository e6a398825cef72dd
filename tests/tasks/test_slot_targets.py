"""Spans as tags over tokens: what several annotators say of a token, what is unknown of it, and back."""

import dataclasses

import pytest
import torch
from decodings import decoded
from labeled import LABELS, every_target, labeled_dialogue
from msgspec.structs import replace

from labelgen.data.label_sets import LabelName, LabelSet
from labelgen.data.labels import AtGoal, AtSpan, AtTurn, Field, Target
from labelgen.features.layout import Layout
from labelgen.model.batches import Example
from labelgen.model.build import build_model
from labelgen.model.options import ModelOptions
from labelgen.nn.structure import NEVER
from labelgen.tasks import TaskOptions
from labelgen.tasks.slots import Slots

NO, B_A, B_B, I_A, I_B = range(5)
TASK = Slots(
    LabelSet("slots", (LabelName("a"), LabelName("b")), {"two": (0, 1), "one": (0,), "none": ()}), TaskOptions()
)
TOKENS = ((0, 0), (0, 4), (5, 8), (9, 12), (13, 13), (13, 17), (0, 0))
"""A special token, "play", "the", "red", a blank that is a token of its own, "lamp", a special token."""
COUNT = len(TOKENS)


def layout_of(*sources: str) -> Layout:
    """A dialogue of two turns for each source; every turn has the same request."""
    turns = 2 * len(sources)
    starts, ends = ([span[k] for span in TOKENS] * turns for k in (0, 1))
    return Layout(
        turns=(2,) * len(sources),
        sources=sources,
        domains=(None,) * len(sources),
        goals=((),) * len(sources),
        dialogue_of=torch.arange(turns) // 2,
        position=torch.arange(turns) % 2,
        token_turn=torch.arange(turns).repeat_interleave(COUNT),
        token_start=torch.tensor(starts),
        token_end=torch.tensor(ends),
        token_counts=(COUNT,) * turns,
        response_of=torch.arange(turns),
    )


def span(name: str, start: int, end: int, weight: float = 1.0, turn: int = 0, complete: bool = True) -> Target:
    return Target("slots", AtSpan(turn, start, end), ((name, 1.0),), None, weight, complete=complete)


def whole(weight: float = 1.0, turn: int = 0, complete: bool = True) -> Target:
    """All slots of the turn are told."""
    return Target("slots", AtTurn(turn), (), None, weight, complete=complete)


def encoded(*targets: Target, source: str = "two") -> tuple[list[dict[int, float]], list[float]]:
    """Of each token of the first turn: its tags with a share, and its weight."""
    found = TASK.encode([list(targets)], layout_of(source))
    tags = [{k: round(p, 6) for k, p in enumerate(row) if p} for row in found.expected[:COUNT].tolist()]
    assert not found.weight[COUNT:].any()
    return tags, found.weight[:COUNT].tolist()


def test_a_span_begins_at_its_first_token_and_goes_on_to_its_last():
    tags, weight = encoded(whole(0.5), span("a", 5, 17, 0.5))
    assert tags == [{NO: 1}, {NO: 1}, {B_A: 1}, {I_A: 1}, {I_A: 1}, {I_A: 1}, {NO: 1}]
    assert weight == [0.5] * COUNT
    tags, _ = encoded(whole(), span("b", 0, 4), span("a", 9, 12))
    assert tags == [{NO: 1}, {B_B: 1}, {NO: 1}, {B_A: 1}, {NO: 1}, {NO: 1}, {NO: 1}]


def test_annotators_who_differ_share_the_tokens_by_their_weights():
    """One marks "the red" as a, one "red" as b, and one marks nothing; together they weigh more than one."""
    tags, weight = encoded(whole(0.5), span("a", 5, 12, 0.5), whole(0.25), span("b", 9, 12, 0.25), whole(0.5))
    assert tags[2] == {NO: 0.6, B_A: 0.4}
    assert tags[3] == {NO: 0.4, B_B: 0.2, I_A: 0.4}
    assert tags[5] == {NO: 1}
    assert weight == [1.0] * COUNT


def test_a_span_alone_tells_of_its_own_tokens_and_of_no_others():
    for targets in ((span("a", 5, 12, 0.7, complete=False),), (span("a", 5, 12, 0.7), whole(0.7, complete=False))):
        tags, weight = encoded(*targets)
        assert tags == [{}, {}, {B_A: 1}, {I_A: 1}, {}, {}, {}]
        assert weight == pytest.approx([0, 0, 0.7, 0.7, 0, 0, 0])


@pytest.mark.parametrize(("name", "source"), [("b", "one"), ("c", "two"), ("c", "one")])
def test_tokens_of_a_name_that_the_source_cannot_give_are_absent(name: str, source: str):
    """Neither that name nor O; what stands beside them counts as ever, also a span that is named later."""
    tags, weight = encoded(whole(), span(name, 5, 12), span("a", 13, 17), source=source)
    assert weight == [1, 1, 0, 0, 1, 1, 1]
    assert [tags[k] for k in (0, 1, 4, 5, 6)] == [{NO: 1}, {NO: 1}, {NO: 1}, {B_A: 1}, {NO: 1}]


def test_what_is_no_span_and_what_was_cut_off_says_nothing():
    goal = Target("slots", AtGoal((0,)), (("a", 1.0),))
    negative = Target("slots", AtTurn(0), None, ("a",), complete=False)
    tags, weight = encoded(goal, negative, span("b", 40, 44), whole(), span("a", 0, 4))
    assert tags == [{NO: 1}, {B_A: 1}, *[{NO: 1}] * 5]
    assert weight == [1.0] * COUNT


def test_targets_are_laid_on_the_turn_and_the_dialogue_that_they_speak_of():
    found = TASK.encode([[whole(turn=1), span("a", 0, 4, turn=1)], [span("b", 9, 12, turn=0)]], layout_of("two", "two"))
    marked = {(row, tag) for row, tag in found.expected.nonzero().tolist() if tag}
    assert marked == {(COUNT + 1, B_A), (2 * COUNT + 3, B_B)}
    assert found.weight.nonzero().flatten().tolist() == [*range(COUNT, 2 * COUNT), 2 * COUNT + 3]


def scores(layout: Layout, tags: dict[int, int]) -> torch.Tensor:
    """Sure of these tags of tokens, and of O elsewhere."""
    out = torch.zeros(len(layout.token_turn), 5)
    for token in range(len(out)):
        out[token, tags.get(token, NO)] = 30.0
    return out


def test_spans_end_with_their_last_visible_token():
    layout = layout_of("two")
    for tags, place in (
        ({2: B_A, 3: I_A}, (5, 12)),
        ({2: B_A, 3: I_A, 4: I_A}, (5, 12)),
        ({2: B_A, 3: I_A, 4: I_A, 5: I_A}, (5, 17)),
        ({1: B_A}, (0, 4)),
    ):
        (said,) = decoded(TASK, scores(layout, tags), layout)
        assert [(x.at, x.name) for x in said.labels] == [(AtSpan(0, *place), "a")]
        assert said.labels[0].probability == pytest.approx(1.0)
        assert [x.field for x in said.none] == [Field("slots", AtTurn(1))]
        assert [x.probability for x in said.none] == pytest.approx([1.0])


def test_a_source_without_slots_gives_no_answer_and_one_with_some_of_them_does():
    layout = layout_of("none", "one", "two")
    silent, one, two = decoded(TASK, scores(layout, {2 * COUNT + 1: B_A, 5 * COUNT + 1: B_B}), layout)
    assert silent.answers == ()
    assert [(x.at, x.name) for x in one.labels] == [(AtSpan(0, 0, 4), "a")]
    assert [x.field for x in one.none] == [Field("slots", AtTurn(1))]
    assert [(x.at, x.name) for x in two.labels] == [(AtSpan(1, 0, 4), "b")]
    assert [x.field for x in two.none] == [Field("slots", AtTurn(0))]


def test_the_probability_of_an_empty_turn_is_that_no_span_begins():
    """One token in each of seven may begin a span of either name, or go on with it, at the same odds as O."""
    layout = layout_of("two")
    out = torch.zeros(2 * COUNT, 5)
    out[:, NO] = 2.0
    (said,) = decoded(TASK, out, layout)
    # The states are O or one of two names; a name goes on at the odds at which it begins.
    outside, inside = 1.0, 0.0
    total = 1.0
    e = float(torch.tensor(2.0).exp())
    for _ in range(COUNT):
        outside, inside = e * (outside + inside), 2 * (outside + inside) + inside
        total = outside + inside
    assert [x.probability for x in said.none] == pytest.approx([e**COUNT / total] * 2)


def test_special_tokens_belong_to_no_span_and_a_blank_begins_none(tiny_encoder):
    torch.manual_seed(0)
    options = ModelOptions(encoder=str(tiny_encoder), dialogue_width=32, dialogue_heads=2, dialogue_layers=1)
    dialogues = [replace(labeled_dialogue(seed), source=("toy", "other")[seed % 2]) for seed in range(4)]
    labels = {**LABELS, "other": {"slots": LABELS["toy"]["slots"][:1]}}
    model = build_model(options, {"slots": TaskOptions()}, labels, dialogues).eval()
    batch = model.collator()([Example(d, every_target(d)) for d in dialogues])
    token = int((batch.layout.token_end > batch.layout.token_start).nonzero()[1])
    start = batch.layout.token_start.clone()
    start[token] = batch.layout.token_end[token]
    layout = dataclasses.replace(batch.layout, token_start=start)
    names = len(model.tasks["slots"].labels.names)
    out = model.heads["slots"](model.states(batch, model.encode(batch)), layout)
    begins, inside = out[:, 1 : 1 + names] > NEVER, out[:, 1 + names :] > NEVER
    allowed = model.tasks["slots"].allowed(layout)[layout.dialogue_of[layout.token_turn]]
    assert not allowed.all(), "some names are those of another source"
    special = layout.token_end == 0
    assert special.any()
    assert not begins[special].any()
    assert not inside[special].any()
    assert not begins[token].any()
    assert torch.equal(inside[~special], allowed[~special])
    plain = ~special
    plain[token] = False
    assert torch.equal(begins[plain], allowed[plain])
    assert bool((out[:, 0] > NEVER).all())
