"""Manifest of a folder of labels, the ledger of an unfinished run, and the counts in both.

`manifest.json` lists model, settings, input digests and counts. It is written last, so it exists only after a finished run; equal
runs give equal bytes. The ledger is a folder of numbered files, one for each commit, each written atomically after the files that it
names. This is the same on a disk and in a store, which cannot append."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from labelgen.base.errors import IntegrityError, StorageError
from labelgen.base.files import write_text
from labelgen.data.dialogue import Dialogue
from labelgen.data.label_sets import domains_on_offer
from labelgen.data.labels import UNIT_OF, Annotation, Field, Provenance, answers, tasks_of
from labelgen.data.stats import audio_summary

FORMAT = 3
"""Version of the manifest and the ledger."""

REDACT = "redact"
"""Name of the option that masks personal data; its value lists the kinds that are masked."""

LABELS = "labels"
"""Name of the option for the allowed labels; its value is the digest of their file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskCounts:
    """Counts of one task in one unit. labeled: fields with an answer, "none here" included; abstained: fields without an answer;
    labels: labels within the answers. The unit is that of the field: slots count turns."""

    task: str
    unit: str
    labeled: int = 0
    abstained: int = 0
    labels: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelCounts:
    """Counts of dialogues: seen = labeled + quarantined.

    quarantined: by the first word of the reason. turns: of labeled dialogues. audio_turns: turns whose audio was read;
    audio_errors: turns whose audio could not be read, by reason; these are labeled without it. Both are empty for a model without
    audio. unseen_values: turns with a value that is not in the training data, by feature. unknown_labels: labels of other
    annotators with names that the model cannot output, by task. domain_lists: dialogues that list the available domains, by the
    field of `--domains-from`. damaged: files that could be read only in part; each counts as one quarantined record,
    because the number of lost records is unknown."""

    seen: int = 0
    labeled: int = 0
    turns: int = 0
    quarantined: Mapping[str, int] = field(default_factory=dict)
    tasks: tuple[TaskCounts, ...] = ()
    audio_turns: int = 0
    audio_errors: Mapping[str, int] = field(default_factory=dict)
    unseen_values: Mapping[str, int] = field(default_factory=dict)
    unknown_labels: Mapping[str, int] = field(default_factory=dict)
    domain_lists: Mapping[str, int] = field(default_factory=dict)
    damaged: tuple[str, ...] = ()

    @property
    def bad(self) -> int:
        """Number of quarantined dialogues."""
        return sum(self.quarantined.values())


_NUMBERS = ("seen", "labeled", "turns", "audio_turns")
_COUNTERS = ("quarantined", "audio_errors", "unseen_values", "unknown_labels", "domain_lists")


def tally(labeled: Iterable[tuple[Dialogue, Annotation]], reasons: Iterable[str]) -> LabelCounts:
    """Count dialogues with their new annotations, and the reasons of the rejected ones."""
    bad = Counter(reason.partition(":")[0] for reason in reasons)
    dialogues = turns = 0
    domain_lists: Counter[str] = Counter()
    tasks: defaultdict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for dialogue, annotation in labeled:
        dialogues += 1
        turns += len(dialogue.turns)
        if annotation.provenance is not None and (name := annotation.provenance.domains_from) is not None:
            domain_lists[name] += domains_on_offer(dialogue, name) is not None
        withheld = {abstained.field for abstained in annotation.abstained}
        for task in tasks_of(annotation):
            for at, labels in answers(annotation, task).items():
                # A dialogue with missing goals is not labeled completely.
                complete = Field(task, at) not in withheld
                tasks[task, UNIT_OF[type(at)]].update(labeled=int(complete), labels=len(labels))
        for abstained in annotation.abstained:
            tasks[abstained.field.task, UNIT_OF[type(abstained.field.at)]].update(abstained=1)
    return LabelCounts(
        seen=dialogues + bad.total(),
        labeled=dialogues,
        turns=turns,
        quarantined=dict(sorted(bad.items())),
        tasks=_task_counts(tasks),
        domain_lists=dict(domain_lists),
    )


def total(parts: Iterable[LabelCounts]) -> LabelCounts:
    """Sum of all parts, with sorted keys; empty without parts."""
    parts = list(parts)
    tasks: defaultdict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for one in (one for part in parts for one in part.tasks):
        tasks[one.task, one.unit].update(labeled=one.labeled, abstained=one.abstained, labels=one.labels)
    sums: dict[str, Any] = {name: sum(getattr(part, name) for part in parts) for name in _NUMBERS}
    merged: dict[str, Any] = {name: _merge(getattr(part, name) for part in parts) for name in _COUNTERS}
    damaged = tuple(sorted({name for part in parts for name in part.damaged}))
    return LabelCounts(**sums, **merged, tasks=_task_counts(tasks), damaged=damaged)


