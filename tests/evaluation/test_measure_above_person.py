"""scripts/measure_above_person.py: a threshold laid on one part of the dialogues, tested on a second, reported on a third."""

import importlib
import random

import numpy as np
import pytest

from labelgen.data.dialogue import Dialogue, Turn
from labelgen.data.labels import Annotation, AtTurn, Label

# By its name: stand-ins take the place of its classes here, which the type checker would refuse.
script = importlib.import_module("measure_above_person")


def rated(seed, count, knows, errs=0.3, turns=6, bad=0.3):
    """Three people who err alone, and a model whose probability of bad is right with the chance `knows` and drawn else."""
    rng = random.Random(seed)
    for k in range(count):
        truth = [rng.random() < bad for _ in range(turns)]
        people = [
            Annotation(
                who,
                "person",
                tuple(
                    Label("quality", AtTurn(t), "bad" if is_bad != (rng.random() < errs) else "good")
                    for t, is_bad in enumerate(truth)
                ),
            )
            for who in ("ann", "ben", "cid")
        ]
        sure = [0.5 + 0.5 * is_bad * rng.random() if rng.random() < knows else rng.random() for is_bad in truth]
        model = tuple(
            Label("quality", AtTurn(t), "bad", p, distribution=(("bad", p), ("fair", 0.0), ("good", 1 - p)))
            for t, p in enumerate(sure)
        )
        turn = Turn(request="a", response="b")
        yield Dialogue(
            id=f"{seed}-{k}", turns=(turn,) * turns, annotations=(*people, Annotation("model", "model", model))
        )


def items(dialogues):
    (found,) = script.collected(dialogues, script.Who()).values()
    return found


def test_a_model_that_knows_is_above_careless_people_and_one_that_guesses_is_not():
    _, threshold, confirmed, ours, theirs, gain, called, *_ = script.row("x", items(rated(0, 300, 1.0)), 100.0)
    assert confirmed == "yes"
    assert threshold > 0.5
    assert gain["low"] > 0
    assert gain["value"] == pytest.approx(ours["value"] - theirs["value"], abs=2e-4)
    assert 0 < called["value"] < 0.5
    _, _, confirmed, *_, dialogues, hour, human = script.row("x", items(rated(1, 300, 0.0)), 100.0)
    assert confirmed == "no"
    assert (hour, human) == (600, 180)
    assert 80 < dialogues < 130


def changed(found, part):
    """Everything about who is right turned round in one part of the dialogues."""
    inside = np.array([script.part_of(d, script._PARTS, 0, "above a person") == part for d in found.dialogues])
    found.right = [not r if inside[own] else r for r, own in zip(found.right, found.own, strict=True)]


def test_the_parts_divide_the_dialogues_and_only_the_first_lays_thresholds():
    found = items(rated(2, 200, 0.7))
    assert sum(script.share(found, name).dialogues for name in ("choose", "test", "report")) == 200
    before = script.laid(script.share(found, "choose"))
    assert before == sorted(before, reverse=True) != []
    changed(found, "test")
    changed(found, "report")
    assert script.laid(script.share(found, "choose")) == before


def test_the_part_that_is_reported_has_no_say_in_the_threshold():
    found = items(rated(0, 300, 1.0))
    before = script.row("x", found, None)
    changed(found, "report")
    after = script.row("x", found, None)
    assert after[:3] == before[:3]
    assert after[3]["value"] < before[3]["value"]


def test_the_last_threshold_before_the_first_that_fails_is_kept():
    class Gains:
        dialogues = 3

        def gain(self, threshold, times):
            return script.Interval(0.1, {0.9: 0.1, 0.8: 0.2, 0.7: 0.0, 0.6: 0.3}[threshold], 0.5)

    assert script.kept(Gains(), (0.9, 0.8, 0.7, 0.6)) == (0.8, True)
    assert script.kept(Gains(), (0.7, 0.6)) == (0.7, False)
    assert script.kept(Gains(), ()) == (None, False)


def test_precision_counts_what_is_called():
    one = script.Share(
        *(np.array(x, dtype=float) for x in ([0, 0, 1, 1], [0.9, 0.2, 0.9, 0.1], [1, 0, 0, 1], [1, 1, 0, 1])), 2
    )
    once = np.ones((1, 2))
    assert one.precision(one.sure >= 0.5)(once)[0] == 0.5
    assert one.precision(one.person)(once)[0] == pytest.approx(2 / 3)


def test_who_is_right_is_drawn_of_those_who_rated_the_item_and_only_rated_items_are_labels_of_people():
    """Thirty people, of whom three rated the first turn, all of them bad; of the others' two turns none is judged by them."""
    turn = Turn(request="a", response="b")
    people = [
        Annotation(
            f"p{k}",
            "person",
            tuple(Label("quality", AtTurn(t), "bad" if t == 0 else "good") for t in ((0,) if k < 3 else (1,))),
        )
        for k in range(30)
    ]
    sure = tuple(
        Label("quality", AtTurn(t), "bad", 0.9, distribution=(("bad", 0.9), ("fair", 0.0), ("good", 0.1)))
        for t in range(3)
    )
    dialogue = Dialogue(id="d", turns=(turn,) * 3, annotations=(*people, Annotation("model", "model", sure)))
    rated_items, each, beside = script.items_of(dialogue, script.Who(others=2, judged=3))
    assert (rated_items, each) == (2, 1.0)
    assert sorted(beside) == [(0.9, False, False)] * 3 + [(0.9, True, True)] * 3


def test_reference_for_an_annotator_excludes_that_annotator():
    """Two of three say bad. Without one of them the others are tied; without the third they say bad, and the third is wrong."""
    turn = Turn(request="a", response="b")
    people = [
        Annotation(who, "person", (Label("quality", AtTurn(0), name),))
        for who, name in (("ann", "bad"), ("ben", "bad"), ("cid", "good"))
    ]
    sure = Label("quality", AtTurn(0), "bad", 0.9, distribution=(("bad", 0.9), ("fair", 0.0), ("good", 0.1)))
    dialogue = Dialogue(id="d", turns=(turn,), annotations=(*people, Annotation("model", "model", (sure,))))
    assert script.items_of(dialogue, script.Who()) == (1, 1.0, [(0.9, False, True)])
