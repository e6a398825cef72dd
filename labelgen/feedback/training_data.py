"""Training data for the next assistant: conversations that reached their goal, preferred responses, and understood requests.

Each record names its dialogue, its turns and where it comes from, so that it can be traced and deleted."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal, get_args

from labelgen.data.dialogue import Dialogue, Signal, Turn
from labelgen.data.labels import GOALS, Annotation, AtDialogue, AtGoal, AtSpan, AtTurn, Label
from labelgen.feedback.signal import find_signals

Form = Literal["sft", "preferences", "nlu"]
FORMS: tuple[Form, ...] = get_args(Form)
Record = dict[str, Any]
LeftOut = Counter[str]
"""Reason -> number of goals, pairs or turns that were left out for it."""

_AGAIN = ("edit", "retry", "correction", "rephrase", "repetition")
"""Kinds of signals that say: the user asked again, because the response was not what they wanted."""
_INTENTS, _SLOTS, _OUTCOME, _QUALITY = "intents", "slots", "outcome", "quality"


def training_records(
    dialogue: Dialogue, form: Form, annotator: str, left_out: LeftOut, least: float = 0.0
) -> Iterator[Record]:
    """The records of one dialogue.

    Args:
        form: `sft` (`messages` of each goal that was reached), `preferences` (`prompt`, `chosen` and `rejected` messages, from
            regenerations, edits and requests that were made again), or `nlu` (`text`, `intents` and `slots` of each turn).
        annotator: whose labels are used; labels that it withheld are no labels.
        left_out: counts what gives no record.
        least: labels with a lower probability give no record."""
    make: Mapping[str, Callable[[Dialogue, Annotation | None, LeftOut, float], Iterator[Record]]] = {
        "sft": _conversations,
        "preferences": _preferences,
        "nlu": _requests,
    }
    yield from make[form](dialogue, dialogue.annotation(annotator), left_out, least)


def _conversations(
    dialogue: Dialogue, annotation: Annotation | None, left_out: LeftOut, least: float
) -> Iterator[Record]:
    """One for each goal that was reached. A goal with a bad turn is left out: the assistant would learn that turn."""
    if annotation is None:
        left_out["the annotator did not label the dialogue"] += 1
        return
    bad = {label.at.turn for label in annotation.labels if _is_bad(label) and isinstance(label.at, AtTurn)}
    for label in annotation.labels:
        if label.task != _OUTCOME or not isinstance(label.at, AtGoal):
            continue
        turns = [dialogue.turns[index] for index in label.at.turns]
        if label.name != "success":
            left_out["the goal was not reached"] += 1
        elif label.probability is not None and label.probability < least:
            left_out["the probability is too low"] += 1
        elif bad.intersection(label.at.turns):
            left_out["a turn is bad"] += 1
        elif not all(turn.request.strip() and turn.response.strip() for turn in turns):
            left_out["a request or response is empty"] += 1
        else:
            origin = _origin(dialogue, label.at.turns, annotation, label.probability)
            yield {"messages": _messages(turns), **origin}


def _preferences(
    dialogue: Dialogue, annotation: Annotation | None, left_out: LeftOut, least: float
) -> Iterator[Record]:
    """Pairs of responses to one request. The prompt has the turns before it."""
    signals = dialogue.signals or tuple(find_signals(dialogue))
    for index, turn in enumerate(dialogue.turns):
        for item in turn.feedback:
            about = index if item.about is None else item.about
            response = dialogue.turns[about].response
            if item.kind == "regenerate" and item.text:
                yield from _pair(dialogue, about, response, item.text, (about,), item.kind, left_out)
            elif item.kind == "edit_response" and item.text:
                yield from _pair(dialogue, about, item.text, response, (about,), item.kind, left_out)
    judged_bad = {index for signal in signals if signal.vote == "bad" for index in signal.turns}
    if annotation is not None:
        judged_bad |= {label.at.turn for label in annotation.labels if _is_bad(label) and isinstance(label.at, AtTurn)}
    following = _made_again(signals)
    for failed, (accepted, kind) in sorted(following.items()):
        while accepted in following:
            accepted = following[accepted][0]
        if accepted in judged_bad:
            left_out["the request that was made again failed too"] += 1
        elif not _same_goal(annotation, failed, accepted):
            left_out["the turns serve different goals"] += 1
        else:
            rejected, chosen = dialogue.turns[failed].response, dialogue.turns[accepted].response
            yield from _pair(dialogue, failed, chosen, rejected, (failed, accepted), kind, left_out)


def _made_again(signals: Sequence[Signal]) -> dict[int, tuple[int, str]]:
    """Turn that failed -> turn in which the user asked again, and the kind of the signal; the most telling kind of several."""
    found: dict[int, tuple[int, str]] = {}
    for kind in reversed(_AGAIN):
        for signal in signals:
            if signal.kind == kind and signal.vote == "bad" and signal.turns:
                later = [turn for turn in signal.evidence if turn > signal.turns[-1]]
                if later:
                    found[signal.turns[-1]] = (later[0], kind)
    return found


def _same_goal(annotation: Annotation | None, one: int, other: int) -> bool:
    """Whether the annotator says that two turns serve one goal; true where it says nothing."""
    labels = () if annotation is None else annotation.labels
    goals = [label.at.turns for label in labels if label.task == GOALS and isinstance(label.at, AtGoal)]
    return not goals or any(one in turns and other in turns for turns in goals)


def _pair(
    dialogue: Dialogue, turn: int, chosen: str, rejected: str, turns: Sequence[int], kind: str, left_out: LeftOut
) -> Iterator[Record]:
    request = dialogue.turns[turn].request
    if not (request.strip() and chosen.strip() and rejected.strip()):
        left_out["a request or response is empty"] += 1
    elif chosen.strip() == rejected.strip():
        left_out["both responses are equal"] += 1
    else:
        yield {
            "prompt": [*_messages(dialogue.turns[:turn]), {"role": "user", "content": request}],
            "chosen": [{"role": "assistant", "content": chosen}],
            "rejected": [{"role": "assistant", "content": rejected}],
            "from": kind,
            "dialogue": dialogue.id,
            "turns": list(turns),
        }


def _requests(dialogue: Dialogue, annotation: Annotation | None, left_out: LeftOut, least: float) -> Iterator[Record]:
    """One for each turn whose intents and slots the annotator answered."""
    if annotation is None:
        left_out["the annotator did not label the dialogue"] += 1
        return
    answered = {(one.task, place.turn) for one in annotation.answers if (place := _turn(one.at)) is not None}
    withheld = {
        (one.field.task, place.turn) for one in annotation.abstained if (place := _turn(one.field.at)) is not None
    }
    for index, turn in enumerate(dialogue.turns):
        of_turn = [x for x in annotation.labels if (place := _turn(x.at)) is not None and place.turn == index]
        intents = [label for label in of_turn if label.task == _INTENTS]
        slots = [label for label in of_turn if label.task == _SLOTS]
        probabilities = [x.probability for x in (*intents, *slots) if x.probability is not None]
        if not turn.request.strip():
            left_out["the request is empty"] += 1
        elif {(_INTENTS, index), (_SLOTS, index)} & withheld:
            left_out["the annotator withheld a label"] += 1
        elif (_INTENTS, index) not in answered:
            left_out["the annotator named no intent"] += 1
        elif min(probabilities, default=1.0) < least:
            left_out["the probability is too low"] += 1
        else:
            yield {
                "text": turn.request,
                "intents": [label.name for label in intents],
                "slots": [_slot(label, label.at, turn) for label in slots if isinstance(label.at, AtSpan)],
                **_origin(dialogue, (index,), annotation, min(probabilities, default=None)),
            }


def _slot(label: Label, at: AtSpan, turn: Turn) -> Record:
    value = None if label.value is None else str(label.value)
    return {
        "name": label.name,
        "start": at.start,
        "end": at.end,
        "text": turn.request[at.start : at.end],
        "value": value,
    }


def _turn(at: AtTurn | AtSpan | AtGoal | AtDialogue) -> AtTurn | AtSpan | None:
    return at if isinstance(at, AtTurn | AtSpan) else None


def _is_bad(label: Label) -> bool:
    return label.task == _QUALITY and label.name == "bad"


def _messages(turns: Sequence[Turn]) -> list[Record]:
    said = (pair for turn in turns for pair in (("user", turn.request), ("assistant", turn.response)))
    return [{"role": role, "content": text} for role, text in said if text.strip()]


def _origin(dialogue: Dialogue, turns: Sequence[int], annotation: Annotation, probability: float | None) -> Record:
    digest = None if annotation.provenance is None else annotation.provenance.model_digest
    return {
        "dialogue": dialogue.id,
        "turns": list(turns),
        "annotator": annotation.annotator,
        "model": digest,
        "probability": probability,
    }
