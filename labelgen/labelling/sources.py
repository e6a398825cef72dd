"""Records that the model cannot label: of a source that it has no label set for, with somebody else's labels under its name, or
without a list of domains where it asks for one. Each is set aside; a log of nothing else is refused at once."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from labelgen.base.errors import UsageError
from labelgen.data.dialogue import Dialogue
from labelgen.data.extra import says_no_domains
from labelgen.data.quarantine import Rejected
from labelgen.data.readers.own import read_file
from labelgen.data.record import encode

Refuses = Callable[[str | None], UsageError | None]
"""Why records of a source cannot be labelled; None where they can."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What a record has to be for the model. signs: the name that the labels will stand under. domains_from: the field that lists
    the domains on offer, if one is asked for."""

    refuses: Refuses
    signs: str
    domains_from: str | None = None

    def broken(self, dialogue: Dialogue) -> "Broken | None":
        """Which of them the dialogue breaks; None for one that can be labelled."""
        kind = next((a.kind for a in dialogue.annotations if a.annotator == self.signs and a.kind != "model"), None)
        if kind is not None:
            what = f"the dialogue has labels of {self.signs!r} already, which is no model but of kind {kind}"
            return Broken("name_taken", "annotations", UsageError(what, "--annotator", "sign with another name"))
        if self.domains_from is not None and says_no_domains(dialogue, self.domains_from):
            what = f"{self.domains_from!r} of the dialogue is no list of words"
            mend = 'write the domains on offer as ["Banks", "Buses"], or leave the field out'
            return Broken("bad_domains", self.domains_from, UsageError(what, "--domains-from", mend))
        error = self.refuses(dialogue.source)
        return None if error is None else Broken("unknown_source", "source", error)

    def reason(self, dialogue: Dialogue) -> str | None:
        """Why the dialogue is to be set aside, with what to do; None for one that can be labelled."""
        broken = self.broken(dialogue)
        return None if broken is None else broken.reason


@dataclass(frozen=True, slots=True)
class Broken:
    """code: counted by. field: of the record."""

    code: str
    field: str
    error: UsageError

    @property
    def reason(self) -> str:
        return f"{self.code}: {self.error.what}; {self.error.where}; {self.error.mend}"


def known(items: Iterable[Dialogue | Rejected], rules: Rules, name: str) -> Iterator[Dialogue | Rejected]:
    """Reject every dialogue that cannot be labelled; `name` is what the file is called."""
    for item in items:
        if isinstance(item, Dialogue) and (broken := rules.broken(item)):
            raw = encode(item).decode()
            yield Rejected(file=name, dialogue=item.id, field=broken.field, reason=broken.reason, raw=raw)
        else:
            yield item


def readable(inputs: Mapping[str, Path]) -> Iterator[Dialogue]:
    """The good records of all files."""
    for path, source in inputs.items():
        for item in read_file(source, path):
            if isinstance(item, Dialogue):
                yield item


def refuse_strangers(inputs: Mapping[str, Path], rules: Rules) -> None:
    """Raises UsageError where no dialogue of the files can be labelled; reads until the first that can."""
    # To ask about a source may be a call to another process, so each is asked about once.
    rules = replace(rules, refuses=lru_cache(maxsize=None)(rules.refuses))
    first: UsageError | None = None
    for dialogue in readable(inputs):
        broken = rules.broken(dialogue)
        if broken is None:
            return
        first = first or broken.error
    if first is not None:
        raise first
