"""Logs as something to draw from at random: read once, kept on disk, decoded on access."""

import hashlib
import os
import tempfile
from array import array
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

import numpy as np

from labelgen.base.errors import IntegrityError, StorageError
from labelgen.base.progress import progress
from labelgen.data.dialogue import Dialogue
from labelgen.data.fingerprint import fingerprint
from labelgen.data.label_set import Sources, collect, merge
from labelgen.data.log import Log, by_folder
from labelgen.data.quarantine import Quarantine
from labelgen.data.reader import Options
from labelgen.data.record import decode, encode
from labelgen.training.sampler import Indices, word_count

Prepare = Callable[[Dialogue], Dialogue | None]
"""What is kept of a dialogue, with the targets that it is learned by; None: nothing."""


class Corpus(Sequence[Dialogue]):
    """The dialogues of several logs, as `prepare` left them. Memory grows by some tens of bytes a dialogue.

    logs: how many. turns, words, log: of each dialogue, its size and the log it comes from. labels: the label sets that the logs publish
    or their targets show. read: dialogues before any was left out. digest: of everything that is kept; fingerprints: of each dialogue. Records that
    cannot be read go to the quarantine. options: of the reader of the format."""

    def __init__(
        self,
        logs: Sequence[str],
        format: str,
        max_bad_rate: float,
        prepare: Prepare,
        name: str,
        quarantine: Quarantine,
        options: Options | None = None,
    ) -> None:
        self.logs = len(logs)
        self.labels: Sources = {}
        self.read = 0
        self._roots: list[Path] = []
        # Without a name on disk, so that nothing is left behind however the process ends.
        self._spool: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115
        try:
            self._fill(logs, format, max_bad_rate, prepare, name, quarantine, options)
        except BaseException:
            with suppress(OSError):  # what could not be written is tried again
                self.close()
            raise

    def _fill(
        self,
        logs: Sequence[str],
        format: str,
        max_bad_rate: float,
        prepare: Prepare,
        name: str,
        quarantine: Quarantine,
        options: Options | None,
    ) -> None:
        ends, turns, words, log, roots = [0], [], [], [], []
        known = array("Q")
        digest = hashlib.sha256()
        for number, path in enumerate(logs):
            for root, files in by_folder(Path(path), format):
                part = Log(files, format, options, quarantine, max_bad_rate)
                self.labels = merge(self.labels, part.labels())
                self._roots.append(root)
                for dialogue in progress(part, f"{name}: read {path}", "dialogues"):
                    self.read += 1
                    kept = prepare(dialogue)
                    if kept is None or not kept.turns:
                        continue
                    known.append(fingerprint(dialogue))
                    line = encode(kept)
                    digest.update(line)
                    self._keep(line)
                    ends.append(ends[-1] + len(line))
                    turns.append(len(kept.turns))
                    words.append(word_count([t for turn in kept.turns for t in (turn.request, turn.response)]))
                    log.append(number)
                    roots.append(len(self._roots) - 1)
        self._keep(b"")
        self._ends, self._root = np.array(ends, dtype=np.int64), np.array(roots, dtype=np.int64)
        self.turns, self.words, self.log = (np.array(row, dtype=np.int64) for row in (turns, words, log))
        self.digest = digest.hexdigest()
        self.fingerprints = known
        self.labels = merge(self.labels, collect((d.source, t) for d in self for t in d.targets))

    def _keep(self, line: bytes) -> None:
        """An empty one: all that came before is on the disk."""
        try:
            if line:
                self._spool.write(line)
            else:
                self._spool.flush()
        except OSError as error:
            raise StorageError(
                f"the dialogues to learn from cannot be kept: {error.strerror}",
                tempfile.gettempdir(),
                "free some room there, or name another disk by TMPDIR",
            ) from error

    def close(self) -> None:
        """Gives the disk back."""
        self._spool.close()

    turns: Indices
    words: Indices
    log: Indices

    def __len__(self) -> int:
        return len(self.turns)

    def __getitem__(self, index: int) -> Dialogue:  # type: ignore[override]
        start, end = int(self._ends[index]), int(self._ends[index + 1])
        # pread, since the processes that prepare batches share one file position.
        dialogue = decode(os.pread(self._spool.fileno(), end - start, start), "the spool")
        if not isinstance(dialogue, Dialogue):
            raise IntegrityError(f"a prepared record cannot be read back: {dialogue.reason}", dialogue.where())
        return dialogue

    def __iter__(self) -> Iterator[Dialogue]:
        return (self[index] for index in range(len(self)))

    def root(self, index: int) -> Path:
        """The folder that a dialogue's audio paths start from."""
        return self._roots[int(self._root[index])]
