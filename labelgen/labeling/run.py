"""Labeling of a whole log: shards to parts, parts to files, and the manifest last. Finished work of earlier runs is kept.

A step is recorded after its result reached the disk. A step without a record is repeated and gives the same bytes. So a kill at any
moment costs at most the shards in progress. Earlier work counts if the digests of settings, input and output are unchanged;
otherwise it is refused, or with `force` deleted and repeated. Missing parts and outputs are always repeated, and so is the work on
a damaged file that was replaced."""

import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from labelgen.base.errors import InputError, IntegrityError, UsageError
from labelgen.base.files import digest_file, is_remote, keep_private, privacy, remove_tree
from labelgen.base.process import Terminated
from labelgen.data.label_sets import refuse_without_domains
from labelgen.data.log import damaged_files_error
from labelgen.labeling.engines import Engine
from labelgen.labeling.folder import LabelFolder, input_files, join, open_folder, storage_errors
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
from labelgen.labeling.ranges import RecordRange, split_file
from labelgen.labeling.shard import LabelingRules, Shard, read_dialogues

SHARD_DIALOGUES = 1024
MAX_SHARD_DIALOGUES = 4096

_MAX_SHOWN = 10
_PROGRESS_S = 2.0


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
                for entry in show_throughput(((e, self._bytes(e)) for e in entries), size):
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


def show_throughput(entries: Iterable[tuple[ShardEntry, float]], total_bytes: float) -> Iterator[ShardEntry]:
    """Pass shard entries on and print the throughput to standard error, redrawn in place on a terminal.

    Each entry comes with its bytes of input; the remaining time is estimated from bytes, because records are not counted in
    advance."""
    started = last = time.monotonic()
    interactive = sys.stderr.isatty()
    every = _PROGRESS_S if interactive else 10 * _PROGRESS_S
    dialogues = turns = 0
    done_bytes = 0.0

    def report() -> None:
        elapsed_s = max(last - started, 1e-9)
        text = f"label: {dialogues:,} dialogues, {dialogues / elapsed_s:,.1f}/s; {turns:,} turns, {turns / elapsed_s:,.1f}/s"
        share = min(1.0, done_bytes / total_bytes) if total_bytes > 0 else 1.0
        left = f", {elapsed_s * (1 - share) / share:,.0f} s left" if share > 0 else ""
        text += f"; {share:.0%} done{left}"
        sys.stderr.write(f"\r\x1b[K{text}" if interactive else f"{text}\n")
        sys.stderr.flush()

    for entry, size in entries:
        yield entry
        dialogues += entry.counts.seen
        turns += entry.counts.turns
        done_bytes += size
        if time.monotonic() - last >= every:
            last = time.monotonic()
            report()
    if dialogues:
        last = time.monotonic()
        report()
        if interactive:
            sys.stderr.write("\n")
