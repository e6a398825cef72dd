"""Deletion of one user's records, or of dialogues by id, from logs, folders of labels and files for review.

A folder of labels gets salted hashes of the deleted ids (forgotten.py), so that a later run leaves their records out. Where the log of the
folder is changed by the same deletion, the folder becomes one of the changed log."""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from hashlib import sha256
from itertools import islice
from pathlib import Path

import msgspec

from labelgen.base.errors import IntegrityError, UsageError
from labelgen.base.files import digest_file, fresh_file, is_remote, read_json, to_path
from labelgen.data.deletion import COLUMNS, TASKS, Scan, Subject, rest_of_columns, rest_of_tasks, scan, write_rest
from labelgen.data.labels import Annotation
from labelgen.data.log import RECORD_SUFFIXES, read_located
from labelgen.data.record import LocatedDialogue, Rejected, encode
from labelgen.labeling.folder import LabelFolder, lock_folder, storage_errors
from labelgen.labeling.forgotten import Forgotten, journal_of, new_salt, read_forgotten
from labelgen.labeling.journal import STAGED, Journal, ModelReceipt, Plan, Receipt, apply_journal, write_journal
from labelgen.labeling.manifest import (
    FileEntry,
    Finished,
    LabelCounts,
    ShardEntry,
    ledger_text,
    manifest_of,
    manifest_text,
    read_ledger,
    read_manifest,
    tally,
    total,
)
from labelgen.labeling.ranges import digest_ranges

CheckModels = Callable[[Iterable[int]], Sequence[ModelReceipt]]
"""Examines models for fingerprints of dialogues."""


def _no_models(fingerprints: Iterable[int]) -> Sequence[ModelReceipt]:
    return ()


def forget(
    paths: Sequence[Path | str],
    receipt: Path,
    user: str | None = None,
    dialogues: Sequence[str] = (),
    check_models: CheckModels = _no_models,
) -> Receipt:
    """Delete the records of a user, and dialogues by id, from all paths; or finish what a kill interrupted.

    paths: logs, folders of labels, files for review, and folders of these. receipt: file to write.
    Raises UsageError for paths that cannot be examined, or a receipt that exists; IntegrityError if a folder of labels, or a file in a
    journal, was changed by others; StorageError if a file is damaged or cannot be written."""
    receipt = receipt.absolute()
    with storage_errors(receipt):
        if (journal := journal_of(receipt)).exists():
            done = _finish(journal, receipt)
            if not done.is_for(user, dialogues):
                what = "a deletion of other ids with this receipt was unfinished, and is finished now"
                raise UsageError(what, str(receipt), "name another --receipt for this one")
            return done
        subject = Subject(user, frozenset(dialogues))
        with ExitStack() as stack:
            plan = Plan(subject)
            try:
                _examine(plan, _targets(paths), stack)
                done = plan.receipt(tuple(dialogues), check_models(subject.fingerprints))
                if receipt.exists() and not plan.steps and (old := _read_receipt(receipt)).is_for(user, dialogues):
                    return old
                fresh_file(receipt, force=False)
                if not done.records:
                    hint = "check the id; records without a user are deleted by --dialogue"
                    raise UsageError("no record of this user or dialogue is in these paths", "--user, --dialogue", hint)
                write_journal(journal, done, plan)
            except BaseException:
                if not journal.exists():
                    plan.discard()
                raise
            apply_journal(journal, receipt)
        return done


def _read_receipt(path: Path) -> Receipt:
    return read_json(path, Receipt, "name another --receipt")


def _finish(journal: Path, receipt: Path) -> Receipt:
    """Finish an interrupted deletion."""
    with ExitStack() as stack:
        for folder in read_json(journal, Journal).folders:
            stack.enter_context(_locked(LabelFolder(Path(folder))))
        return apply_journal(journal, receipt)


@dataclass(frozen=True, slots=True)
class _Targets:
    folders: tuple[LabelFolder, ...]
    files: tuple[Path, ...]
    not_examined: tuple[str, ...]


