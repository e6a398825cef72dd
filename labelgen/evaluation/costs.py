"""What labels cost: of every candidate, and of a single annotator, the price of an answer that the reference agrees with.

The price of an annotation is that of all its answers together, so they are counted over all questions that ask one task. A
field that is judged several times, beside several people, counts once, with the mean of its trials."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from labelgen.data.dialogue import Dialogue
from labelgen.data.labels import EVIDENCE_HIDDEN, ON_GIVEN_GOALS
from labelgen.evaluation.compare import items_of
from labelgen.evaluation.question import Question
from labelgen.evaluation.section import kind_of
from labelgen.evaluation.trials import SINGLE, Protocol, Setting, Trial, people_of
from labelgen.metrics.sets import same


@dataclass(slots=True)
class _Counts:
    """Of one dialogue, in fields: judged, answered, and accepted, that is answered as the reference answers."""

    judged: float = 0.0
    answered: float = 0.0
    accepted: float = 0.0


def costs(
    protocol: Protocol, questions: Sequence[Question], candidates: Sequence[str], setting: Setting
) -> list[dict[str, Any]]:
    """A row for each candidate and for a single annotator: shares of judged fields that are answered (completion) and
    accepted (agreement), and what an accepted one costs. Empty where no annotation names a price."""
    drawn = {q: protocol.trials(q).trials for q in questions if len(q.tasks) == 1}
    people = any(trial.person is not None for trials in drawn.values() for trial in trials)
    rows = []
    # Who was asked once more, in another way, was not paid once more.
    once = [name for name in candidates if not name.endswith((ON_GIVEN_GOALS, EVIDENCE_HIDDEN))]
    for name in (*once, *([SINGLE] if people else [])):
        counts = _counts(drawn, protocol.dialogues, name)
        prices = {k: _price(protocol.dialogues[k], name, setting) for k in counts}
        priced = {k: price for k, price in prices.items() if price is not None}
        judged, accepted = sum(c.judged for c in counts.values()), sum(c.accepted for c in counts.values())
        paid = sum(counts[k].accepted for k in priced)
        rows.append(
            {
                "candidate": name,
                "kind": "person" if name == SINGLE else kind_of(protocol.dialogues, name),
                "answered": sum(c.answered for c in counts.values()) / judged if judged else None,
                "agreement": accepted / judged if judged else None,
                "accepted": accepted,
                "priced_dialogues": len(priced),
                "price": sum(priced.values()) if priced else None,
                "price_per_accepted": sum(priced.values()) / paid if priced and paid else None,
            }
        )
    return rows if any(row["price"] is not None for row in rows) else []


def _counts(
    drawn: Mapping[Question, Sequence[Trial]], dialogues: Sequence[Dialogue], candidate: str
) -> dict[int, _Counts]:
    found: dict[int, _Counts] = {}
    for question, trials in drawn.items():
        times = Counter(trial.dialogue for trial in trials)
        for trial, item in zip(trials, items_of(trials, dialogues, question, candidate), strict=True):
            own, weight = found.setdefault(trial.dialogue, _Counts()), 1.0 / times[trial.dialogue]
            for at, wanted in item.reference.items():
                own.judged += weight
                own.answered += weight * (at in item.predicted)
                own.accepted += weight * (at in item.predicted and same(item.predicted[at], wanted))
    return found


def _price(dialogue: Dialogue, candidate: str, setting: Setting) -> float | None:
    """Of the candidate's annotation; of a single annotator the mean over people who name one. None where none is named."""
    if candidate == SINGLE:
        given = [a.price for a in people_of(dialogue, setting) if a.price is not None]
        return sum(given) / len(given) if given else None
    annotation = dialogue.annotation(candidate)
    return None if annotation is None else annotation.price
