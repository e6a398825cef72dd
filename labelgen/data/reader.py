"""What a corpus reader is."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from labelgen.base.errors import UsageError
from labelgen.base.registry import Registry
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


READERS = Registry(
    "labelgen.readers",
    {
        "labelgen": "labelgen.data.own:READER",
        "chat": "labelgen.corpora.chat:READER",
        "csv_turns": "labelgen.corpora.csv_turns:READER",
        "sgd": "labelgen.corpora.sgd:READER",
        "star": "labelgen.corpora.star:READER",
        "getgoing": "labelgen.corpora.getgoing:READER",
        "betold": "labelgen.corpora.betold:READER",
        "segments": "labelgen.corpora.segments:READER",
        "uss": "labelgen.corpora.uss:READER",
        "snips": "labelgen.corpora.snips:READER",
        "slurp": "labelgen.corpora.slurp:READER",
        "multiwoz": "labelgen.corpora.multiwoz:READER",
        "dbdc3": "labelgen.corpora.dbdc3:READER",
        "abredial": "labelgen.corpora.abredial:READER",
        "stc3": "labelgen.corpora.stc3:READER",
        "dstc10": "labelgen.corpora.dstc10:READER",
        "multidogo": "labelgen.corpora.multidogo:READER",
    },
)
"""Name of a format -> its Reader, built in or from a plug-in."""