def _targets(paths: Sequence[Path | str]) -> _Targets:
    """Sort what the paths name. Links are resolved, so that the file itself is changed."""
    folders: dict[Path, LabelFolder] = {}
    files: dict[Path, None] = {}
    others: list[str] = []
    for path in map(to_path, paths):
        if is_remote(path):
            raise UsageError(f"{path} is in a store", str(path), "copy it here, delete, and put it back")
        if not path.exists():
            raise UsageError(f"{path} does not exist", str(path), "name logs, folders of labels, or files for review")
        path = path.resolve()
        if path.is_file():
            if not _is_known(path):
                hint = "delete in its source and make it again; docs/how-to/delete.md"
                raise UsageError(f"{path.name} has no form that is examined", str(path), hint)
            files[path] = None
            continue
        for root, below, names in os.walk(path):
            here = Path(root)
            if _is_labeled(here):
                folders[here] = LabelFolder(here)
                below.clear()
                listed = set(_listed(folders[here]))
                rest = [p for p in sorted(here.rglob("*")) if p.is_file() and p not in listed]
                others += [str(p) for p in rest if ".labeling" not in p.relative_to(here).parts]
                continue
            below.sort()
            for name in sorted(names):
                if _is_known(here / name) and not name.startswith("."):
                    files[(here / name).resolve()] = None
                elif not name.startswith(STAGED):
                    others.append(str(here / name))
    inside = [path for path in files if any(path.is_relative_to(folder) for folder in folders)]
    if inside:
        raise UsageError("a file within a folder of labels is named", str(inside[0]), "name the folder alone")
    return _Targets(tuple(folders.values()), tuple(files), tuple(others))


def _is_known(path: Path) -> bool:
    return path.name.endswith((*RECORD_SUFFIXES, TASKS, COLUMNS))


def _is_labeled(path: Path) -> bool:
    folder = LabelFolder(path)
    return folder.ledger.exists() or folder.manifest.exists()


def _listed(folder: LabelFolder) -> Iterator[Path]:
    finished = _work_of(folder)
    yield from (folder.manifest, folder.forgotten, folder.deletion)
    for path in finished.files:
        yield from (folder.output(path), folder.quarantine(path))


def _work_of(folder: LabelFolder) -> Finished:
    if folder.ledger.exists():
        return read_ledger(folder.ledger)
    manifest = read_manifest(folder.manifest)
    return Finished(manifest.settings, {file.path: file for file in manifest.files})


@contextmanager
def _locked(folder: LabelFolder) -> Iterator[None]:
    with lock_folder(folder):
        try:
            yield
        finally:
            if not folder.ledger.exists():
                with suppress(OSError):  # of a labeling run that left more
                    (folder.work / "lock").unlink()
                    folder.work.rmdir()


Scans = dict[Path, Scan]


@dataclass(frozen=True, slots=True)
class _ChangedLog:
    """staged: its new content. indices: of its deleted records."""

    staged: Path
    digest: str
    indices: tuple[int, ...]


def _examine(plan: Plan, targets: _Targets, stack: ExitStack) -> None:
    """Stage the new content of all targets."""
    subject = plan.subject
    plan.not_examined = list(targets.not_examined)
    for folder in targets.folders:
        stack.enter_context(_locked(folder))
        if (receipt := folder.unfinished_deletion()) is not None:
            hint = f"give the labelgen data forget command with --receipt {receipt} again"
            raise IntegrityError("another deletion in this folder is unfinished", str(folder.out), hint)
    works = [_work_of(folder) for folder in targets.folders]
    scans = {path: scan(path, subject) for path in targets.files if path.name.endswith(RECORD_SUFFIXES)}
    for folder, work in zip(targets.folders, works, strict=True):
        scans |= _scan_folder(folder, work, subject)
    # Once more, now that all dialogues of the user are known, what names a dialogue and no user.
    scans |= {path: scan(path, subject) for path, one in scans.items() if one.by_id}
    changed: dict[str, _ChangedLog] = {}
    for path in targets.files:
        before = digest_file(path)
        if path in scans:
            if indices := scans[path].indices:
                staged, after = plan.replace(path, partial(write_rest, path, set(indices)), len(indices), before)
                changed[before] = _ChangedLog(staged, after, indices)
            continue
        rest = rest_of_tasks(path, subject) if path.suffix == TASKS else rest_of_columns(path, subject)
        if rest is None:
            plan.not_examined.append(str(path))
        elif rest[1]:
            plan.put(path, rest[0], rest[1])
    for folder, work in zip(targets.folders, works, strict=True):
        _FolderPlan(folder, work, scans, plan, changed).stage()


