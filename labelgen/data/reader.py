"""What a corpus reader is."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from labelgen.base.errors import UsageError
from labelgen.data.dialogue import Dialogue
from labelgen.data.label_set import Sources
from labelgen.data.quarantine import Rejected

Options = Mapping[str, str]
"""What a reader is told on the command line by `--option name=value`."""

Read = Callable[[Path, Options], Iterator[Dialogue | Rejected]]


def no_labels(path: Path, options: Options) -> Sources:
    """For corpora that bring no label descriptions; the sets are then collected from the annotations."""
    return {}


@dataclass(frozen=True, slots=True)
class Reader:
    """read: path (a file or the folder of the published layout) and options to dialogues, in the same order each time;
    every record is read or rejected. labels: names and descriptions that the corpus itself publishes. options: the
    names that `read` knows."""

    read: Read
    labels: Callable[[Path, Options], Sources] = no_labels
    options: tuple[str, ...] = ()

    def check(self, options: Options) -> None:
        """Raises UsageError for an option that this reader does not know."""
        for name in options:
            if name not in self.options:
                known = ", ".join(self.options) or "it takes none"
                raise UsageError(f"the reader knows no option {name!r}", f"--option {name}=...", f"known: {known}")
