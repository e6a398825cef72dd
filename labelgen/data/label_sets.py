"""Label sets: the allowed labels of each task and source, in `labels.json` in the folder of a log.

The file maps source and task to a list of `{"name", "description"}`; the key `*` is for records without a source."""

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

    names: sorted, without duplicates. sources: the allowed indices into `names` for each source, ascending; empty for a corpus
    without labels of this task. often: indices of names with at least LEAST_SEEN training places. together: pairs of
    indices, the smaller first, that occur at one training place."""

    task: str
    names: tuple[LabelName, ...]
    sources: Mapping[str, tuple[int, ...]]
    often: tuple[int, ...] = ()
    together: tuple[tuple[int, int], ...] = ()

    def index(self) -> dict[str, int]:
        return {label.name: k for k, label in enumerate(self.names)}

    def of_source(self, source: str | None) -> tuple[int, ...]:
        """Indices of the allowed labels for records of this source.

        The first that exists: the set of the source, of its corpus (`sgd` for `sgd/dev`), of all other parts of the corpus
        (`sgd/train` and `sgd/dev` for `sgd/test`), the only set. Empty for a known source without labels of this task.

        Raises UsageError if there are several sets and none matches."""
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
        """`of_source` restricted to `domains`; None for no restriction.

        The domain of a name is its part before the first dot. A name without a dot belongs to every domain."""
        allowed = self.of_source(source)
        if domains is None:
            return allowed
        return tuple(k for k in allowed if (domain := domain_of_name(self.names[k].name)) is None or domain in domains)


def domain_of_name(name: str) -> str | None:
    """The part of a name before its first dot; None without a dot."""
    domain, dot, _ = name.partition(".")
    return domain if dot else None


def label_set(task: str, sources: Sources) -> LabelSet:
    """Join the sets of all sources for one task; the first description wins."""
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
"""Minimum number of training places of a name; below it, a pair that never occurred is no evidence."""


def with_company(labels: LabelSet, targets: Iterable[Target]) -> LabelSet:
    """The label set with frequent names and co-occurring pairs, counted over training targets.

    Targets of other tasks and incomplete targets are skipped."""
    index = labels.index()
    seen: Counter[int] = Counter()
    together: set[tuple[int, int]] = set()
    for target in targets:
        if target.task == labels.task and target.complete:
            assigned = sorted({index[name] for name, p in target.distribution or () if p >= 0.5 and name in index})
            seen.update(assigned)
            together.update(combinations(assigned, 2))
    often = tuple(sorted(k for k, count in seen.items() if count >= LEAST_SEEN))
    return replace(labels, often=often, together=tuple(sorted(together)))


def carry_company(labels: LabelSet, trained: LabelSet) -> LabelSet:
    """Copy frequent names and pairs from `trained` for names in both sets."""
    index = labels.index()
    place = {k: index[name.name] for k, name in enumerate(trained.names) if name.name in index}
    pairs = [(place[a], place[b]) for a, b in trained.together if a in place and b in place]
    often = tuple(sorted(place[k] for k in trained.often if k in place))
    return replace(labels, often=often, together=tuple(sorted((min(pair), max(pair)) for pair in pairs)))


class Names:
    """Collector of the label names in a log."""

    def __init__(self) -> None:
        self._found: dict[str, dict[str, set[str]]] = {}

    def add(self, source: str | None, task: str, names: Iterable[str]) -> None:
        self._found.setdefault(source or ANY_SOURCE, {}).setdefault(task, set()).update(names)

    def add_target(self, source: str | None, target: Target) -> None:
        self.add(source, target.task, (name for name, _ in target.distribution or ()))
        self.add(source, target.task, target.complement or ())

    def sources(self) -> Sources:
        return {
            source: {task: tuple(LabelName(n) for n in sorted(names)) for task, names in tasks.items()}
            for source, tasks in self._found.items()
        }


def merge(first: Sources, second: Sources) -> Sources:
    """The union of two label sets; for a name in both, the first description wins."""
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
    """Read a labels.json. Raises InputError if its content is invalid."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, dict[str, tuple[LabelName, ...]]])
    except (msgspec.MsgspecError, OSError, RecursionError) as error:
        raise InputError(
            f"{path.name} is no label set: {error}", str(path), 'it holds {"source": {"task": [{"name": "..."}]}}'
        ) from error


def write_labels(path: Path, sources: Sources) -> None:
    """Write a labels.json; sets of an existing file, from another log in the folder, are kept and joined."""
    if path.is_file():
        sources = merge(sources, read_labels(path))
    write_text(path, msgspec.json.format(msgspec.json.encode(sources, order="sorted"), indent=1).decode() + "\n")


@dataclass(frozen=True, slots=True)
class Refusal:
    """A reason to reject a valid record. code: first word of the reason. field: of the record. error: raised if no record is usable."""

    code: str
    field: str
    error: UsageError

    @property
    def reason(self) -> str:
        """The reason in a quarantine file, with the hint."""
        return f"{self.code}: {self.error.what}; {self.error.where}; {self.error.hint}"


def domains_on_offer(dialogue: Dialogue, field: str) -> tuple[str, ...] | None:
    """The domains (services, skills) available to the user, from `field` of the record, sorted.

    None if the field is not a list of words."""
    domains = extra(dialogue).get(field)
    return tuple(sorted(set(domains))) if _lists_words(domains) else None


def bad_domains(dialogue: Dialogue, field: str | None) -> Refusal | None:
    """A refusal if `field` of the record is neither null nor a list of words. field: None checks nothing."""
    domains = None if field is None else extra(dialogue).get(field)
    if field is None or domains is None or _lists_words(domains):
        return None
    hint = 'write the domains on offer as ["Banks", "Buses"], or leave the field out'
    return Refusal(
        "bad_domains", field, UsageError(f"{field!r} of the dialogue is no list of words", "--domains-from", hint)
    )


def _lists_words(value: Any) -> TypeGuard[list[str]]:
    return isinstance(value, list) and all(isinstance(word, str) for word in value)


def refuse_without_domains(dialogues: Iterable[Dialogue], field: str | None) -> None:
    """Raise UsageError if no dialogue lists domains in `field`; reads up to the first that does. field: None checks nothing."""
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
