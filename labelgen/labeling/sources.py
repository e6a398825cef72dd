"""Records that the model cannot label: of a source that it has no label set for, with somebody else's labels under its name, or
without a list of domains where it asks for one. Each is set aside; a log of nothing else is refused at once."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from labelgen.base.errors import UsageError
from labelgen.data.dialogue import Dialogue
from labelgen.data.extra import bad_domains
from labelgen.data.own import read_file
from labelgen.data.placed import Placed
from labelgen.data.quarantine import Rejected
from labelgen.data.refusal import Refusal

Refuses = Callable[[str | None], UsageError | None]
"""Why records of a source cannot be labeled; None where they can."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What a record has to be for the model. signs: the name that the labels will stand under. domains_from: the field that lists
    the domains on offer, if one is asked for."""

    refuses: Refuses
    signs: str
    domains_from: str | None = None

    def refusal(self, dialogue: Dialogue) -> Refusal | None:
        """Which of them the dialogue breaks; None for one that can be labeled."""
        kind = next((a.kind for a in dialogue.annotations if a.annotator == self.signs and a.kind != "model"), None)
        if kind is not None:
            what = f"the dialogue has labels of {self.signs!r} already, which is no model but of kind {kind}"
            return Refusal("name_taken", "annotations", UsageError(what, "--annotator", "sign with another name"))
        if refusal := bad_domains(dialogue, self.domains_from):
            return refusal
        error = self.refuses(dialogue.source)
        return None if error is None else Refusal("unknown_source", "source", error)


def known(items: Iterable[Placed | Rejected], rules: Rules) -> Iterator[Placed | Rejected]:
    """Reject every dialogue that cannot be labeled."""
    for item in items:
        refusal = rules.refusal(item.dialogue) if isinstance(item, Placed) else None
        yield item.rejected(refusal.field, refusal.reason) if isinstance(item, Placed) and refusal else item


def readable(inputs: Mapping[str, Path]) -> Iterator[Dialogue]:
    """The good records of all files."""
    for path, source in inputs.items():
        for item in read_file(source, path):
            if isinstance(item, Dialogue):
                yield item


def refuse_strangers(inputs: Mapping[str, Path], rules: Rules) -> None:
    """Raises UsageError where no dialogue of the files can be labeled; reads until the first that can."""
    # To ask about a source may be a call to another process, so each is asked about once.
    rules = replace(rules, refuses=lru_cache(maxsize=None)(rules.refuses))
    first: UsageError | None = None
    for dialogue in readable(inputs):
        refusal = rules.refusal(dialogue)
        if refusal is None:
            return
        first = first or refusal.error
    if first is not None:
        raise first
