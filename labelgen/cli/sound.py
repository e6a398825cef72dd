"""Where the sound of a log's dialogues lies: below the folder of each record's own file."""

from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from labelgen.data.dialogue import Dialogue
from labelgen.data.labels import Annotation
from labelgen.data.log import Log

if TYPE_CHECKING:
    from labelgen.model.annotator import Annotator


class Folders:
    """Remembered while a log is read, by dialogue id, of which a log holds each once. Memory: an entry for each dialogue."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._of: dict[str, Path | None] = {}

    def __iter__(self) -> Iterator[Dialogue]:
        for dialogue in self._log:
            self._of[dialogue.id] = self._log.folder
            yield dialogue

    def annotate(
        self, annotator: "Annotator", dialogues: Sequence[Dialogue], goals_from: str | None = None
    ) -> list[Annotation]:
        """What a model says of dialogues that were read, each with its own folder; in order."""
        out = []
        for folder, group in groupby(dialogues, key=lambda dialogue: self._of[dialogue.id]):
            out += annotator.annotate(list(group), goals_from, root=folder)
        return out
