"""Merge answers of people and LLMs into the records of a log."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from msgspec.structs import replace

from labelgen.base.errors import InputError
from labelgen.data.dialogue import Dialogue
from labelgen.data.labels import Annotation
from labelgen.data.record import Rejected, validate

SKIPPED, EMPTY, SUPERSEDED, KNOWN = "skipped", "empty", "superseded", "known"

NO_FAULTS = frozenset({SKIPPED, EMPTY, SUPERSEDED, KNOWN})
"""Reasons to set an annotation aside although nothing is wrong with it."""


class AnswerError(Exception):
    """An answer that cannot be used; the first word of the message is the reason by which faults are counted."""


@dataclass(frozen=True, slots=True)
class ReviewAnswer:
    """One annotation that a person or an LLM returned.

    texts: request and response of each turn as the annotator saw them, where that is known. when: ISO 8601, of the last change, where it
    is known. file: the source. raw: the original text."""

    dialogue: str
    annotation: Annotation
    texts: tuple[tuple[str, str], ...] | None
    file: str
    when: str = ""
    raw: str | None = None


class AnswerMerger:
    """Adds answers to dialogues by id; rejects with a reason those that cannot be added.

    added: annotator -> number of dialogues. reasons: number of rejected answers by the first word of the reason."""

    def __init__(
        self, answers: Iterable[ReviewAnswer | Rejected], reject: Callable[[Rejected], None] | None = None
    ) -> None:
        self.added: Counter[str] = Counter()
        self.reasons: Counter[str] = Counter()
        self.first: Rejected | None = None
        self._report = reject
        self._open: dict[str, dict[str, ReviewAnswer]] = {}
        for answer in answers:
            if isinstance(answer, Rejected):
                self._reject(answer)
                continue
            of_dialogue = self._open.setdefault(answer.dialogue, {})
            who = answer.annotation.annotator
            before = of_dialogue.get(who)
            if before is not None:
                # A person's last annotation counts; without times, the later one in the file.
                answer, before = (before, answer) if before.when > answer.when else (answer, before)
                self._set_aside(before, f"{SUPERSEDED}: {who} answered again")
            of_dialogue[who] = answer

    def __call__(self, dialogues: Iterable[Dialogue]) -> Iterator[Dialogue]:
        """The dialogues in order, each with its answers; at the end, answers without a dialogue are rejected."""
        for dialogue in dialogues:
            for answer in self._open.pop(dialogue.id, {}).values():
                dialogue = self._with(dialogue, answer)
            yield dialogue
        for of_dialogue in self._open.values():
            for answer in of_dialogue.values():
                self._set_aside(answer, "unknown_id: no dialogue of the log has this id")
        self._open = {}

    @property
    def faults(self) -> int:
        """Number of answers that cannot be used."""
        return sum(count for reason, count in self.reasons.items() if reason not in NO_FAULTS)

    def check(self, max_bad_rate: float) -> None:
        """Raises InputError if the share of answers that cannot be used is above the rate."""
        faults, good = self.faults, self.added.total()
        if self.first is None or faults <= max_bad_rate * (faults + good):
            return
        counts = ", ".join(f"{r} {n:,}" for r, n in self.reasons.most_common() if r not in NO_FAULTS)
        raise InputError(
            f"{faults:,} of {faults + good:,} annotations cannot be used ({faults / (faults + good):.1%}), more than the "
            f"{max_bad_rate:.1%} allowed: {counts}",
            f"the first: {self.first.where()}: {self.first.reason}",
            "fix the answers, or raise --max-bad-rate to use the others",
        )

    def _with(self, dialogue: Dialogue, answer: ReviewAnswer) -> Dialogue:
        difference = _text_difference(dialogue, answer)
        if difference is not None:
            self._set_aside(answer, f"changed_text: {difference}")
            return dialogue
        new = answer.annotation
        before = next((a for a in dialogue.annotations if (a.annotator, a.kind) == (new.annotator, new.kind)), None)
        if before is not None:
            same = set(before.labels) == set(new.labels) and {x.field for x in before.none} == {
                x.field for x in new.none
            }
            reason = (
                f"{KNOWN}: these answers are in the record already"
                if same
                else f"doubled_annotator: {new.annotator} answered otherwise in the record; import into the log that was exported"
            )
            self._set_aside(answer, reason)
            return dialogue
        merged = validate(replace(dialogue, annotations=(*dialogue.annotations, new)), answer.file)
        if isinstance(merged, Rejected):
            # The record was good before, so the fault is in the answer.
            self._set_aside(answer, merged.reason, merged.field)
            return dialogue
        self.added[new.annotator] += 1
        return merged

    def _set_aside(self, answer: ReviewAnswer, reason: str, field: str | None = None) -> None:
        self._reject(Rejected(file=answer.file, dialogue=answer.dialogue, field=field, reason=reason, raw=answer.raw))

    def _reject(self, item: Rejected) -> None:
        reason = item.reason.partition(":")[0]
        self.reasons[reason] += 1
        if reason not in NO_FAULTS:
            self.first = self.first or item
        if self._report is not None:
            self._report(item)


def _text_difference(dialogue: Dialogue, answer: ReviewAnswer) -> str | None:
    """Where the annotator saw another text than the record has; None where the texts are the same."""
    texts = [(turn.request, turn.response) for turn in dialogue.turns]
    if answer.texts is None or answer.texts == tuple(texts):
        return None
    if len(answer.texts) != len(texts):
        return f"{len(answer.texts)} turns were shown, the record has {len(texts)}"
    t = next(t for t, (shown, kept) in enumerate(zip(answer.texts, texts, strict=True)) if shown != kept)
    part = int(answer.texts[t][0] == texts[t][0])
    return f"the {('request', 'response')[part]} of turn {t} was {answer.texts[t][part]!r}, the record has {texts[t][part]!r}"
