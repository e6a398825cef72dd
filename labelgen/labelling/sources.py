"""Records that the model cannot label: of a source that it has no label set for, or with somebody else's labels under its name. Each is
set aside, and a log of nothing else is refused at once."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

from labelgen.base.errors import UsageError
from labelgen.data.dialogue import Dialogue
from labelgen.data.quarantine import Rejected
from labelgen.data.readers.own import read_file
from labelgen.data.record import encode

Refuses = Callable[[str | None], UsageError | None]
"""Why records of a source cannot be labelled; None where they can."""


def reason(dialogue: Dialogue, refuses: Refuses, signs: str) -> str | None:
    """Why the dialogue is to be set aside, with what to do; None for one that can be labelled. signs: who annotates."""
    error = _refusal(dialogue, refuses, signs)
    if error is None:
        return None
    code = "unknown_source" if _taken(dialogue, signs) is None else "name_taken"
    return f"{code}: {error.what}; {error.where}; {error.mend}"


def known(
    items: Iterable[Dialogue | Rejected], refuses: Refuses, signs: str, name: str
) -> Iterator[Dialogue | Rejected]:
    """Reject every dialogue that cannot be labelled; `name` is what the file is called."""
    for item in items:
        if isinstance(item, Dialogue) and (why := reason(item, refuses, signs)):
            field = "annotations" if _taken(item, signs) else "source"
            yield Rejected(file=name, dialogue=item.id, field=field, reason=why, raw=encode(item).decode())
        else:
            yield item


def _taken(dialogue: Dialogue, signs: str) -> str | None:
    """What kind of annotator, other than a model, has that name here."""
    return next((a.kind for a in dialogue.annotations if a.annotator == signs and a.kind != "model"), None)


def _refusal(dialogue: Dialogue, refuses: Refuses, signs: str) -> UsageError | None:
    kind = _taken(dialogue, signs)
    if kind is None:
        return refuses(dialogue.source)
    return UsageError(
        f"the dialogue has labels of {signs!r} already, which is no model but of kind {kind}",
        "--annotator",
        "sign with another name",
    )


def readable(inputs: Mapping[str, Path]) -> Iterator[Dialogue]:
    """The good records of all files."""
    for path, source in inputs.items():
        for item in read_file(source, path):
            if isinstance(item, Dialogue):
                yield item


def refuse_strangers(inputs: Mapping[str, Path], refuses: Refuses, signs: str) -> None:
    """Raises UsageError where no dialogue of the files can be labelled; reads until the first that can."""
    asked: dict[tuple[str | None, str | None], UsageError] = {}
    for dialogue in readable(inputs):
        case = (dialogue.source, _taken(dialogue, signs))
        if case not in asked:
            error = _refusal(dialogue, refuses, signs)
            if error is None:
                return
            asked[case] = error
    for error in asked.values():
        raise error
