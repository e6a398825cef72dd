"""Small dialogues with labels of every task, made from a seed; used by the tests of tasks, model and training."""

import random

from labelgen.data.dialogue import Category, Dialogue, Number, Turn
from labelgen.data.label_sets import LabelName, Sources
from labelgen.data.labels import Annotation, AtDialogue, AtGoal, AtSpan, AtTurn, Label, NoLabel, Target, targets_of

_TEXT = "play stop the red blue lamp timer for ten minutes rain in paris add milk bread to my list again"
WORDS = _TEXT.split()
INTENTS = ("PlayMusic", "SetTimer", "GetWeather")
SLOTS = ("song", "duration", "place")

LABELS: Sources = {
    "toy": {
        "intents": tuple(LabelName(n, f"the user wants {n}") for n in sorted(INTENTS)),
        "slots": tuple(LabelName(n) for n in sorted(SLOTS)),
    }
}


def labeled_dialogue(seed: int, turns: int | None = None) -> Dialogue:
    """One dialogue with an annotation by "anna" that answers every task."""
    rng = random.Random(seed)
    count = rng.randint(1, 6) if turns is None else turns
    made = tuple(_turn(rng, t) for t in range(count))
    return Dialogue(id=f"d{seed}", turns=made, source="toy", device="speaker", annotations=(_annotation(rng, made),))


def _turn(rng: random.Random, t: int) -> Turn:
    request = " ".join(rng.choices(WORDS, k=rng.randint(0, 9)))
    response = " ".join(rng.choices(WORDS, k=rng.randint(0, 6)))
    return Turn(
        request=request,
        response=response,
        time_s=10.0 * t if rng.random() < 0.5 else None,
        asr_confidence=rng.random() if rng.random() < 0.5 else None,
        status=rng.choice(("answered", "failed", None)),
        categories=(Category(name="screen", value=rng.choice("yn")),),
        numbers=(Number(name="volume", value=rng.random()),) if rng.random() < 0.5 else (),
    )


def _annotation(rng: random.Random, turns: tuple[Turn, ...]) -> Annotation:
    labels: list[Label] = []
    none: list[NoLabel] = []
    serves = [rng.choice((0, 0, 1, None)) for _ in turns]
    goals = [tuple(t for t, goal in enumerate(serves) if goal == g) for g in (0, 1)]
    for members in sorted(goal for goal in goals if goal):
        labels.append(Label("goals", AtGoal(members), "goal"))
        labels.append(Label("outcome", AtGoal(members), rng.choice(("success", "failure"))))
    if not any(goals):
        none.append(NoLabel("goals", AtDialogue()))
    if turns:
        labels.append(Label("quality", AtDialogue(), "bad", value=2.0))
    for t, turn in enumerate(turns):
        labels.append(Label("quality", AtTurn(t), rng.choice(("bad", "fair", "good"))))
        intents = rng.sample(INTENTS, k=rng.choice((0, 1, 1, 2)))
        labels += [Label("intents", AtTurn(t), name) for name in sorted(intents)]
        if not intents:
            none.append(NoLabel("intents", AtTurn(t)))
        span = _word_span(rng, turn.request)
        if span:
            labels.append(Label("slots", AtSpan(t, *span), rng.choice(SLOTS)))
        else:
            none.append(NoLabel("slots", AtTurn(t)))
    labels += [Label("cause", AtTurn(t), name) for t, name in _causes(labels, len(turns)).items()]
    return Annotation("anna", "person", tuple(labels), tuple(none))


def _causes(labels: list[Label], turns: int) -> dict[int, str]:
    """A failed goal begins to fail at its last turn, after a failure that was recovered from."""
    causes = dict.fromkeys(range(turns), "none")
    for label in labels:
        if label.name == "failure" and isinstance(label.at, AtGoal):
            causes[label.at.turns[0]] = "recovered"
            causes[label.at.turns[-1]] = ("recognition", "entity", "loop")[label.at.turns[-1] % 3]
    return causes


def _word_span(rng: random.Random, text: str) -> tuple[int, int] | None:
    words = text.split()
    if not words or rng.random() < 0.3:
        return None
    first = rng.randrange(len(words))
    last = min(len(words), first + rng.randint(1, 2))
    start = len(" ".join(words[:first])) + (1 if first else 0)
    return start, start + len(" ".join(words[first:last]))


def every_target(dialogue: Dialogue) -> tuple[Target, ...]:
    """Targets of the annotation, and those that pretraining adds."""
    own = targets_of(dialogue.annotations[0])
    order = tuple(
        Target("order", AtTurn(t), (("moved" if t % 3 == 2 else "kept", 1.0),)) for t in range(len(dialogue.turns))
    )
    selection = tuple(Target("selection", AtTurn(t), (("own", 1.0),)) for t in range(0, len(dialogue.turns), 2))
    return own + order + selection