def _scan_folder(folder: LabelFolder, work: Finished, subject: Subject) -> Scans:
    """Find what is deleted in outputs, quarantines and parts. Raises IntegrityError where others changed a file."""
    scans = {}
    for path, digest in _files_of(folder, work):
        if digest_file(path) != digest:
            hint = "see labelgen verify; label again with --force, then delete"
            raise IntegrityError(f"{path.name} changed after it was written", str(path), hint)
        scans[path] = scan(path, subject)
    return scans


def _files_of(folder: LabelFolder, work: Finished) -> Iterator[tuple[Path, str]]:
    """Files of committed work that exist, with their digests."""
    for file in work.files.values():
        pairs = ((folder.output(file.path), file.output_digest), (folder.quarantine(file.path), file.quarantine_digest))
        yield from ((path, digest) for path, digest in pairs if digest is not None and path.exists())
    for shard in (shard for shards in work.shards.values() for shard in shards.values()):
        part, bad = _parts(folder, shard)
        pairs = ((part, shard.output_digest), (bad, shard.quarantine_digest))
        yield from ((path, digest) for path, digest in pairs if digest is not None and path.exists())


def _parts(folder: LabelFolder, shard: ShardEntry) -> tuple[Path, Path]:
    return folder.part(shard.path, shard.index), folder.part_quarantine(shard.path, shard.index)


class _FolderPlan:
    """The changes of one folder of labels. changed: logs by their digests before."""

    def __init__(
        self, folder: LabelFolder, work: Finished, scans: Scans, plan: Plan, changed: Mapping[str, _ChangedLog]
    ) -> None:
        self.folder = folder
        self.work = work
        self.scans = scans
        self.plan = plan
        self.changed = changed

    def stage(self) -> None:
        """Stage the files of the folder, its list of hashes, and its ledger or manifest."""
        folder, plan = self.folder, self.plan
        before = plan.records
        files = {path: entry for path, file in self.work.files.items() if (entry := self._file(file)) is not None}
        work = Finished(self.work.settings, files, self._unfinished())
        earlier = read_forgotten(folder.forgotten) or Forgotten(salt=new_salt())
        forgotten = earlier.joined(plan.subject.user, plan.subject.dialogues, plan.records - before)
        if forgotten == earlier and work == self.work:
            return
        plan.folders.append(folder)
        plan.put(folder.forgotten, msgspec.json.format(msgspec.json.encode(forgotten), indent=1) + b"\n")
        if folder.ledger.exists():
            plan.put(folder.ledger, ledger_text(work))
            plan.delete(folder.manifest)
        else:
            manifest = manifest_of(work.settings, files.values(), forgotten)
            plan.put(folder.manifest, manifest_text(manifest).encode())

    def _file(self, file: FileEntry) -> FileEntry | None:
        """A finished file afterwards; None if it is incomplete, which a later run makes again."""
        output, bad = self.folder.output(file.path), self.folder.quarantine(file.path)
        if not output.exists() or (file.quarantine_digest is not None and not bad.exists()):
            return None
        log = self.changed.get(file.input_digest)
        new, output_digest = self._rest(output, file.output_digest)
        new_bad, bad_digest = self._rest(bad, file.quarantine_digest, empty_goes=True)
        shards = self._shards(file.shards, (output, new), (bad, new_bad))
        if log is not None:
            shards = _of_changed_log(shards, log)
        return replace(
            file,
            input_digest=file.input_digest if log is None else log.digest,
            output_digest=output_digest or file.output_digest,
            quarantine_digest=bad_digest,
            counts=total(shard.counts for shard in shards),
            shards=tuple(shards),
        )

    def _unfinished(self) -> dict[str, dict[int, ShardEntry]]:
        """Committed shards of unfinished files; those of a changed log are dropped, and labeled again."""
        kept: dict[str, dict[int, ShardEntry]] = {}
        known = set()
        for path, shards in self.work.shards.items():
            for index, shard in shards.items():
                part, bad = _parts(self.folder, shard)
                if shard.file_digest in self.changed or not part.exists():
                    continue
                known |= {part, bad}
                new, _ = self._rest(part, shard.output_digest)
                new_bad, _ = self._rest(bad, shard.quarantine_digest, empty_goes=True)
                (kept.setdefault(path, {})[index],) = self._shards([shard], (part, new), (bad, new_bad))
        for part in sorted(self.folder.work.glob("parts/**/*")):
            if part.is_file() and part not in known and not part.name.startswith(STAGED):
                self.plan.delete(part, self._deleted(part))
        return kept

    def _deleted(self, path: Path) -> int:
        return len(self.scans[path].indices) if path in self.scans else 0

    def _rest(self, path: Path, digest: str | None, empty_goes: bool = False) -> tuple[Path | None, str | None]:
        """Stage a file without the deleted records: where its content is then, and its digest; None for no file. empty_goes: delete
        a file that would be empty."""
        if digest is None or not self._deleted(path):
            return (None if digest is None else path), digest
        if empty_goes and self.scans[path].records == self._deleted(path):
            self.plan.delete(path, self._deleted(path))
            return None, None
        return self.plan.replace(
            path, partial(write_rest, path, set(self.scans[path].indices)), self._deleted(path), digest
        )

    def _shards(
        self, shards: Sequence[ShardEntry], output: tuple[Path, Path | None], bad: tuple[Path, Path | None]
    ) -> list[ShardEntry]:
        """The shards after the deletion. output, bad: paths before, and where the new content is."""
        labeled, rejected = _Cut(self.scans.get(output[0])), _Cut(self.scans.get(bad[0]))
        items, lines = _located(output[1]), _lines(bad[1])
        result = []
        for shard in shards:
            gone, bad_gone = labeled.next(shard.counts.labeled), rejected.next(shard.counts.bad)
            kept = list(islice(items, shard.counts.labeled - gone))
            left = list(islice(lines, shard.counts.bad - bad_gone))
            result.append(self._shard(shard, kept, left, gone + bad_gone) if gone + bad_gone else shard)
        return result

    def _shard(
        self, shard: ShardEntry, kept: Sequence[LocatedDialogue], left: Sequence[bytes], gone: int
    ) -> ShardEntry:
        name = self.work.settings.annotator
        labeled = [(item.dialogue, _annotation(item, name)) for item in kept]
        reasons = (msgspec.json.decode(line, type=Rejected).reason for line in left)
        hidden = LabelCounts(
            seen=shard.counts.forgotten + gone,
            forgotten=shard.counts.forgotten + gone,
            audio_turns=shard.counts.audio_turns,
            audio_errors=shard.counts.audio_errors,
            unseen_values=shard.counts.unseen_values,
            unknown_labels=shard.counts.unknown_labels,
            damaged=shard.counts.damaged,
        )
        return replace(
            shard,
            output_digest=sha256(b"".join(map(_line, kept))).hexdigest(),
            quarantine_digest=sha256(b"".join(left)).hexdigest() if left else None,
            counts=total([tally(labeled, reasons), hidden]),
        )


