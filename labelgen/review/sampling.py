"""Which dialogues people are to see.

`abstained` and `informative` choose those from which most is learned for an hour of reading; `audit` draws at random, so
that what is found in the sample holds for the log.

What a set S of dialogues tells is the sum over kinds of answers of the square root of the doubt about that kind within S.
A kind is a task with the names that were guessed, so a second dialogue that is doubted for the same reason adds less than
the first. Such a sum of concave functions is submodular (Wei, Liu, Kirchhoff, Bilmes 2014, "Unsupervised submodular subset
selection for speech data"); dialogues are taken one after the other by the greatest gain for a turn to be read, with gains
brought up to date only where it matters (Minoux 1978, "Accelerated greedy algorithms")."""

import heapq
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Any

import msgspec

from labelgen.data.dialogue import Dialogue
from labelgen.data.extra import extra
from labelgen.review.doubt import doubts, reviewed

DIFFICULT = ("abstained", "informative")
"""Ways that choose what a model is in doubt about; what is found there does not hold for the log."""

HOW = (*DIFFICULT, "audit")

SAMPLE = "sample"
"""The field of a record that says how it came into a sample."""

Kind = tuple[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Candidate:
    """A dialogue that can be drawn. doubt: kind of answer -> the expected number of wrong answers of that kind."""

    dialogue: str
    turns: int
    doubt: dict[Kind, float]


@dataclass(frozen=True, slots=True)
class Drawn:
    """rank: from 0, the first to be looked at. probability: of being in such a sample, None where it was chosen and not
    drawn. gain: for a turn to be read, when it was chosen."""

    dialogue: str
    rank: int
    probability: float | None = None
    gain: float | None = None


def candidate(dialogue: Dialogue, how: str, model: str | None) -> Candidate | None:
    """The dialogue as a candidate, None where it cannot be one: without turns there is nothing to look at; to learn most,
    it needs a model's annotation (`abstained`: with something withheld) and nobody's answers yet."""
    if not dialogue.turns:
        return None
    if how == "audit":
        return Candidate(dialogue.id, len(dialogue.turns), {})
    annotation = reviewed(dialogue, model)
    if annotation is None or any(a.kind == "person" for a in dialogue.annotations):
        return None
    doubt: dict[Kind, float] = {}
    for said in doubts(annotation):
        if said.withheld or how == "informative":
            kind = (said.field.task, said.names)
            doubt[kind] = doubt.get(kind, 0.0) + said.doubt
    return Candidate(dialogue.id, len(dialogue.turns), doubt) if doubt else None


def why_none(dialogues: Iterable[Dialogue], how: str, model: str | None) -> tuple[str, str]:
    """Why no dialogue of a log is a candidate, and what fixes it."""
    shown = [
        (reviewed(d, model) is not None, any(a.kind == "person" for a in d.annotations)) for d in dialogues if d.turns
    ]
    count, who = len(shown), model or "a model"
    if not shown:
        return "no record has a turn", "name a log with turns"
    if not any(labeled for labeled, _ in shown):
        return (
            f"none of {count:,} records has an annotation by {who}",
            "`labelgen label` adds a model's annotation to a log",
        )
    left = sum(labeled and not answered for labeled, answered in shown)
    if not left:
        known = sum(labeled for labeled, _ in shown)
        return f"all {known:,} records with an annotation by {who} were annotated by people already", "use --how audit"
    if how == "abstained":
        return (
            f"{who} withheld nothing in {left:,} records that nobody annotated",
            "only a calibrated model withholds: `labelgen calibrate`, then `labelgen label` again; or use --how informative",
        )
    return f"{who} answers nothing in {left:,} records that nobody annotated", "use --how audit"


def draw(candidates: Iterable[Candidate], how: str, count: int, seed: int = 0) -> list[Drawn]:
    """At most `count` of them. The order of the candidates is of no influence.

    `audit` draws without replacement, each candidate as likely."""
    queue = sorted(candidates, key=lambda one: _place(one, seed))
    if how == "audit":
        probability = min(1.0, count / len(queue)) if queue else None
        return [Drawn(one.dialogue, rank, probability) for rank, one in enumerate(queue[:count])]
    return _most_informative(queue, count)


def _place(one: Candidate, seed: int) -> tuple[float, str]:
    # A seeded place in the queue, which depends on the dialogue alone and not on what else is in the log.
    return Random(f"review/{seed}/{one.dialogue}").random(), one.dialogue


def _most_informative(queue: Sequence[Candidate], count: int) -> list[Drawn]:
    covered: dict[Kind, float] = {}
    heap = [(-_gain(one, covered), k) for k, one in enumerate(queue)]
    heapq.heapify(heap)
    chosen: list[Drawn] = []
    while heap and len(chosen) < count:
        _, k = heapq.heappop(heap)
        now = (-_gain(queue[k], covered), k)
        # Gains only fall, so one that is still the greatest when brought up to date is the greatest.
        if heap and now > heap[0]:
            heapq.heappush(heap, now)
            continue
        chosen.append(Drawn(queue[k].dialogue, len(chosen), gain=-now[0]))
        for kind, doubt in queue[k].doubt.items():
            covered[kind] = covered.get(kind, 0.0) + doubt
    return chosen


def _gain(one: Candidate, covered: dict[Kind, float]) -> float:
    return (
        math.fsum(
            math.sqrt(covered.get(kind, 0.0) + doubt) - math.sqrt(covered.get(kind, 0.0))
            for kind, doubt in one.doubt.items()
        )
        / one.turns
    )


def marked(dialogue: Dialogue, drawn: Drawn, how: str, seed: int) -> Dialogue:
    """The dialogue with a field `sample` that says how it was drawn, among the fields that labelgen does not know."""
    said: dict[str, Any] = {"how": how, "seed": seed, "rank": drawn.rank}
    if drawn.probability is not None:
        said["probability"] = drawn.probability
    if drawn.gain is not None:
        said["gain"] = round(drawn.gain, 6)
    return replace(dialogue, extra=msgspec.json.encode({**_extra(dialogue), SAMPLE: said}, order="sorted").decode())


def drawn_for_difficulty(dialogue: Dialogue) -> str | None:
    """The way that chose the dialogue because a model is in doubt about it; None where none did, as in an audit."""
    said = extra(dialogue).get(SAMPLE)
    how = said.get("how") if isinstance(said, dict) else None
    return how if isinstance(how, str) and how in DIFFICULT else None


def inclusion(dialogue: Dialogue) -> float | None:
    """The probability by which an audit drew the dialogue; an estimate of a total weighs it by the inverse. None where no
    audit did."""
    said = extra(dialogue).get(SAMPLE)
    probability = said.get("probability") if isinstance(said, dict) else None
    return float(probability) if isinstance(probability, (int, float)) else None


def _extra(dialogue: Dialogue) -> dict[str, Any]:
    if dialogue.extra is None:
        return {}
    try:
        found = msgspec.json.decode(dialogue.extra)
    except msgspec.MsgspecError:
        return {"extra": dialogue.extra}
    return found if isinstance(found, dict) else {"extra": dialogue.extra}
