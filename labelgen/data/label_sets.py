"""Which labels a task may give, and which corpus could give which: `labels.json` beside a log.

The file holds, per source and task, a list of `{"name", "description"}`; the key `*` stands for records without a
source."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import Any, TypeGuard

import msgspec

from labelgen.base.errors import InputError, UsageError
from labelgen.base.files import write_text
from labelgen.data.dialogue import Dialogue, extra
from labelgen.data.labels import Target

ANY_SOURCE = "*"

_SHOWN = 20


@dataclass(frozen=True, slots=True)
class LabelName:
    name: str
    description: str | None = None


Sources = Mapping[str, Mapping[str, tuple[LabelName, ...]]]
"""source -> task -> names."""


@dataclass(frozen=True, slots=True)
class LabelSet:
    """The labels of one task over all corpora that were trained on.

    names: sorted, without doubles. sources: for each source, the indices into `names` that it could give, ascending; empty
    for a corpus that has no labels of this task. often: indices of names that training gave to LEAST_SEEN places or more.
    together: pairs of indices, the smaller first, that it gave to one place."""

    task: str
    names: tuple[LabelName, ...]
    sources: Mapping[str, tuple[int, ...]]
    often: tuple[int, ...] = ()
    together: tuple[tuple[int, int], ...] = ()

    def index(self) -> dict[str, int]:
        return {label.name: k for k, label in enumerate(self.names)}

    def of_source(self, source: str | None) -> tuple[int, ...]:
        """Indices that records of this source may have: its own set, else its corpus's (`sgd` for `sgd/dev`), else those of
        the corpus's other parts together (`sgd/train` and `sgd/dev` for `sgd/test`), else the only set there is. Empty for a
        source that is known and has no such labels.

        Raises UsageError where there are several sets and none is the record's: to choose one would be to guess."""
        wanted = source or ANY_SOURCE
        corpus = wanted.split("/")[0]
        for key in (wanted, corpus):
            if key in self.sources:
                return self.sources[key]
        parts = [indices for key, indices in self.sources.items() if key.startswith(f"{corpus}/")]
        if parts:
            return tuple(sorted({index for indices in parts for index in indices}))
        sets = [indices for indices in self.sources.values() if indices]
        if len(sets) == 1:
            return sets[0]
        if not self.sources:
            return tuple(range(len(self.names)))
        known = ", ".join(name for name, indices in sorted(self.sources.items()) if indices)
        raise UsageError(
            f"no label set of the task {self.task!r} is for records of the source {source!r}",
            f"known: {known}",
            "set the record's source to one of these, or say by --labels FILE what may be decoded",
        )

    def within(self, source: str | None, domains: Sequence[str] | None) -> tuple[int, ...]:
        """`of_source`, without the names of other domains where `domains` is given: a name is its domain's that stands before
        its first dot, and every domain's without one."""
        found = self.of_source(source)
        if domains is None:
            return found
        return tuple(k for k in found if (domain := domain_of_name(self.names[k].name)) is None or domain in domains)


def domain_of_name(name: str) -> str | None:
    """What stands before a name's first dot; None without one."""
    domain, dot, _ = name.partition(".")
    return domain if dot else None


def label_set(task: str, sources: Sources) -> LabelSet:
    """Join the sets of all sources for one task; the first description that is given wins."""
    descriptions: dict[str, str | None] = {}
    for tasks in sources.values():
        for label in tasks.get(task, ()):
            descriptions[label.name] = descriptions.get(label.name) or label.description
    names = tuple(LabelName(n, descriptions[n]) for n in sorted(descriptions))
    position = {label.name: k for k, label in enumerate(names)}
    of = {
        source: tuple(sorted(position[label.name] for label in tasks.get(task, ())))
        for source, tasks in sorted(sources.items())
    }
    return LabelSet(task, names, of)


LEAST_SEEN = 20
"""Places that a name was given to before it says anything that it never stood beside another."""


def with_company(labels: LabelSet, targets: Iterable[Target]) -> LabelSet:
    """The same set with which names training gave often, and which of them together; targets of other tasks, and those that
    do not tell all of a place's names, are passed over."""
    index = labels.index()
    seen: Counter[int] = Counter()
    together: set[tuple[int, int]] = set()
    for target in targets:
        if target.task == labels.task and target.complete:
            given = sorted(index[name] for name, p in target.distribution or () if p >= 0.5 and name in index)
            seen.update(given)
            together.update(combinations(given, 2))
    often = tuple(sorted(k for k, count in seen.items() if count >= LEAST_SEEN))
    return replace(labels, often=often, together=tuple(sorted(together)))


