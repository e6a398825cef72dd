"""What several steps share: options, what a step returns that changes dialogues, and the audio folders of a log."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from labelgen.base.errors import UsageError
from labelgen.base.terminal import aligned
from labelgen.data.dialogue import Dialogue
from labelgen.data.labels import Annotation
from labelgen.data.log import Log
from labelgen.model.options import Precision
from labelgen.training.options import WandbMode

if TYPE_CHECKING:
    from labelgen.model.annotator import Annotator


@dataclass(frozen=True, kw_only=True)
class ForceOptions:
    """Whether an output is replaced."""

    force: bool = False
    """replacement of existing output"""


@dataclass(frozen=True, kw_only=True)
class ModelRunOptions:
    """How a model computes labels."""

    precision: Precision = "32"
    """arithmetic of the model, int8 for its text encoder alone; a certified threshold holds for one precision"""
    device: Annotated[str, "DEVICE"] = "cpu"
    """device of the model: cpu, cuda, or cuda:N for one of several"""
    domains_from: Annotated[str | None, "FIELD"] = None
    """field of the record that lists the domains on offer in a dialogue, such as the skills that the user enabled; of names such as
    DOMAIN.NAME only theirs are predicted"""


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """Whether results go to the run of the training in Weights & Biases."""

    wandb: WandbMode | None = None
    """Weights & Biases: results go to the run of the model's training, in its folder or at its service; without a value offline if the
    model is in the folder of a training with a run, else off"""
    wandb_files: bool = False
    """files in Weights & Biases, besides their digests: those of the model, or the report, which has texts and ids"""


@dataclass(frozen=True, kw_only=True)
class ConsensusOptions:
    """Whose annotations make the consensus, and how."""

    annotators: Annotated[tuple[str, ...], "WHO"] = ("kind=person",)
    """annotators whose labels make the consensus: names, or kind=person for all people"""
    ratings: Literal["vote", "mean"] = "vote"
    """consensus of ratings: the name with most votes, or that of the mean rating"""


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


class AudioFolders:
    """The folder of each dialogue's audio files, that of its record file; known after the dialogue was read. Memory: an entry for each
    dialogue."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._folders: dict[str, Path | None] = {}

    def __iter__(self) -> Iterator[Dialogue]:
        for dialogue in self._log:
            self._folders[dialogue.id] = self._log.folder
            yield dialogue

    def annotate(
        self, annotator: "Annotator", dialogues: Sequence[Dialogue], goals_from: str | None = None
    ) -> list[Annotation]:
        """A model's annotations of dialogues that were read, in their order."""
        out = []
        for folder, group in groupby(dialogues, key=lambda dialogue: self._folders[dialogue.id]):
            out += annotator.annotate(list(group), goals_from, root=folder)
        return out
