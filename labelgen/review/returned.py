"""What people said, on its way back into a log."""

from dataclasses import dataclass

from labelgen.data.labels import Annotation

SKIPPED, EMPTY, SUPERSEDED, KNOWN = "skipped", "empty", "superseded", "known"

NO_FAULTS = frozenset({SKIPPED, EMPTY, SUPERSEDED, KNOWN})
"""Reasons for which an annotation is set aside although nothing is wrong with it."""


@dataclass(frozen=True, slots=True)
class Returned:
    """One annotation that came back. requests, responses: the texts that the annotator saw, by turn; None where that turn,
    or no response at all, was shown. when: ISO 8601, of the last change, as far as it is known. file: where it
    stood. raw: as it came."""

    dialogue: str
    annotation: Annotation
    requests: tuple[str | None, ...]
    responses: tuple[str, ...] | None
    file: str
    when: str = ""
    raw: str | None = None