def carry_company(labels: LabelSet, trained: LabelSet) -> LabelSet:
    """What `trained` knows of names that both sets have."""
    index = labels.index()
    place = {k: index[name.name] for k, name in enumerate(trained.names) if name.name in index}
    pairs = [(place[a], place[b]) for a, b in trained.together if a in place and b in place]
    often = tuple(sorted(place[k] for k in trained.often if k in place))
    return replace(labels, often=often, together=tuple(sorted((min(pair), max(pair)) for pair in pairs)))


class Names:
    """The sets that a log shows, gathered while it passes."""

    def __init__(self) -> None:
        self._found: dict[str, dict[str, set[str]]] = {}

    def add(self, source: str | None, task: str, names: Iterable[str]) -> None:
        self._found.setdefault(source or ANY_SOURCE, {}).setdefault(task, set()).update(names)

    def sources(self) -> Sources:
        return {
            source: {task: tuple(LabelName(n) for n in sorted(names)) for task, names in tasks.items()}
            for source, tasks in self._found.items()
        }


def collect(targets: Iterable[tuple[str | None, Target]]) -> Sources:
    """The sets that a log shows: every name that a target of it mentions, by the record's source."""
    found = Names()
    for source, target in targets:
        found.add(source, target.task, (name for name, _ in target.distribution or ()))
        found.add(source, target.task, target.complement or ())
    return found.sources()


def merge(first: Sources, second: Sources) -> Sources:
    """Both together; where both know a name, the description of the first that has one."""
    out: dict[str, dict[str, tuple[LabelName, ...]]] = {}
    for source in sorted({*first, *second}):
        tasks: dict[str, tuple[LabelName, ...]] = {}
        ours, theirs = first.get(source, {}), second.get(source, {})
        for task in sorted({*ours, *theirs}):
            known: dict[str, LabelName] = {}
            for label in (*ours.get(task, ()), *theirs.get(task, ())):
                old = known.get(label.name)
                if old is None or (old.description is None and label.description is not None):
                    known[label.name] = label
            tasks[task] = tuple(known[n] for n in sorted(known))
        out[source] = tasks
    return out


def read_labels(path: Path) -> Sources:
    """Read a labels.json. Raises InputError where it is not of that form."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, dict[str, tuple[LabelName, ...]]])
    except (msgspec.MsgspecError, OSError, RecursionError) as error:
        raise InputError(
            f"{path.name} is no label set: {error}", str(path), 'it holds {"source": {"task": [{"name": "..."}]}}'
        ) from error


def write_labels(path: Path, sources: Sources) -> None:
    """Write a labels.json; sets that stand there already, of another log in the folder, are kept and joined."""
    if path.is_file():
        sources = merge(sources, read_labels(path))
    write_text(path, msgspec.json.format(msgspec.json.encode(sources, order="sorted"), indent=1).decode() + "\n")


@dataclass(frozen=True, slots=True)
class Refusal:
    """code: counted by. field: of the record. error: what is raised where no record can be used."""

    code: str
    field: str
    error: UsageError

    @property
    def reason(self) -> str:
        """What a quarantine says, with what to do."""
        return f"{self.code}: {self.error.what}; {self.error.where}; {self.error.hint}"


def domains_on_offer(dialogue: Dialogue, field: str) -> tuple[str, ...] | None:
    """What the record says under `field` of the domains (services, skills) that its user could turn to, sorted; None where it
    holds no list of words there."""
    found = extra(dialogue).get(field)
    return tuple(sorted(set(found))) if _lists_words(found) else None


def bad_domains(dialogue: Dialogue, field: str | None) -> Refusal | None:
    """Where the record has something under `field` that is no list of words; null is nothing. None asks for nothing."""
    found = None if field is None else extra(dialogue).get(field)
    if field is None or found is None or _lists_words(found):
        return None
    hint = 'write the domains on offer as ["Banks", "Buses"], or leave the field out'
    return Refusal(
        "bad_domains", field, UsageError(f"{field!r} of the dialogue is no list of words", "--domains-from", hint)
    )


def _lists_words(found: Any) -> TypeGuard[list[str]]:
    return isinstance(found, list) and all(isinstance(word, str) for word in found)


def refuse_without_domains(dialogues: Iterable[Dialogue], field: str | None) -> None:
    """Raises UsageError where no dialogue lists domains on offer in `field`; reads until the first that does. None asks for
    nothing."""
    if field is None:
        return
    lists: set[str] = set()
    count = 0
    for dialogue in dialogues:
        if domains_on_offer(dialogue, field) is not None:
            return
        lists.update(name for name in extra(dialogue) if domains_on_offer(dialogue, name) is not None)
        count += 1
    if count:
        named = f"fields that do: {', '.join(sorted(lists)[:_SHOWN])}" if lists else "no field does"
        raise UsageError(
            f"none of {count:,} records lists domains in {field!r}",
            f"--domains-from {field}",
            f"{named}; without --domains-from every label may be given",
        )
