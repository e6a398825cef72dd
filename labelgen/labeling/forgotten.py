"""Whose records were deleted from a folder of labels: salted hashes of ids, by which a later run leaves the records out.

The hashes hide ids from those who cannot guess them; a short number or a known address can be guessed and compared."""

import secrets
from collections.abc import Iterable
from dataclasses import dataclass, replace
from hashlib import blake2b
from pathlib import Path

from labelgen.base.files import read_json
from labelgen.data.deletion import owners
from labelgen.data.record import LocatedDialogue, Rejected

FORGOTTEN = "forgotten.json"

_DAMAGED_HINT = "restore the file from a backup, or give the labelgen data forget command again after you removed it"


def salted_hash(salt: str, kind: str, identity: str) -> str:
    """Hash of an id in hexadecimal. kind: `user` or `dialogue`, so that equal ids of both differ."""
    return blake2b(
        f"{kind}\0{identity}".encode("utf-8", "surrogatepass"), key=bytes.fromhex(salt), digest_size=16
    ).hexdigest()


def new_salt() -> str:
    """A random salt in hexadecimal."""
    return secrets.token_hex(16)


def receipt_of(journal: Path) -> Path:
    """The receipt whose journal this is."""
    return journal.with_name(journal.name.removeprefix(".").removesuffix(".journal"))


def journal_of(receipt: Path) -> Path:
    """The journal of the deletion that ends with this receipt."""
    return receipt.with_name(f".{receipt.name}.journal")


@dataclass(frozen=True, slots=True, kw_only=True)
class Forgotten:
    """users, dialogues: hashes of the ids. records: how many records and rejected records were deleted from the folder so far."""

    salt: str
    users: tuple[str, ...] = ()
    dialogues: tuple[str, ...] = ()
    records: int = 0

    def holds(self, user: str | None, identity: str | None) -> bool:
        """Whether records of this user, or the dialogue of this id, were deleted."""
        if self.users and user is not None and salted_hash(self.salt, "user", user) in self.users:
            return True
        return (
            bool(self.dialogues)
            and identity is not None
            and salted_hash(self.salt, "dialogue", identity) in self.dialogues
        )

    def covers(self, item: LocatedDialogue | Rejected) -> bool:
        """Whether this is a record of theirs; a rejected one by what can be read of it."""
        if isinstance(item, LocatedDialogue):
            return self.holds(item.dialogue.user, item.dialogue.id)
        return any(self.holds(user, identity) for user, identity in owners(item))

    def joined(self, user: str | None, dialogues: Iterable[str], records: int) -> "Forgotten":
        """With these ids too, and so many more deleted records."""
        users = set(self.users)
        if user is not None:
            users.add(salted_hash(self.salt, "user", user))
        hashes = {*self.dialogues, *(salted_hash(self.salt, "dialogue", one) for one in dialogues)}
        return replace(
            self, users=tuple(sorted(users)), dialogues=tuple(sorted(hashes)), records=self.records + records
        )

    def text(self) -> str:
        """One line for people."""
        counts = f"hashes of {len(self.users):,} users and {len(self.dialogues):,} dialogues are kept"
        return f"labelgen data forget deleted {self.records:,} records here; {counts}"


def read_forgotten(path: Path) -> Forgotten | None:
    """None if nothing was deleted. Raises IntegrityError if the file is damaged."""
    return read_json(path, Forgotten, _DAMAGED_HINT) if path.exists() else None