def _task_counts(tasks: Mapping[tuple[str, str], Counter[str]]) -> tuple[TaskCounts, ...]:
    return tuple(TaskCounts(task=task, unit=unit, **tasks[task, unit]) for task, unit in sorted(tasks))


def _merge(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    merged: Counter[str] = Counter()
    for one in counts:
        merged.update(one)
    return dict(sorted(merged.items()))


def summary(counts: LabelCounts) -> Iterator[str]:
    """Lines for the terminal."""
    yield f"{counts.labeled:,} of {counts.seen:,} dialogues labeled, {counts.turns:,} turns"
    if counts.quarantined:
        yield f"{counts.bad:,} quarantined: {_listed(counts.quarantined)}"
    if counts.damaged:
        yield f"damaged, read only in part: {', '.join(counts.damaged)}"
    if audio := audio_summary(counts.audio_turns, counts.audio_errors):
        yield audio
    for name, count in counts.domain_lists.items():
        rest = "; the others may get labels of every domain" if count < counts.labeled else ""
        yield f"{count:,} of {counts.labeled:,} dialogues list the available domains in {name!r}{rest}"
    if counts.unseen_values:
        yield f"turns with values that are not in the training data: {_listed(counts.unseen_values)}"
    if counts.unknown_labels:
        yield f"labels in the log that the model cannot output: {_listed(counts.unknown_labels)}"
    for one in counts.tasks:
        abstained = f", {one.abstained:,} abstained" if one.abstained else ""
        yield f"  {one.task}: {one.labels:,} labels on {one.labeled:,} {one.unit}s{abstained}"


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in counts.items())


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything except the input that determines the output's bytes. options: by name, such as the digest of a label
    set."""

    annotator: str
    model: Provenance
    shard_dialogues: int
    options: Mapping[str, str] = field(default_factory=dict)
    format: int = FORMAT

    def differences(self, other: "Settings") -> list[str]:
        """Differences from `other` in words; empty if both give the same bytes."""
        ours, theirs = _flat(msgspec.to_builtins(self)), _flat(msgspec.to_builtins(other))
        return [
            f"{name}: {ours.get(name)}, now {theirs.get(name)}"
            for name in sorted({*ours, *theirs})
            if ours.get(name) != theirs.get(name)
        ]


def _flat(plain: Mapping[str, object], prefix: str = "") -> dict[str, object]:
    out: dict[str, object] = {}
    for key, value in plain.items():
        out |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return out


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardEntry:
    """A committed shard: consecutive records of one input file.

    file_digest: of the whole input file; output_digest: of the labeled records as JSON Lines; quarantine_digest: of the rejected
    records, None if there are none."""

    path: str
    index: int
    records: int
    file_digest: str
    output_digest: str
    quarantine_digest: str | None
    counts: LabelCounts


@dataclass(frozen=True, slots=True, kw_only=True)
class FileEntry:
    """A finished output file; path is relative to both the input and the output folder, with `/`."""

    path: str
    input_digest: str
    output_digest: str
    quarantine_digest: str | None
    counts: LabelCounts
    shards: tuple[ShardEntry, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """Settings, files in the order of their paths, and the counts of all files."""

    settings: Settings
    files: tuple[FileEntry, ...]
    counts: LabelCounts


def manifest_of(settings: Settings, files: Iterable[FileEntry]) -> Manifest:
    """Manifest of the given files: sorts them and adds up their counts."""
    ordered = tuple(sorted(files, key=lambda file: file.path))
    counts = total(file.counts for file in ordered)
    return Manifest(settings=settings, files=ordered, counts=counts)


def write_manifest(path: Path, manifest: Manifest) -> None:
    """Write the manifest as indented JSON, atomically."""
    write_text(path, msgspec.json.format(msgspec.json.encode(manifest), indent=1).decode() + "\n")


def read_manifest(path: Path) -> Manifest:
    """Read a manifest. Raises IntegrityError if it is damaged or of another version, StorageError if it cannot be read."""
    try:
        data = path.read_bytes()
        # The version comes first: the fields of another version differ, but that is no damage.
        settings = msgspec.json.decode(data, type=_AnyManifest).settings
        if settings.format != FORMAT:
            raise IntegrityError(
                f"{path.name} has format {settings.format or 1}, this version reads {FORMAT}",
                str(path),
                f"use labelgen {settings.model.version}, or label again with --force",
            )
        return msgspec.json.decode(data, type=Manifest)
    except OSError as error:
        raise StorageError(f"cannot read {path.name}: {error.strerror}", str(path), "check the path") from error
    except (msgspec.MsgspecError, UnicodeError) as error:
        raise IntegrityError(
            f"{path.name} is damaged: {error}", str(path), "label again with --force to replace it"
        ) from error


@dataclass(frozen=True, slots=True, kw_only=True)
class _AnySettings:
    model: Provenance
    format: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _AnyManifest:
    settings: _AnySettings


def inconsistencies(manifest: Manifest) -> Iterator[str]:
    """Counts that do not add up and shards that do not follow each other, in words; nothing for a good manifest."""
    for file in manifest.files:
        for index, shard in enumerate(file.shards):
            if shard.counts.seen != shard.counts.labeled + shard.counts.bad:
                yield f"{file.path}, shard {shard.index}: seen is not labeled + quarantined"
            if shard.index != index:
                yield f"{file.path}: its shards do not follow each other"
        if file.counts != total(shard.counts for shard in file.shards):
            yield f"{file.path}: its counts are not the sum of its shards"
    if manifest.counts != total(file.counts for file in manifest.files):
        yield "the counts of the manifest are not the sum of its files"


@dataclass(slots=True)
class Finished:
    """Finished work of a run: complete files by path, and shards of incomplete files by path and index."""

    settings: Settings
    files: dict[str, FileEntry] = field(default_factory=dict)
    shards: dict[str, dict[int, ShardEntry]] = field(default_factory=dict)

    def add(self, entry: ShardEntry | FileEntry) -> None:
        """Add one commit; a complete file replaces its shards."""
        if isinstance(entry, FileEntry):
            self.files[entry.path] = entry
            self.shards.pop(entry.path, None)
        else:
            self.shards.setdefault(entry.path, {})[entry.index] = entry

    def entries(self) -> Iterator[ShardEntry | FileEntry]:
        """All commits."""
        yield from self.files.values()
        for shards in self.shards.values():
            yield from shards.values()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Commit:
    """A file of the ledger: the settings of a run and its earlier work, or one more entry."""

    settings: Settings | None = None
    files: tuple[FileEntry, ...] = ()
    shards: tuple[ShardEntry, ...] = ()


class Ledger:
    """Commits of one run. It starts with the finished work of earlier runs, in place of their ledger."""

    def __init__(self, path: Path, finished: Finished) -> None:
        self.path = path
        older = _commits(path)
        self._number = int(older[-1].name) + 1 if older else 0
        shards = tuple(entry for entries in finished.shards.values() for entry in entries.values())
        self._put(_Commit(settings=finished.settings, files=tuple(finished.files.values()), shards=shards))
        for stale in older:
            stale.unlink()

    def append(self, entry: ShardEntry | FileEntry) -> None:
        """Commit. Raises StorageError if the entry does not reach the disk."""
        self._put(_Commit(files=(entry,)) if isinstance(entry, FileEntry) else _Commit(shards=(entry,)))

    def _put(self, commit: _Commit) -> None:
        write_text(self.path / f"{self._number:09d}", msgspec.json.encode(commit).decode())
        self._number += 1


def read_ledger(path: Path) -> Finished:
    """Finished work of an interrupted run. Raises IntegrityError if the ledger is damaged, StorageError if it cannot be read."""
    finished: Finished | None = None
    for commit in _commits(path):
        try:
            entry = msgspec.json.decode(commit.read_bytes(), type=_Commit)
        except OSError as error:
            raise StorageError(f"cannot read {commit.name}: {error.strerror}", str(commit), "check the path") from error
        except (msgspec.MsgspecError, UnicodeError) as error:
            raise _damaged(commit, str(error)) from error
        # Settings begin a run; before them is what a kill left of the ledger that this one replaces.
        if entry.settings is not None:
            finished = Finished(entry.settings)
        if finished is not None:
            for file in entry.files:
                finished.add(file)
            for shard in entry.shards:
                finished.add(shard)
    if finished is None:
        raise _damaged(path, "it has no settings")
    return finished


def _commits(path: Path) -> list[Path]:
    """Files of the ledger in order, without temporary ones."""
    if not path.exists():
        return []
    return sorted((item for item in path.iterdir() if item.name.isdigit()), key=lambda item: item.name)


def _damaged(path: Path, why: str) -> IntegrityError:
    return IntegrityError(f"the ledger of the unfinished run is damaged: {why}", str(path), "label again with --force")
