"""Whether a folder of labeled records is what its manifest says, and, beside the input, whether all of it is there."""

import heapq
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path

import msgspec
import numpy as np

from labelgen.base.errors import UsageError
from labelgen.base.files import digest_bytes, digest_file, short_digest
from labelgen.data.dialogue import Dialogue
from labelgen.data.labels import Annotation
from labelgen.data.own import SUFFIXES, read_file
from labelgen.data.placed import Placed
from labelgen.data.quarantine import Rejected
from labelgen.data.record import decode, encode
from labelgen.data.redact import redacted
from labelgen.data.split import position
from labelgen.labeling.counts import tally, total, with_untold
from labelgen.labeling.cut import cut, read_cut
from labelgen.labeling.folder import MANIFEST, Folder, input_files
from labelgen.labeling.manifest import REDACT, FileEntry, Manifest, Settings, read_manifest, unbalanced
from labelgen.labeling.shard import Annotates, annotated, sound_root, without

Track = Callable[[Iterable[str]], Iterator[str]]


@dataclass(frozen=True, slots=True)
class Sample:
    """Records to be labeled again, drawn by a seed. load: makes the annotator from the settings that the manifest names."""

    records: int
    seed: int
    load: Callable[[Settings], Annotates]


def verify(
    out: Path,
    source: Path | None = None,
    track: Track = iter,
    manifest_digest: str | None = None,
    sample: Sample | None = None,
) -> Iterator[str]:
    """Everything that is wrong, in words; nothing for a good folder. `track` is passed the paths, to show progress.

    Checked: digests, sums against the manifest and against the records themselves, that each record is the one that was
    read (by the digest in its provenance) and was labeled by this model, ids that stand twice in the whole log, files
    that no manifest names; beside the input: digests, and that its dialogues stand here in their order, or in the
    quarantine; the manifest against a digest that was kept elsewhere; and that a sample of the records comes out the same, byte by
    byte, when it is labeled again. Raises UsageError where nothing was labeled, or a sample cannot be labeled again here,
    IntegrityError where the manifest cannot be read."""
    folder = Folder(out)
    if folder.ledger.exists():
        yield "the run is not finished: give the same labelgen label command again"
        return
    if not folder.manifest.exists():
        raise UsageError(f"{out} holds no labeled log", str(folder.manifest), "name a folder that labelgen label wrote")
    if manifest_digest is not None and (found := digest_file(folder.manifest)) != manifest_digest.lower():
        yield f"{MANIFEST} is not the one with the digest {manifest_digest}: its digest is {found}"
    manifest = read_manifest(folder.manifest)
    yield from unbalanced(manifest)
    hashes = array("Q")
    whole: list[FileEntry] = []
    entries = {file.path: file for file in manifest.files}
    for path in track(entries):
        faults = list(_file(folder, manifest.settings, entries[path], hashes))
        yield from faults
        if not faults:
            whole.append(entries[path])
    yield from _doubles(folder, whole, hashes)
    yield from _strays(folder, manifest)
    inputs = None if source is None else input_files(source)
    if inputs is not None:
        yield from _beside(folder, manifest, inputs, whole, track)
    if sample is not None:
        yield from _again(folder, manifest, inputs, whole, sample)


def _again(
    folder: Folder, manifest: Manifest, inputs: Mapping[str, Path] | None, files: Iterable[FileEntry], sample: Sample
) -> Iterator[str]:
    """Label a sample of the records of `files` again: from the input where there is one, else from what was written."""
    settings, sums = manifest.settings, manifest.sums
    redact = REDACT in settings.options
    if inputs is None and (redact or sums.heard or sums.unheard):
        what = "texts were masked as they were written" if redact else "sound was read beside the input"
        raise UsageError(f"records cannot be labeled again from the output: {what}", "--sample", "give --input too")
    drawn = _draw(folder, files, sample)
    annotator = sample.load(settings)
    if differences := settings.differences(replace(settings, annotator=annotator.name, model=annotator.provenance)):
        raise UsageError(
            f"labels made here would be others: {'; '.join(differences)}",
            "--model",
            "give the model that labeled, its --labels, and a machine of the same kind",
        )
    for path, written in drawn.items():
        given = written if inputs is None else _given(inputs.get(path), set(written))
        root = None if inputs is None or path not in inputs else sound_root(inputs[path])
        for identity, dialogue in written.items():
            if identity not in given:
                yield f"{path}, dialogue {identity}: it is not in the input"
                continue
            ((whole, _),) = annotated([given[identity]], annotator, root, redact)
            # What is read from a file may hold its labels in another order than what was made in memory.
            made = decode(encode(whole), path)
            if not isinstance(made, Dialogue) or encode(made) != encode(dialogue):
                yield f"{path}, dialogue {identity}: labeled again it has other labels"


def _draw(folder: Folder, files: Iterable[FileEntry], sample: Sample) -> dict[str, dict[str, Dialogue]]:
    """File -> id -> labeled dialogue, of those whose place by the seed is first."""
    every = (
        (position(sample.seed, f"{file.path} {item.id}"), file.path, item.id, item)
        for file in files
        for item in read_file(folder.output(file.path), file.path)
        if isinstance(item, Dialogue)
    )
    drawn: dict[str, dict[str, Dialogue]] = {}
    for _, path, identity, item in heapq.nsmallest(sample.records, every, key=lambda one: one[:3]):
        drawn.setdefault(path, {})[identity] = item
    return drawn


