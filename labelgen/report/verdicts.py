"""Verdicts in words: what the tests of an evaluation say of a candidate, for the headline and for the answer table."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from labelgen.data.labels import EVIDENCE_HIDDEN
from labelgen.report.beside import Verdict
from labelgen.report.form import Judgment, Question

PLAIN = "baseline: "
"""Begins the name of every plain rival."""

BADGES: Mapping[Verdict, str] = {
    "better": "better",
    "uncompared": "better than one annotator",
    "ahead": "ahead of one annotator",
    "leaning": "only with feedback in view",
    "worse": "worse",
    "open": "no certain difference",
    "alone": "nobody to compare with",
    "unanswered": "not answered by this model",
}

_BESIDE_PEOPLE: Mapping[Verdict, tuple[str, str]] = {
    "better": ("better than one annotator and the plain rivals", ""),
    "uncompared": ("better than one annotator (not compared with plain rivals)", ""),
    "ahead": ("ahead of one annotator but not certainly of the plain rivals", ""),
    "leaning": ("ahead of one annotator only with the users' feedback in view", ""),
    "open": ("with no certain difference from one annotator", "with no certain difference"),
    "worse": ("worse than one annotator", "worse"),
}
_BESIDE_RIVALS: Mapping[Verdict, tuple[str, str]] = {
    "better": ("better than the plain rivals", ""),
    "leaning": ("ahead of the plain rivals only with the users' feedback in view", ""),
    "open": ("with no certain difference from the plain rivals", "with no certain difference"),
    "worse": ("worse than a plain rival", ""),
}
"""How a verdict is said first, and, where it is shorter, after another of its kind."""


@dataclass(frozen=True, slots=True)
class Judged:
    """What was tested of a candidate in one question, and of the same with the evidence hidden, None where there is nothing to hide."""

    own: Judgment
    hidden: Judgment | None

    @property
    def person(self) -> bool:
        return any(x.kind == "person" for x in self.own.against)

    @property
    def notes(self) -> list[str]:
        """What stands below the badge."""
        found = []
        if self.own.verdict == "uncompared":
            found.append("not compared with plain rivals")
        if self.own.verdict == "ahead":
            found.append("not certainly of the plain rivals")
        if self.own.verdict == "better" and not self.person:
            found.append("than the plain rivals")
        if self.own.beaten_by:
            found.append(f"behind {_named(self.own.beaten_by)}")
        if self.hidden is not None:
            found.append(f"evidence hidden: {BADGES[self.hidden.verdict]}")
        return found

    def of_rival(self, candidate: str) -> Verdict | None:
        """What the tests say of a plain rival against the candidate; None where it is none."""
        for x in self.own.against:
            if x.over == candidate and x.kind == "rival":
                return "better" if candidate in self.own.beaten_by else "worse" if x.certain else "open"
        return None


def tested(question: Question, candidate: str | None) -> Judged | None:
    """None where nothing was tested of the candidate."""
    of = {one.candidate: one for one in question.verdicts}
    if candidate is None or candidate not in of:
        return None
    return Judged(of[candidate], of.get(candidate + EVIDENCE_HIDDEN))


def headline(candidate: str, found: Sequence[tuple[str, Judged]]) -> str:
    """The answer in sentences; found: names of questions with what was tested there, "alone" nowhere among them."""
    said = [f"Of {questions(len(found))}, {candidate} labels {_clauses([(q, x.person, x.own) for q, x in found])}."]
    behind = [f"{q}: {_named(x.own.beaten_by)}" for q, x in found if x.own.beaten_by]
    if behind:
        said.append(f"It is certainly behind a plain rival in {len(behind)} ({'; '.join(behind)}).")
    hidden = [(q, x.person, x.hidden) for q, x in found if x.hidden is not None and x.hidden.verdict != "alone"]
    if hidden:
        said.append(f"With the evidence hidden it labels {_clauses(hidden)}.")
    return " ".join(said)


def questions(number: int) -> str:
    return f"{number} question{'' if number == 1 else 's'}"


def _clauses(found: Sequence[tuple[str, bool, Judgment]]) -> str:
    """`better than one annotator and the plain rivals in 1 (goals), and worse in 2 (slots; intents)`."""
    parts: list[str] = []
    for beside_person, words in ((True, _BESIDE_PEOPLE), (False, _BESIDE_RIVALS)):
        first = True
        for verdict, (whole, short) in words.items():
            those = [q for q, person, one in found if person == beside_person and one.verdict == verdict]
            if those:
                parts.append(f"{whole if first or not short else short} in {len(those)} ({'; '.join(those)})")
                first = False
    return " and ".join(parts) if len(parts) < 3 else f"{', '.join(parts[:-1])}, and {parts[-1]}"


def _named(rivals: Sequence[str]) -> str:
    return " and ".join(name.removeprefix(PLAIN) for name in rivals)
