"""The journal and the receipt of a deletion: all files change, or none.

New files are written beside the old ones first. Then the journal is renamed into place, beside the receipt: before that nothing
has changed, after it everything will, since a later call finishes what a kill interrupted. The journal lists each file with its digests
before and after, so a file that someone changed meanwhile is never replaced. Neither journal nor receipt holds an id."""

import glob
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

import msgspec

from labelgen.base.errors import IntegrityError
from labelgen.base.files import atomic_write, digest_file, read_json, replace_file, sweep, sync_folder, write_text
from labelgen.data.deletion import Subject
from labelgen.labeling.folder import LabelFolder
from labelgen.labeling.forgotten import new_salt, salted_hash

STAGED = ".deletion."
"""Prefix of the new content of a file until it takes the file's place."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileReceipt:
    """A changed file. records: deleted ones. Digests are SHA-256; None for a file that did not or does not exist."""

    path: str
    records: int
    digest_before: str | None
    digest_after: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelReceipt:
    """Whether a model was trained on deleted records: yes, no or unknown; and what to do.

    dialogues: deleted dialogues whose labels or feedback it learned. reason: what the answer rests on."""

    folder: str
    digest: str
    trained: str
    dialogues: int
    reason: str
    hint: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """Receipt of a deletion. user, dialogues: salted hashes (forgotten.py) of the ids. records: of all files.

    not_examined: files in the given folders that hold no records in a known form, and stay as they are."""

    time: str
    salt: str
    user: str | None
    dialogues: tuple[str, ...]
    records: int
    files: tuple[FileReceipt, ...]
    not_examined: tuple[str, ...] = ()
    models: tuple[ModelReceipt, ...] = ()

    def is_for(self, user: str | None, dialogues: Sequence[str]) -> bool:
        """Whether it is about these ids."""
        return self.user == _hashed(self.salt, user) and self.dialogues == _all_hashed(self.salt, dialogues)


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One file to replace by `staged`, or to delete if that is None. before, after: digests, None without a file."""

    path: str
    staged: str | None
    before: str | None
    after: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Journal:
    receipt: Receipt
    steps: tuple[Step, ...]
    folders: tuple[str, ...]


def apply_journal(journal: Path, receipt: Path) -> Receipt:
    """Carry out a journal; steps that are done already are passed over."""
    plan = read_json(journal, Journal, "remove the journal and give the labelgen data forget command again")
    for step in plan.steps:
        path = Path(step.path)
        now = digest_file(path) if path.exists() else None
        if now == step.after:
            if step.staged is not None:
                Path(step.staged).unlink(missing_ok=True)
            continue
        new = None if step.staged is None else Path(step.staged)
        if now != step.before or (new is not None and digest_file(new) != step.after):
            hint = f"remove {journal}, and give the labelgen data forget command again"
            raise IntegrityError(f"{path.name} changed during the deletion", str(path), hint)
        if new is None:
            path.unlink()
            sync_folder(path.parent)
        else:
            replace_file(new, path)
    sweep(receipt.parent, glob.escape(receipt.name))
    text = msgspec.json.format(msgspec.json.encode(plan.receipt), indent=1).decode() + "\n"
    write_text(receipt, text)
    for folder in plan.folders:
        LabelFolder(Path(folder)).deletion.unlink(missing_ok=True)
    journal.unlink()
    return plan.receipt


def write_journal(path: Path, receipt: Receipt, plan: "Plan") -> None:
    """Commit the plan: mark its folders of labels, then write the journal."""
    for folder in plan.folders:
        sweep(folder.out, folder.deletion.name)
        write_text(folder.deletion, str(path))
    sweep(path.parent, glob.escape(path.name))
    folders = tuple(str(folder.out) for folder in plan.folders)
    journal = Journal(receipt=receipt, steps=tuple(plan.steps), folders=folders)
    write_text(path, msgspec.json.encode(journal).decode())


class Plan:
    """Everything that a deletion will change; new content is staged beside the files."""

    def __init__(self, subject: Subject) -> None:
        self.subject = subject
        self.steps: list[Step] = []
        self.folders: list[LabelFolder] = []
        self.not_examined: list[str] = []
        self._records: dict[str, int] = {}

    @property
    def records(self) -> int:
        """Number of records that go, so far."""
        return sum(self._records.values())

    def replace(
        self, path: Path, write: Callable[[IO[bytes]], object], records: int, before: str | None
    ) -> tuple[Path, str]:
        """Stage new content of a file. records: how many go. before: its digest, None for a new file. Returns where the content lies, and
        its digest."""
        staged = path.with_name(STAGED + path.name)
        sweep(path.parent, glob.escape(staged.name))
        with atomic_write(staged) as file:
            write(file)
        if before is not None:
            staged.chmod(path.stat().st_mode & 0o7777)
        after = digest_file(staged)
        self._add(path, staged, before, after, records)
        return staged, after

    def put(self, path: Path, content: bytes, records: int = 0) -> None:
        """Stage new content of a file, which may be new."""
        before = digest_file(path) if path.exists() else None
        self.replace(path, lambda file: file.write(content), records, before)

    def delete(self, path: Path, records: int = 0) -> None:
        """Note a file that goes, if it exists."""
        if path.exists():
            self._add(path, None, digest_file(path), None, records)

    def _add(self, path: Path, staged: Path | None, before: str | None, after: str | None, records: int) -> None:
        self.steps.append(
            Step(path=str(path), staged=None if staged is None else str(staged), before=before, after=after)
        )
        self._records[str(path)] = records

    def discard(self) -> None:
        """Remove what was staged."""
        with suppress(OSError):
            for step in self.steps:
                if step.staged is not None:
                    Path(step.staged).unlink(missing_ok=True)
            for folder in self.folders:
                folder.deletion.unlink(missing_ok=True)

    def receipt(self, dialogues: tuple[str, ...], models: Sequence[ModelReceipt]) -> Receipt:
        salt = new_salt()
        files = tuple(
            FileReceipt(
                path=step.path, records=self._records[step.path], digest_before=step.before, digest_after=step.after
            )
            for step in self.steps
        )
        return Receipt(
            time=datetime.now(UTC).isoformat(timespec="seconds"),
            salt=salt,
            user=_hashed(salt, self.subject.user),
            dialogues=_all_hashed(salt, dialogues),
            records=sum(file.records for file in files),
            files=files,
            not_examined=tuple(self.not_examined),
            models=tuple(models),
        )


def _hashed(salt: str, user: str | None) -> str | None:
    return None if user is None else salted_hash(salt, "user", user)


def _all_hashed(salt: str, dialogues: Sequence[str]) -> tuple[str, ...]:
    return tuple(sorted({salted_hash(salt, "dialogue", identity) for identity in dialogues}))
