"""Records of a source that the model has no label set for: each is set aside, and a log of nothing else is refused at once."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

from labelgen.base.errors import UsageError
from labelgen.data.dialogue import Dialogue
from labelgen.data.quarantine import Rejected
from labelgen.data.readers.own import read_file
from labelgen.data.record import encode

Refuses = Callable[[str | None], UsageError | None]
"""Why records of a source cannot be labelled; None where they can."""


def reason(dialogue: Dialogue, refuses: Refuses) -> str | None:
    """Why the dialogue is to be set aside, with what to do; None for one that can be labelled."""
    error = refuses(dialogue.source)
    return None if error is None else f"unknown_source: {error.what}; {error.where}; {error.mend}"


def known(items: Iterable[Dialogue | Rejected], refuses: Refuses, name: str) -> Iterator[Dialogue | Rejected]:
    """Reject every dialogue that cannot be labelled; `name` is what the file is called."""
    for item in items:
        if isinstance(item, Dialogue) and (why := reason(item, refuses)):
            yield Rejected(file=name, dialogue=item.id, field="source", reason=why, raw=encode(item).decode())
        else:
            yield item


def readable(inputs: Mapping[str, Path]) -> Iterator[Dialogue]:
    """The good records of all files."""
    for path, source in inputs.items():
        for item in read_file(source, path):
            if isinstance(item, Dialogue):
                yield item


def refuse_strangers(inputs: Mapping[str, Path], refuses: Refuses) -> None:
    """Raises UsageError where no dialogue of the files can be labelled; reads until the first that can."""
    asked: dict[str | None, UsageError] = {}
    for dialogue in readable(inputs):
        if dialogue.source not in asked:
            error = refuses(dialogue.source)
            if error is None:
                return
            asked[dialogue.source] = error
    for error in asked.values():
        raise error
