"""What of an earlier run in the same folder still stands.

Work stands where settings, input and output are, by their digests, those that it was done with. What does not stand is
refused, and with force forgotten and done again. Done again anyway is a part or an output that is just missing, and a file
that was damaged and is another now."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from labelgen.base.errors import IntegrityError
from labelgen.base.files import digest_file
from labelgen.labeling.folder import Folder
from labelgen.labeling.ledger import State, read_ledger
from labelgen.labeling.manifest import FileEntry, Settings, ShardEntry, read_manifest

_SHOWN = 10


def stands(folder: Folder, inputs: Mapping[str, Path], settings: Settings, force: bool) -> State:
    """What is done already. Raises IntegrityError, without force, where earlier work is of another kind."""
    try:
        earlier = _earlier(folder)
    except IntegrityError:
        if not force:
            raise
        return State(settings)
    if earlier is None:
        return State(settings)
    changed = earlier.settings.differences(settings)
    fallen = dict(_fallen(folder, inputs, earlier))
    faults = {path: fault for path, fault in fallen.items() if fault is not None}
    if changed and not force:
        raise _refused("the folder was labeled with other settings", folder, changed)
    if faults and not force:
        raise _refused("earlier work in the folder no longer stands", folder, list(faults.values()))
    kept = State(settings)
    for path in {*earlier.files, *earlier.shards}:
        if changed or path in faults:
            folder.forget(path)
    if not changed:
        for entry in earlier.entries():
            if entry.path not in fallen and _is_there(folder, entry):
                kept.add(entry)
    return kept


def _earlier(folder: Folder) -> State | None:
    if folder.ledger.exists():
        return read_ledger(folder.ledger)
    if not folder.manifest.exists():
        return None
    manifest = read_manifest(folder.manifest)
    return State(manifest.settings, {file.path: file for file in manifest.files})


def _fallen(folder: Folder, inputs: Mapping[str, Path], state: State) -> Iterator[tuple[str, str | None]]:
    """Paths whose work does not stand, each with what is wrong; None where a damaged file has given way to another."""
    for path in sorted({*state.files, *state.shards}):
        entry = state.files.get(path)
        digests = {e.input_digest if isinstance(e, FileEntry) else e.file_digest for e in _entries(state, path)}
        if path not in inputs:
            yield path, f"{path} is gone from the input"
        elif digests != {digest_file(inputs[path])}:
            damaged = any(path in e.sums.damaged for e in _entries(state, path))
            yield path, None if damaged else f"{path} of the input has changed since"
        elif entry is not None and (bad := _spoilt(folder, entry)) is not None:
            yield path, f"{bad} is not the file that was written"


def _entries(state: State, path: str) -> list[ShardEntry | FileEntry]:
    file = state.files.get(path)
    return [*([file] if file else []), *state.shards.get(path, {}).values()]


def _spoilt(folder: Folder, entry: FileEntry) -> str | None:
    for path, digest in (
        (folder.output(entry.path), entry.output_digest),
        (folder.quarantine(entry.path), entry.quarantine_digest),
    ):
        if digest is not None and path.exists() and digest_file(path) != digest:
            return path.name
    return None


def _is_there(folder: Folder, entry: ShardEntry | FileEntry) -> bool:
    if isinstance(entry, FileEntry):
        return folder.output(entry.path).exists() and (
            entry.quarantine_digest is None or folder.quarantine(entry.path).exists()
        )
    # Parts are ours alone; one that is damaged is simply made again.
    part, quarantine = folder.part(entry.path, entry.index), folder.part_quarantine(entry.path, entry.index)
    if not part.exists() or digest_file(part) != entry.output_digest:
        return False
    if entry.quarantine_digest is None:
        return not quarantine.exists()
    return quarantine.exists() and digest_file(quarantine) == entry.quarantine_digest


def _refused(what: str, folder: Folder, why: list[str]) -> IntegrityError:
    more = f" and {len(why) - _SHOWN} more" if len(why) > _SHOWN else ""
    return IntegrityError(
        f"{what}: {'; '.join(why[:_SHOWN])}{more}",
        str(folder.out),
        "name another output folder, or give --force to replace what no longer stands",
    )
