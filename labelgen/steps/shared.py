"""Options that several steps share, and what they need to carry them out."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

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
