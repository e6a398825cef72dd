"""Answers that came back, put into the records of a log."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

from labelgen.data.dialogue import Dialogue
from labelgen.data.quarantine import Rejected
from labelgen.data.record import checked
from labelgen.review.returned import KNOWN, NO_FAULTS, SUPERSEDED, Returned


class Merge:
    """Puts answers into dialogues by id, and sets aside with a reason what cannot be put there.

    added: annotator -> dialogues. reasons: how many were set aside, by the first word of the reason."""

    def __init__(self, answers: Iterable[Returned | Rejected], reject: Callable[[Rejected], None]) -> None:
        self.added: Counter[str] = Counter()
        self.reasons: Counter[str] = Counter()
        self.first: Rejected | None = None
        self._reject_one = reject
        self._open: dict[str, dict[str, Returned]] = {}
        for answer in answers:
            if isinstance(answer, Rejected):
                self._reject(answer)
                continue
            own = self._open.setdefault(answer.dialogue, {})
            who = answer.annotation.annotator
            before = own.get(who)
            if before is not None:
                # Of one person's annotations the last one is meant; where no time is told, that is the later in the file.
                answer, before = (before, answer) if before.when > answer.when else (answer, before)
                self._set_aside(before, f"{SUPERSEDED}: {who} answered again")
            own[who] = answer

    def __call__(self, dialogues: Iterable[Dialogue]) -> Iterator[Dialogue]:
        """The dialogues in order, each with what was said of it; afterwards what is left is set aside."""
        for dialogue in dialogues:
            for answer in self._open.pop(dialogue.id, {}).values():
                dialogue = self._with(dialogue, answer)
            yield dialogue
        for own in self._open.values():
            for answer in own.values():
                self._set_aside(answer, "unknown_id: no dialogue of the log has this id")
        self._open = {}

    @property
    def faults(self) -> int:
        return sum(count for reason, count in self.reasons.items() if reason not in NO_FAULTS)

    def _with(self, dialogue: Dialogue, answer: Returned) -> Dialogue:
        fault = _other_text(dialogue, answer)
        if fault is not None:
            self._set_aside(answer, f"changed_text: {fault}")
            return dialogue
        new = answer.annotation
        before = next((a for a in dialogue.annotations if (a.annotator, a.kind) == (new.annotator, new.kind)), None)
        if before is not None:
            same = set(before.labels) == set(new.labels) and set(before.none) == set(new.none)
            reason = f"{KNOWN}: these answers are in the record already" if same else _twice(new.annotator)
            self._set_aside(answer, reason)
            return dialogue
        found = checked(replace(dialogue, annotations=(*dialogue.annotations, new)), answer.file)
        if isinstance(found, Rejected):
            # The record was good before, so the fault is in what was added.
            self._set_aside(answer, found.reason, found.field)
            return dialogue
        self.added[new.annotator] += 1
        return found

    def _set_aside(self, answer: Returned, reason: str, field: str | None = None) -> None:
        item = Rejected(file=answer.file, dialogue=answer.dialogue, field=field, reason=reason, raw=answer.raw)
        self._reject(item)

    def _reject(self, item: Rejected) -> None:
        reason = item.reason.partition(":")[0]
        self.reasons[reason] += 1
        if reason not in NO_FAULTS:
            self.first = self.first or item
        self._reject_one(item)


def _twice(annotator: str) -> str:
    return f"doubled_annotator: {annotator} answered otherwise in the record; import into the log that was exported"


def _other_text(dialogue: Dialogue, answer: Returned) -> str | None:
    """Where the annotator saw another text than the record has; None where the texts are the same."""
    shown, count = len(answer.requests), len(dialogue.turns)
    if shown > count or (answer.responses is not None and shown != count):
        return f"{shown} turns were shown, the record has {count}"
    for t, (turn, request) in enumerate(zip(dialogue.turns, answer.requests, strict=False)):
        if request is not None and request != turn.request:
            return f"the request of turn {t} was {request!r}, the record has {turn.request!r}"
        if answer.responses is not None and answer.responses[t] != turn.response:
            return f"the response of turn {t} was {answer.responses[t]!r}, the record has {turn.response!r}"
    return None
