"""Options of an evaluation against a naive reference: others, the first turn, mean ratings, a task at several units."""

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest
from made_evaluations import evaluate

from labelgen.data.dialogue import Dialogue, Turn
from labelgen.data.labels import QUALITY_NAMES, Annotation, AtDialogue, AtTurn, Label, quality_name
from labelgen.evaluation.evaluate import KNOWN_USERS, Description, prepare
from labelgen.evaluation.protocol import with_reference
from labelgen.metrics.results import HUMAN, Setting
from labelgen.tasks.evaluation import tasks_of_units

APART = tasks_of_units("quality", ("turn", "dialogue"), ("macro_f1", "accuracy", "bad_f1", "bad_auprc"), QUALITY_NAMES)
TASKS = (replace(APART[0], name="quality", units=("turn", "dialogue")),)
"""A task at several units is judged on all of them."""
PEOPLE = tuple("abcde")
Ratings = Mapping[str, Mapping[Any, float]]


def ratings(seed: int, turns: int = 5, people: Sequence[str] = PEOPLE) -> dict[str, dict[Any, float]]:
    """annotator -> place -> rating 1..5; raters differ by one, and leave a tenth."""
    rng = random.Random(seed)
    places: list[Any] = [*(AtTurn(t) for t in range(turns)), AtDialogue()]
    true = {at: rng.randint(1, 5) for at in places}
    return {
        who: {
            at: float(min(5, max(1, true[at] + rng.choice((-1, 0, 0, 1)))))
            for at in places
            if who == "model" or rng.random() < 0.9
        }
        for who in (*people, "model")
    }


def log(count: int = 30) -> tuple[list[Dialogue], list[Ratings]]:
    made: list[Dialogue] = []
    known: list[Ratings] = []
    for k in range(count):
        own = ratings(k)
        known.append(own)
        annotations = []
        for who, places in own.items():
            labels = []
            for at, rating in places.items():
                name = quality_name(rating)
                spread = {"bad": 0.2, "fair": 0.1, "good": 0.2} | {name: 0.6 if name == "fair" else 0.7}
                total = sum(spread.values())
                p = tuple((one, spread[one] / total) for one in QUALITY_NAMES)
                found = dict(p)[name] if who == "model" else None
                labels.append(Label("quality", at, name, found, rating, p if who == "model" else None))
            annotations.append(Annotation(who, "model" if who == "model" else "person", tuple(labels)))
        turns = tuple(Turn(request=f"{k}", response="") for _ in range(5))
        made.append(Dialogue(id=f"d{k}", turns=turns, annotations=tuple(annotations), user=f"u{k % 3}"))
    return made, known


def consensus(raters: Sequence[Mapping[Any, float]], at: Any, mean: bool) -> str | None:
    given = [own[at] for own in raters if at in own]
    if len(given) < 2:
        return None
    if mean:
        return str(quality_name(sum(given) / len(given)))
    (first, votes), *others = Counter(map(quality_name, given)).most_common()
    return None if others and others[0][1] == votes else str(first)


def naive(known: Sequence[Ratings], mean: bool, first: int, leave_out: bool) -> Any:
    """(reference, model, person) of every judged item."""
    items = []
    for own in known:
        people = [own[who] for who in PEOPLE]
        for person in people if leave_out else [None]:
            others = [one for one in people if one is not person]
            for at in [AtTurn(t) for t in range(first, 5)] + [AtDialogue()]:
                wanted = consensus(others, at, mean)
                if wanted is not None and (person is None or at in person):
                    items.append(
                        (wanted, quality_name(own["model"][at]), quality_name(person[at]) if person else wanted)
                    )
    return items


def accuracy(pairs: Sequence[tuple[str, str]]) -> float:
    return sum(wanted == said for wanted, said in pairs) / len(pairs)


def macro_f1(pairs: Sequence[tuple[str, str]]) -> float:
    scores = []
    for name in {name for pair in pairs for name in pair}:
        right = sum(wanted == said == name for wanted, said in pairs)
        scores.append(2 * right / sum((wanted == name) + (said == name) for wanted, said in pairs))
    return sum(scores) / len(scores)


def judged(dialogues: Sequence[Dialogue], setting: Setting) -> dict[str, Any]:
    return evaluate(with_reference(dialogues, TASKS, setting), TASKS, ("model",), setting, Description("t"))


@pytest.mark.parametrize("leave_out", [True, False])
@pytest.mark.parametrize("mean", [True, False])
@pytest.mark.parametrize("first", [0, 2])
def test_options_of_an_evaluation_equal_a_naive_reference(mean: bool, first: int, leave_out: bool) -> None:
    dialogues, known = log()
    setting = Setting(
        others=None if leave_out else 0,
        ratings="mean" if mean else "vote",
        first_turn=first,
        resamples=20,
    )
    (task,) = judged(dialogues, setting)["tasks"]
    items = naive(known, mean, first, leave_out)
    assert (task["name"], task["unit"], task["items"]) == ("quality", "turn and dialogue", len(items))
    rows = {row["system"]: row["metrics"] for row in task["rows"]}
    assert (HUMAN in rows) == leave_out
    for system, place in (("model", 1), (HUMAN, 2))[: 1 + leave_out]:
        pairs = [(item[0], item[place]) for item in items]
        assert rows[system]["accuracy"]["value"] == pytest.approx(accuracy(pairs))
        assert rows[system]["macro_f1"]["value"] == pytest.approx(macro_f1(pairs))
    assert rows["model"]["bad_auprc"]["value"] is not None


def test_users_of_the_training_part_are_left_out_where_asked() -> None:
    dialogues, _ = log(9)
    training = [Dialogue(id="t", turns=(Turn(request="x", response=""),), user="u1")]
    kept = prepare(dialogues, TASKS, Setting(), training, new_users=True)
    assert kept.left_out == {KNOWN_USERS: 3}
    assert {dialogue.user for dialogue in kept.dialogues} == {"u0", "u2"}
