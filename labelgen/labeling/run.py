"""Labeling of a whole log: shards to parts, parts to files, and the manifest last. Finished work of earlier runs is kept.

A step is recorded after its result reached the disk. A step without a record is repeated and gives the same bytes. So a kill at any
moment costs at most the shards in progress. Earlier work counts if the digests of settings, input and output are unchanged;
otherwise it is refused, or with `force` deleted and repeated. Missing parts and outputs are always repeated, and so is the work on
a damaged file that was replaced.

Output folder of labels: paths, lock, cleanup after a kill, and joining parts into files.

OUT/a.jsonl                      labeled records, at the input's relative path; `.zst` becomes `.gz`
OUT/a.jsonl.quarantine.jsonl     its rejected records with reasons, if any
OUT/manifest.json                written last
OUT/.labeling/                   during a run: ledger/, lock, and parts/a.jsonl/000000.jsonl

A store (base/files.py) has no lock: the user must not start two runs with one output there. Parts are plain JSON Lines in
every format, and joining is a pure function of them. So neither shard size nor the order of work changes the output.
"""

import fcntl
import glob
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO

import msgspec

from labelgen.base.errors import InputError, IntegrityError, StorageError, UsageError
from labelgen.base.files import (
    atomic_write,
    compressed,
    digest_file,
    is_remote,
    keep_private,
    privacy,
    remove_tree,
    sweep,
)
from labelgen.base.process import Terminated
from labelgen.base.terminal import progress
from labelgen.data.label_sets import refuse_without_domains
from labelgen.data.log import RECORD_SUFFIXES, damaged_files_error, shard_files
from labelgen.data.record import arrow_schema
from labelgen.labeling.engines import Engine
from labelgen.labeling.manifest import (
    REDACT,
    FileEntry,
    Finished,
    LabelCounts,
    Ledger,
    Settings,
    ShardEntry,
    manifest_of,
    read_ledger,
    read_manifest,
    total,
    write_manifest,
)
from labelgen.labeling.shard import LabelingRules, RecordRange, Shard, read_dialogues, split_file

MANIFEST = "manifest.json"
_WORK = ".labeling"
_ROW_GROUP = 1024
"""Rows in a row group of Parquet."""


def input_files(source: Path) -> dict[str, Path]:
    """Record files at or below `source` by relative path, in order.

    Raises UsageError if there are none, or if the output of two would have one path."""
    files = shard_files(source)
    root = source if source.is_dir() else source.parent
    for file in files:
        if not file.name.endswith(RECORD_SUFFIXES):
            known = ", ".join(RECORD_SUFFIXES)
            raise UsageError(f"unknown file format: {file.name}", str(file), f"use a name that ends in {known}")
    inputs = {file.relative_to(root).as_posix(): file for file in files}
    for path, file in inputs.items():
        if path != output_path(path) and output_path(path) in inputs:
            raise UsageError(
                f"the output of {path} would be {output_path(path)}, which is in the input too", str(file), "rename one"
            )
    return inputs


def output_path(path: str) -> str:
    """Relative path of the output of an input file; zstd is read and not written."""
    return path.removesuffix(".zst") + ".gz" if path.endswith(".zst") else path


class LabelFolder:
    """Paths of one output folder."""

    def __init__(self, out: Path) -> None:
        self.out = out
        self.manifest = out / MANIFEST
        self.work = out / _WORK
        self.ledger = self.work / "ledger"

    def output(self, path: str) -> Path:
        return self.out / output_path(path)

    def quarantine(self, path: str) -> Path:
        return self.out / f"{path}.quarantine.jsonl"

    def parts(self, path: str) -> Path:
        return self.work / "parts" / path

    def part(self, path: str, index: int) -> Path:
        return self.parts(path) / f"{index:06d}.jsonl"

    def part_quarantine(self, path: str, index: int) -> Path:
        return self.parts(path) / f"{index:06d}.quarantine.jsonl"

    def is_unfinished(self) -> bool:
        """Whether a run committed work here and did not finish. Beside a manifest, a ledger is what a kill left of a finished run."""
        if self.manifest.exists() or not self.ledger.exists():
            return False
        return any(item.name.isdigit() for item in self.ledger.iterdir())

    def check(self, force: bool) -> None:
        """Raises UsageError if the output is a file, or, without force, contains files of no labeling run."""
        if not self.out.exists():
            return
        if not self.out.is_dir():
            raise UsageError(f"{self.out} is a file, a folder is needed", str(self.out), "name another output folder")
        if force or self.manifest.exists() or self.is_unfinished():
            return
        # A run that was killed before its first commit leaves at most its work folder.
        if any(child.name != _WORK for child in self.out.iterdir()):
            hint = "name another output folder, or give --force"
            raise UsageError(f"{self.out} is not empty and holds no labeled log", str(self.out), hint)

    def sweep(self, path: Path) -> None:
        """Remove temporary files that a killed run left for `path`; a store has none."""
        if not is_remote(path):
            sweep(path.parent, glob.escape(path.name))

    def remove(self, path: str) -> None:
        """Remove all work on one input file."""
        with storage_errors(self.out):
            self.output(path).unlink(missing_ok=True)
            self.quarantine(path).unlink(missing_ok=True)
            remove_tree(self.parts(path))


