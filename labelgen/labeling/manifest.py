"""What a folder of labeled records says of itself: with which model and settings, from which input, and its sums.

`manifest.json` is written last, so it is there only where the run reached its end; equal runs give equal bytes."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from labelgen.base.errors import IntegrityError, StorageError
from labelgen.base.files import write_text
from labelgen.data.labels import Provenance
from labelgen.labeling.counts import Sums, total

FORM = 1

REDACT = "redact"
"""The option that has texts masked, with the kinds of what is masked."""

LABELS = "labels"
"""The option that says what may be decoded, with the digest of its file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """All that the bytes of the output depend on, but the input. options: by name, such as the digest of a label
    set."""

    annotator: str
    model: Provenance
    shard_dialogues: int
    options: Mapping[str, str] = field(default_factory=dict)
    form: int = FORM

    def differences(self, other: "Settings") -> list[str]:
        """What differs from `other`, in words; empty where both give the same bytes."""
        ours, theirs = _flat(msgspec.to_builtins(self)), _flat(msgspec.to_builtins(other))
        return [
            f"{name}: {ours.get(name)}, now {theirs.get(name)}"
            for name in sorted({*ours, *theirs})
            if ours.get(name) != theirs.get(name)
        ]


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardEntry:
    """A committed shard: records `[start, start + records)` of one input file, counted from 0.

    file_digest: of the whole input file; part_digest: of the records read; output_digest: of the labeled records as
    JSON Lines; quarantine_digest: of the rejected ones, absent where there are none."""

    path: str
    index: int
    start: int
    records: int
    file_digest: str
    part_digest: str
    output_digest: str
    quarantine_digest: str | None
    sums: Sums


@dataclass(frozen=True, slots=True, kw_only=True)
class FileEntry:
    """A finished output file; path is relative to the input's folder and to the output's alike, with `/`."""

    path: str
    input_digest: str
    output_digest: str
    quarantine_digest: str | None
    sums: Sums
    shards: tuple[ShardEntry, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    settings: Settings
    files: tuple[FileEntry, ...]
    sums: Sums


def manifest_of(settings: Settings, files: Iterable[FileEntry]) -> Manifest:
    """Files in the order of their paths, with the sums of all."""
    ordered = tuple(sorted(files, key=lambda file: file.path))
    return Manifest(settings=settings, files=ordered, sums=total(file.sums for file in ordered))


def write_manifest(path: Path, manifest: Manifest) -> None:
    write_text(path, msgspec.json.format(msgspec.json.encode(manifest), indent=1).decode() + "\n")


def read_manifest(path: Path) -> Manifest:
    """Raises IntegrityError where it is not what labelgen wrote, StorageError where it cannot be read."""
    try:
        manifest = msgspec.json.decode(path.read_bytes(), type=Manifest)
    except OSError as error:
        raise StorageError(f"cannot read {path.name}: {error.strerror}", str(path), "check the path") from error
    except (msgspec.MsgspecError, UnicodeError) as error:
        raise IntegrityError(
            f"{path.name} is damaged: {error}", str(path), "label again with --force, which replaces it"
        ) from error
    if manifest.settings.form != FORM:
        raise IntegrityError(
            f"{path.name} has form {manifest.settings.form}, this version reads {FORM}",
            str(path),
            f"use labelgen {manifest.settings.model.version}",
        )
    return manifest


def unbalanced(manifest: Manifest) -> Iterator[str]:
    """Where the sums do not add up, in words; nothing for a good manifest."""
    for file in manifest.files:
        for shard in file.shards:
            if shard.sums.seen != shard.sums.labeled + shard.sums.bad:
                yield f"{file.path}, shard {shard.index}: seen is not labeled + quarantined"
        if file.sums != total(shard.sums for shard in file.shards):
            yield f"{file.path}: its sums are not those of its shards"
        borders = [(shard.index, shard.start) for shard in file.shards]
        expected, start = [], 0
        for index, shard in enumerate(file.shards):
            expected.append((index, start))
            start += shard.records
        if borders != expected:
            yield f"{file.path}: its shards do not follow each other"
    if manifest.sums != total(file.sums for file in manifest.files):
        yield "the sums of the manifest are not those of its files"


def _flat(plain: Mapping[str, object], prefix: str = "") -> dict[str, object]:
    out: dict[str, object] = {}
    for key, value in plain.items():
        if isinstance(value, dict):
            out.update(_flat(value, f"{prefix}{key}."))
        else:
            out[f"{prefix}{key}"] = value
    return out