class _Cut:
    """Counts deleted records of consecutive ranges."""

    def __init__(self, scan: Scan | None) -> None:
        self._indices = iter(() if scan is None else scan.indices)
        self._next = next(self._indices, None)
        self._end = 0

    def next(self, count: int) -> int:
        """How many of the next `count` records are deleted."""
        self._end += count
        gone = 0
        while self._next is not None and self._next < self._end:
            gone += 1
            self._next = next(self._indices, None)
        return gone


def _of_changed_log(shards: Iterable[ShardEntry], log: _ChangedLog) -> list[ShardEntry]:
    """The shards as those of the changed log, which has no deleted records to leave out."""
    cut, start = _Cut(Scan(log.indices)), 0
    result = []
    for shard in shards:
        gone = cut.next(shard.records)
        forgotten = max(0, shard.counts.forgotten - gone)
        counts = replace(shard.counts, forgotten=forgotten, seen=shard.counts.labeled + shard.counts.bad + forgotten)
        result.append(replace(shard, start=start, records=shard.records - gone, file_digest=log.digest, counts=counts))
        start += shard.records - gone
    digests = digest_ranges(log.staged, [shard.records for shard in result])
    return [replace(shard, part_digest=digest) for shard, digest in zip(result, digests, strict=True)]


def _located(path: Path | None) -> Iterator[LocatedDialogue]:
    return (item for item in (() if path is None else read_located(path)) if isinstance(item, LocatedDialogue))


def _lines(path: Path | None) -> Iterator[bytes]:
    if path is not None:
        with path.open("rb") as file:
            yield from file


def _line(item: LocatedDialogue) -> bytes:
    return item.source if isinstance(item.source, bytes) else encode(item.dialogue) + b"\n"


def _annotation(item: LocatedDialogue, name: str) -> Annotation:
    return next(a for a in item.dialogue.annotations if (a.annotator, a.kind) == (name, "model"))