def _given(source: Path | None, ids: Set[str]) -> dict[str, Dialogue]:
    """The first dialogue of each id in an input file."""
    found: dict[str, Dialogue] = {}
    for item in () if source is None else read_file(source):
        if isinstance(item, Dialogue) and item.id in ids:
            found.setdefault(item.id, item)
    return found


def _file(folder: Folder, settings: Settings, entry: FileEntry, hashes: "array[int]") -> Iterator[str]:
    output, quarantine = folder.output(entry.path), folder.quarantine(entry.path)
    for path, digest in ((output, entry.output_digest), (quarantine, entry.quarantine_digest)):
        if fault := _bytes(path, digest):
            yield f"{path.relative_to(folder.out).as_posix()} {fault}"
            return
    labeled: list[tuple[Dialogue, Annotation]] = []
    sums = []
    for item in read_file(output, entry.path):
        if isinstance(item, Rejected):
            yield f"{item.where()}: {item.reason}"
            return
        annotation = next((a for a in item.annotations if (a.annotator, a.kind) == (settings.annotator, "model")), None)
        fault = _record(item, annotation, settings)
        if fault is not None or annotation is None:
            yield f"{entry.path}, dialogue {item.id}: {fault}"
            return
        hashes.append(short_digest(item.id))
        labeled.append((item, annotation))
        if len(labeled) == 256:
            sums.append(tally(labeled, ()))
            labeled = []
    reasons = _reasons(quarantine) if entry.quarantine_digest is not None else []
    counted = total([*sums, tally(labeled, reasons)])
    told = entry.sums
    if with_untold(counted, told.heard, told.unheard, told.unseen, told.unknown, told.damaged) != told:
        yield f"{entry.path}: the sums of its records are not those of the manifest"


def _bytes(path: Path, digest: str | None) -> str | None:
    """digest: what the manifest says, None where there is no such file."""
    if not path.exists():
        return "is missing" if digest is not None else None
    if digest is None:
        return "is not in the manifest"
    return "is not the file that was written" if digest_file(path) != digest else None


def _record(dialogue: Dialogue, annotation: Annotation | None, settings: Settings) -> str | None:
    if annotation is None:
        return f"no annotation by {settings.annotator}"
    provenance = annotation.provenance
    if provenance is None or provenance.model_digest != settings.model.model_digest:
        return "its labels are not by the model of the manifest"
    if provenance.input_digest != digest_bytes(encode(without(dialogue, settings.annotator))):
        return "it is not the dialogue that was labeled"
    return None


def _reasons(quarantine: Path) -> list[str]:
    with quarantine.open("rb") as lines:
        return [msgspec.json.decode(line, type=Rejected).reason for line in lines]


def _doubles(folder: Folder, files: Iterable[FileEntry], hashes: "array[int]") -> Iterator[str]:
    """Ids that stand twice. Eight bytes an id are kept; a second pass names those whose eight bytes are equal."""
    ordered = np.sort(np.frombuffer(hashes, dtype=np.uint64))
    twice = set(ordered[1:][ordered[1:] == ordered[:-1]].tolist())
    if not twice:
        return
    first: dict[str, str] = {}
    for file in files:
        for item in read_file(folder.output(file.path), file.path):
            if isinstance(item, Dialogue) and short_digest(item.id) in twice:
                if item.id in first:
                    yield f"doubled_id: dialogue {item.id} of {file.path} stands in {first[item.id]} too"
                first.setdefault(item.id, file.path)


def _strays(folder: Folder, manifest: Manifest) -> Iterator[str]:
    known = {folder.manifest}
    for file in manifest.files:
        known |= {folder.output(file.path), folder.quarantine(file.path)}
    for path in sorted(folder.out.rglob("*")):
        if path.is_file() and path.name.startswith(".") and path.name.endswith(".part"):
            yield f"{path.relative_to(folder.out).as_posix()} is an unfinished temporary file, which can be deleted"
        elif path.is_file() and path.name.endswith(SUFFIXES) and path not in known:
            yield f"{path.relative_to(folder.out).as_posix()} is not in the manifest"


def _beside(
    folder: Folder, manifest: Manifest, inputs: Mapping[str, Path], whole: Iterable[FileEntry], track: Track
) -> Iterator[str]:
    entries = {file.path: file for file in manifest.files}
    for path in sorted({*inputs, *entries}):
        if path not in entries:
            yield f"{path} of the input is not labeled"
        elif path not in inputs:
            yield f"{path} is gone from the input"
    for path in track([file.path for file in whole if file.path in inputs]):
        if digest_file(inputs[path]) != entries[path].input_digest:
            yield f"{path} of the input is not the file that was labeled"
        elif not _in_order(folder.output(path), inputs[path], manifest.settings, entries[path]):
            yield f"{path}: dialogues of the input are missing or out of order"


def _in_order(output: Path, source: Path, settings: Settings, entry: FileEntry) -> bool:
    """Whether the output is the input without as many records as were quarantined, in the same order."""

    def written(item: Dialogue) -> bytes:
        bare = without(item, settings.annotator)
        return encode(redacted(bare) if REDACT in settings.options else bare)

    found = (written(item) for item in read_file(output) if isinstance(item, Dialogue))
    wanted = next(found, None)
    skipped = 0
    for piece in cut(source, 4096):
        for item in read_cut(source, entry.path, piece, sha256()):
            if isinstance(item, Placed) and wanted == written(item.dialogue):
                wanted = next(found, None)
            else:
                skipped += 1
    return wanted is None and skipped == entry.sums.bad
