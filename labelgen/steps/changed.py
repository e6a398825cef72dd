"""What a step returns that changes dialogues, and what steps say about the dialogues that they are given."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from labelgen.base.errors import UsageError
from labelgen.base.terminal import aligned
from labelgen.data.dialogue import Dialogue
from labelgen.data.log import Log

Counts = Counter[tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Changed:
    """Dialogues that a step changes while they are read, once. When the last one was read, the other fields are complete.

    what: what was added (signals, targets, ...). counts: how many, by the values of `heads`. before, after: lines for people
    around the table of counts."""

    dialogues: Iterator[Dialogue]
    what: str
    heads: tuple[str, ...]
    counts: Counts = field(default_factory=Counter)
    before: list[str] = field(default_factory=list)
    after: list[str] = field(default_factory=list)

    def lines(self, dialogues: int) -> list[str]:
        """All of it for people. dialogues: their number."""
        rows = [(*self.heads, "count"), *((*key, f"{n:,}") for key, n in sorted(self.counts.items()))]
        total = f"{self.counts.total():,} {self.what} in {dialogues:,} dialogues"
        return [*self.before, *aligned(rows, len(self.heads)), total, *self.after]


def place_of(dialogues: Iterable[Dialogue]) -> str:
    """Where dialogues come from, for an error: the paths of a log."""
    return ", ".join(map(str, dialogues.paths)) if isinstance(dialogues, Log) else "the dialogues"


def require_rereadable(dialogues: Iterable[Dialogue], what: str) -> None:
    """Raises UsageError for a log from standard input. what: what reads it several times."""
    if isinstance(dialogues, Log) and "-" in map(str, dialogues.paths):
        hint = "write the records to a file first"
        raise UsageError(f"{what} reads the log several times, and standard input can be read once", "the log -", hint)