@contextmanager
def open_folder(out: Path, force: bool) -> Iterator[LabelFolder]:
    """Lock the output folder for this process. Creates it if needed, and removes it again if the run wrote nothing.

    Raises UsageError if it contains other files and `force` is not given, StorageError if it cannot be written or another process works in it."""
    folder = LabelFolder(out)
    with storage_errors(out):
        folder.check(force)
        is_new = not is_remote(out) and not out.exists()
    with nullcontext() if is_remote(out) else lock_folder(folder):
        try:
            yield folder
        finally:
            if not folder.is_unfinished():
                remove_tree(folder.work)
                if is_new:
                    with suppress(OSError):  # not empty
                        out.rmdir()


@contextmanager
def lock_folder(folder: LabelFolder) -> Iterator[None]:
    """Lock a local folder for this process. Raises StorageError if another process works in it."""
    with storage_errors(folder.out):
        folder.work.mkdir(parents=True, exist_ok=True)
        lock = (folder.work / "lock").open("wb")
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise StorageError(
                "another process labels into this folder", str(folder.out), "wait for it, or name another output folder"
            ) from error
        yield


@contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Turn an OSError of the block into a StorageError that names `path`."""
    try:
        yield
    except OSError as error:
        raise StorageError(
            f"cannot read or write: {error.strerror or error}",
            str(error.filename or path),
            "check that it exists, is writable and has room",
        ) from error


def join(parts: Sequence[Path], path: Path) -> None:
    """Write the lines of all parts in order to `path`, atomically, in the format of its name. Raises StorageError if it cannot be
    written."""
    with atomic_write(path) as file:
        if path.suffix == ".parquet":
            _write_rows(parts, file)
            return
        with compressed(file, path.name) as to:
            for part in parts:
                with part.open("rb") as lines:
                    shutil.copyfileobj(lines, to)


def _write_rows(parts: Sequence[Path], to: IO[bytes]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    lines = _lines(parts)
    with pq.ParquetWriter(to, arrow_schema(), compression="zstd", write_page_checksum=True) as writer:
        while rows := [msgspec.json.decode(line) for line in islice(lines, _ROW_GROUP)]:
            writer.write_table(pa.Table.from_pylist(rows, schema=arrow_schema()))


def _lines(parts: Sequence[Path]) -> Iterator[bytes]:
    for part in parts:
        with part.open("rb") as file:
            yield from file


SHARD_DIALOGUES = 1024
MAX_SHARD_DIALOGUES = 4096

_MAX_SHOWN = 10


@dataclass(frozen=True, slots=True)
class _FilePlan:
    """An input file in progress."""

    source: Path
    digest: str
    ranges: tuple[RecordRange, ...]


def label(
    source: Path,
    out: Path,
    engine: Engine,
    annotator: str,
    options: Mapping[str, str],
    shard_dialogues: int = SHARD_DIALOGUES,
    force: bool = False,
) -> LabelCounts:
    """Label every record file of `source` into `out`, or the rest of an unfinished run. Returns the counts of all files.

    options: other settings that determine the labels, by name.
    Raises UsageError if `out` contains other files, or if no record can be labeled (no label set for its source, annotator name in
    use, no list of available domains); IntegrityError if `out` was made from another input, model or options, without `force`;
    StorageError if reading or writing fails; Terminated on SIGTERM, after which committed work stays."""
    inputs = input_files(source)
    _check_separate(source, out)
    settings = Settings(
        annotator=annotator, model=engine.provenance(), shard_dialogues=shard_dialogues, options=options
    )
    LabelingRules(engine.refuses, annotator, settings.model.domains_from).check_any(inputs)
    refuse_without_domains(read_dialogues(inputs), settings.model.domains_from)
    with privacy():
        keep_private(inputs.values())
        with open_folder(out, force) as folder:
            finished = valid_work(folder, inputs, settings, force)
            if _is_complete(folder, inputs, finished):
                return read_manifest(folder.manifest).counts
            run = _LabelingRun(folder, inputs, finished, engine)
            try:
                return run.finish()
            except Terminated:
                raise Terminated(run.status()) from None


def check_bad_rate(counts: LabelCounts, max_bad_rate: float, where: str) -> None:
    """Raises InputError if more than `max_bad_rate` of the records were quarantined, or if files are damaged and the rate
    is not 1: the number of lost records is unknown."""
    if counts.damaged and max_bad_rate < 1:
        raise damaged_files_error(counts.damaged, where)
    if counts.bad > max_bad_rate * counts.seen:
        reasons = ", ".join(f"{reason} {count:,}" for reason, count in counts.quarantined.items())
        raise InputError(
            f"{counts.bad:,} of {counts.seen:,} records are bad ({counts.bad / counts.seen:.1%}), more than the "
            f"{max_bad_rate:.1%} allowed: {reasons}",
            where,
            "fix the records or raise --max-bad-rate; the good ones are labeled, and the bad ones are in the quarantine (for a "
            "stream: in the file of --quarantine)",
        )


class _LabelingRun:
    """One run over the unfinished work. The ledger is authoritative from its first line until the manifest is written."""

    def __init__(
        self,
        folder: LabelFolder,
        inputs: Mapping[str, Path],
        finished: Finished,
        engine: Engine,
    ) -> None:
        self.folder = folder
        self.inputs = inputs
        self.finished = finished
        self.engine = engine
        self.plans: dict[str, _FilePlan] = {}

    def finish(self) -> LabelCounts:
        folder, finished = self.folder, self.finished
        with storage_errors(folder.out):
            self._sweep()
            ledger = Ledger(folder.ledger, finished)
            folder.manifest.unlink(missing_ok=True)
            size = sum(self.inputs[path].stat().st_size for path in self._unfinished())
            with closing(self.engine.label(self._shards())) as entries:
                for entry in progress(entries, "label", "kB", size // 1000, lambda e: int(self._bytes(e) / 1000)):
                    self._commit(ledger, entry)
                    self._finish_file(ledger, entry.path)
            # Files without records, and files whose last shard an earlier run committed.
            for path in self._unfinished():
                self._finish_file(ledger, path)
            manifest = manifest_of(finished.settings, finished.files.values())
            write_manifest(folder.manifest, manifest)
            remove_tree(folder.work)
        return manifest.counts

    def status(self) -> str:
        """Committed work in words."""
        shards = sum(map(len, self.finished.shards.values()))
        return (
            f"finished files: {len(self.finished.files):,} of {len(self.inputs):,}; committed shards of the others: {shards:,}; "
            "the same command resumes"
        )

    def _unfinished(self) -> list[str]:
        return [path for path in self.inputs if path not in self.finished.files]

    def _shards(self) -> Iterator[Shard]:
        for path in self._unfinished():
            source = self.inputs[path]
            plan = _FilePlan(source, digest_file(source), split_file(source, self.finished.settings.shard_dialogues))
            self.plans[path] = plan
            if not is_remote(self.folder.out):
                self.folder.parts(path).mkdir(parents=True, exist_ok=True)
            done = self.finished.shards.get(path, {})
            for index, records in enumerate(plan.ranges):
                if index not in done:
                    yield Shard(
                        source=source,
                        path=path,
                        index=index,
                        records=records,
                        file_digest=plan.digest,
                        output=self.folder.part(path, index),
                        quarantine=self.folder.part_quarantine(path, index),
                        damaged=plan.ranges[-1].damage is not None,
                        redact=REDACT in self.finished.settings.options,
                    )

    def _bytes(self, entry: ShardEntry) -> float:
        plan = self.plans[entry.path]
        return plan.source.stat().st_size * entry.records / sum(records.count for records in plan.ranges)

    def _commit(self, ledger: Ledger, entry: ShardEntry | FileEntry) -> None:
        ledger.append(entry)
        self.finished.add(entry)

    def _finish_file(self, ledger: Ledger, path: str) -> None:
        """Write the output file of `path` once all its shards are committed."""
        folder, plan = self.folder, self.plans[path]
        shards = self.finished.shards.get(path, {})
        if len(shards) < len(plan.ranges):
            return
        if digest_file(plan.source) != plan.digest or any(s.file_digest != plan.digest for s in shards.values()):
            raise IntegrityError(
                f"{path} changed while it was labeled", str(plan.source), "label it again when nothing writes to it"
            )
        ordered = tuple(shards[index] for index in range(len(plan.ranges)))
        bad = [folder.part_quarantine(path, s.index) for s in ordered if s.quarantine_digest is not None]
        join([folder.part(path, s.index) for s in ordered], folder.output(path))
        if bad:
            join(bad, folder.quarantine(path))
        else:
            folder.quarantine(path).unlink(missing_ok=True)
        entry = FileEntry(
            path=path,
            input_digest=plan.digest,
            output_digest=digest_file(folder.output(path)),
            quarantine_digest=digest_file(folder.quarantine(path)) if bad else None,
            counts=total(s.counts for s in ordered),
            shards=ordered,
        )
        self._commit(ledger, entry)
        remove_tree(folder.parts(path))

    def _sweep(self) -> None:
        self.folder.sweep(self.folder.manifest)
        for path in self._unfinished():
            self.folder.sweep(self.folder.output(path))
            self.folder.sweep(self.folder.quarantine(path))


def _is_complete(folder: LabelFolder, inputs: Mapping[str, Path], finished: Finished) -> bool:
    """Whether an earlier run finished everything."""
    if folder.is_unfinished() or not folder.manifest.exists() or set(finished.files) != set(inputs):
        return False
    return manifest_of(finished.settings, finished.files.values()) == read_manifest(folder.manifest)


def _check_separate(source: Path, out: Path) -> None:
    if is_remote(source) != is_remote(out):
        return
    root, target = (source if source.is_dir() else source.parent).resolve(), out.resolve()
    if root.is_relative_to(target) or (source.is_dir() and target.is_relative_to(root)):
        raise UsageError(f"{out} and the input contain each other", str(out), "name an output folder beside the input")


def valid_work(folder: LabelFolder, inputs: Mapping[str, Path], settings: Settings, force: bool) -> Finished:
    """Finished work of earlier runs that is still valid. Raises IntegrityError, without force, if the settings or files changed."""
    fresh = Finished(settings)
    try:
        earlier = _earlier_work(folder)
    except IntegrityError:
        if not force:
            raise
        return fresh
    if earlier is None:
        return fresh
    changes = earlier.settings.differences(settings)
    invalid = dict(_invalid_paths(folder, inputs, earlier))
    faults = {path: fault for path, fault in invalid.items() if fault is not None}
    if changes and not force:
        raise _refusal("the folder was labeled with other settings", folder, changes)
    if faults and not force:
        raise _refusal("earlier work in the folder is no longer valid", folder, list(faults.values()))
    for path in {*earlier.files, *earlier.shards}:
        if changes or path in faults:
            folder.remove(path)
    for entry in () if changes else earlier.entries():
        if entry.path not in invalid and _exists(folder, entry):
            fresh.add(entry)
    return fresh


def _earlier_work(folder: LabelFolder) -> Finished | None:
    if folder.is_unfinished():
        return read_ledger(folder.ledger)
    if not folder.manifest.exists():
        return None
    manifest = read_manifest(folder.manifest)
    return Finished(manifest.settings, {file.path: file for file in manifest.files})


def _invalid_paths(
    folder: LabelFolder, inputs: Mapping[str, Path], finished: Finished
) -> Iterator[tuple[str, str | None]]:
    """Paths whose work is invalid, each with its fault; None for a damaged input file that was replaced."""
    for path in sorted({*finished.files, *finished.shards}):
        file = finished.files.get(path)
        shards = finished.shards.get(path, {}).values()
        digests = {*([file.input_digest] if file else []), *(shard.file_digest for shard in shards)}
        if path not in inputs:
            yield path, f"{path} is no longer in the input"
        elif digests != {digest_file(inputs[path])}:
            damaged = any(
                path in counts.damaged
                for counts in (*([file.counts] if file else []), *(shard.counts for shard in shards))
            )
            yield path, None if damaged else f"{path} of the input changed after it was labeled"
        elif file is not None:
            for output, digest in _outputs(folder, file):
                if digest is not None and output.exists() and digest_file(output) != digest:
                    yield path, f"{output.name} changed after it was written"
                    break


def _outputs(folder: LabelFolder, entry: FileEntry) -> tuple[tuple[Path, str | None], ...]:
    return (
        (folder.output(entry.path), entry.output_digest),
        (folder.quarantine(entry.path), entry.quarantine_digest),
    )


def _exists(folder: LabelFolder, entry: ShardEntry | FileEntry) -> bool:
    if isinstance(entry, FileEntry):
        return all(digest is None or path.exists() for path, digest in _outputs(folder, entry))
    # Parts belong to labelgen alone, so a damaged one is simply made again.
    part, quarantine = folder.part(entry.path, entry.index), folder.part_quarantine(entry.path, entry.index)
    if not part.exists() or digest_file(part) != entry.output_digest:
        return False
    if entry.quarantine_digest is None:
        return not quarantine.exists()
    return quarantine.exists() and digest_file(quarantine) == entry.quarantine_digest


def _refusal(what: str, folder: LabelFolder, why: list[str]) -> IntegrityError:
    more = f" and {len(why) - _MAX_SHOWN} more" if len(why) > _MAX_SHOWN else ""
    return IntegrityError(
        f"{what}: {'; '.join(why[:_MAX_SHOWN])}{more}",
        str(folder.out),
        "name another output folder, or give --force to replace what is no longer valid",
    )
