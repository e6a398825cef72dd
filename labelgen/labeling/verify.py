"""Verification of a folder of labels against its manifest, its input, and a sample that is labeled again."""

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
from labelgen.data.log import RECORD_SUFFIXES, read_file
from labelgen.data.record import LocatedDialogue, Rejected, decode, encode
from labelgen.data.redact import redact_dialogue
from labelgen.data.split import position
from labelgen.labeling.folder import MANIFEST, LabelFolder, input_files
from labelgen.labeling.manifest import (
    REDACT,
    FileEntry,
    LabelCounts,
    Manifest,
    Settings,
    inconsistencies,
    read_manifest,
    tally,
    total,
)
from labelgen.labeling.ranges import read_range, split_file
from labelgen.labeling.shard import DialogueAnnotator, add_annotations, audio_root, read_dialogues, without_annotator

Track = Callable[[Iterable[str]], Iterator[str]]

_BATCH = 256


@dataclass(frozen=True, slots=True)
class RelabelSample:
    """Records that are labeled again, drawn by a seed. load: loads the annotator for the settings of the manifest."""

    records: int
    seed: int
    load: Callable[[Settings], DialogueAnnotator]


def verify(
    out: Path,
    source: Path | None = None,
    track: Track = iter,
    manifest_digest: str | None = None,
    sample: RelabelSample | None = None,
) -> Iterator[str]:
    """Verify a folder of labels; yields every fault in words, nothing for a good folder.

    Always checked: digests; counts, against the manifest and the records; that each record is the one that was read (by the digest in
    its provenance) and was labeled by this model; duplicate ids in the whole log; files that no manifest lists. With `source`:
    its digests, and that its dialogues are in the output, in order, or in the quarantine. With `manifest_digest`: the manifest. With
    `sample`: that labeling these records again gives the same bytes.

    track: wraps the paths to show progress. Raises UsageError if the folder has no labels, or a sample cannot be labeled again
    here; IntegrityError if the manifest cannot be read."""
    folder = LabelFolder(out)
    if folder.ledger.exists():
        yield "the run is not finished: give the same labelgen label command again"
        return
    if not folder.manifest.exists():
        raise UsageError(f"{out} holds no labeled log", str(folder.manifest), "name a folder that labelgen label wrote")
    if manifest_digest is not None and (digest := digest_file(folder.manifest)) != manifest_digest.lower():
        yield f"{MANIFEST} does not have the digest {manifest_digest}: its digest is {digest}"
    manifest = read_manifest(folder.manifest)
    yield from inconsistencies(manifest)
    hashes = array("Q")
    good: list[FileEntry] = []
    entries = {file.path: file for file in manifest.files}
    for path in track(entries):
        faults = list(_check_file(folder, manifest, entries[path], hashes))
        yield from faults
        if not faults:
            good.append(entries[path])
    yield from _duplicate_ids(folder, good, hashes)
    yield from _unlisted_files(folder, manifest)
    inputs = None if source is None else input_files(source)
    if inputs is not None:
        yield from _compare_input(folder, manifest, inputs, good, track)
    if sample is not None:
        yield from _relabel(folder, manifest, inputs, good, sample)


def _relabel(
    folder: LabelFolder,
    manifest: Manifest,
    inputs: Mapping[str, Path] | None,
    files: Iterable[FileEntry],
    sample: RelabelSample,
) -> Iterator[str]:
    """Label a sample of the records of `files` again, from the input if given, else from the output."""
    settings, counts = manifest.settings, manifest.counts
    redact = REDACT in settings.options
    if inputs is None and (redact or counts.audio_turns or counts.audio_errors):
        what = "the output has masked text" if redact else "audio was read from beside the input"
        raise UsageError(f"records cannot be labeled again from the output: {what}", "--sample", "give --input too")
    drawn = _draw(folder, files, sample)
    annotator = sample.load(settings)
    if differences := settings.differences(replace(settings, annotator=annotator.name, model=annotator.provenance)):
        raise UsageError(
            f"labels would differ here: {'; '.join(differences)}",
            "--model",
            "give the model that labeled, its --labels, and a machine of the same kind",
        )
    for path, written in drawn.items():
        source = None if inputs is None else inputs.get(path)
        originals = written if inputs is None else _originals(source, set(written))
        root = None if source is None else audio_root(source)
        for identity, dialogue in written.items():
            if identity not in originals:
                yield f"{path}, dialogue {identity}: it is not in the input"
                continue
            ((whole, _),) = add_annotations([originals[identity]], annotator, root, redact)
            # Labels read from a file may have another order than labels made in memory.
            again = decode(encode(whole), path)
            if not isinstance(again, Dialogue) or encode(again) != encode(dialogue):
                yield f"{path}, dialogue {identity}: its labels differ when it is labeled again"


def _draw(folder: LabelFolder, files: Iterable[FileEntry], sample: RelabelSample) -> dict[str, dict[str, Dialogue]]:
    """File -> id -> labeled dialogue, for the dialogues that come first by the seed."""
    every = (
        (position(sample.seed, f"{file.path} {item.id}"), file.path, item.id, item)
        for file in files
        for item in read_dialogues({file.path: folder.output(file.path)})
    )
    drawn: dict[str, dict[str, Dialogue]] = {}
    for _, path, identity, item in heapq.nsmallest(sample.records, every, key=lambda one: one[:3]):
        drawn.setdefault(path, {})[identity] = item
    return drawn


def _originals(source: Path | None, ids: Set[str]) -> dict[str, Dialogue]:
    """The first dialogue of each id in an input file."""
    first: dict[str, Dialogue] = {}
    for item in () if source is None else read_dialogues({source.name: source}):
        if item.id in ids:
            first.setdefault(item.id, item)
    return first


def _check_file(folder: LabelFolder, manifest: Manifest, entry: FileEntry, hashes: "array[int]") -> Iterator[str]:
    settings = manifest.settings
    output, quarantine = folder.output(entry.path), folder.quarantine(entry.path)
    for path, digest in ((output, entry.output_digest), (quarantine, entry.quarantine_digest)):
        if fault := _check_digest(path, digest):
            yield f"{path.relative_to(folder.out).as_posix()} {fault}"
            return
    labeled: list[tuple[Dialogue, Annotation]] = []
    parts = []
    for item in read_file(output, entry.path):
        if isinstance(item, Rejected):
            yield f"{item.where()}: {item.reason}"
            return
        annotation = next((a for a in item.annotations if (a.annotator, a.kind) == (settings.annotator, "model")), None)
        fault = _check_record(item, annotation, settings)
        if fault is not None or annotation is None:
            yield f"{entry.path}, dialogue {item.id}: {fault}"
            return
        hashes.append(short_digest(item.id))
        labeled.append((item, annotation))
        if len(labeled) == _BATCH:
            parts.append(tally(labeled, ()))
            labeled = []
    reasons = _reasons(quarantine) if entry.quarantine_digest is not None else []
    # The records do not show these counts, so they are taken from the manifest.
    hidden = LabelCounts(
        audio_turns=entry.counts.audio_turns,
        audio_errors=entry.counts.audio_errors,
        unseen_values=entry.counts.unseen_values,
        unknown_labels=entry.counts.unknown_labels,
        damaged=entry.counts.damaged,
    )
    if total([*parts, tally(labeled, reasons), hidden]) != entry.counts:
        yield f"{entry.path}: the counts of its records are not those of the manifest"


def _check_digest(path: Path, digest: str | None) -> str | None:
    """digest: by the manifest, None if the file must not exist."""
    if not path.exists():
        return "is missing" if digest is not None else None
    if digest is None:
        return "is not in the manifest"
    return "changed after it was written" if digest_file(path) != digest else None


def _check_record(dialogue: Dialogue, annotation: Annotation | None, settings: Settings) -> str | None:
    if annotation is None:
        return f"no annotation by {settings.annotator}"
    provenance = annotation.provenance
    if provenance is None or provenance.model_digest != settings.model.model_digest:
        return "its labels are not by the model of the manifest"
    if provenance.input_digest != digest_bytes(encode(without_annotator(dialogue, settings.annotator))):
        return "it is not the dialogue that was labeled"
    return None


def _reasons(quarantine: Path) -> list[str]:
    with quarantine.open("rb") as lines:
        return [msgspec.json.decode(line, type=Rejected).reason for line in lines]


def _duplicate_ids(folder: LabelFolder, files: Iterable[FileEntry], hashes: "array[int]") -> Iterator[str]:
    """Duplicate ids. Memory holds eight bytes for each id; a second pass compares ids with equal hashes."""
    ordered = np.sort(np.frombuffer(hashes, dtype=np.uint64))
    twice = set(ordered[1:][ordered[1:] == ordered[:-1]].tolist())
    if not twice:
        return
    first: dict[str, str] = {}
    for file in files:
        for item in read_dialogues({file.path: folder.output(file.path)}):
            if short_digest(item.id) in twice:
                if item.id in first:
                    yield f"doubled_id: dialogue {item.id} of {file.path} is in {first[item.id]} too"
                first.setdefault(item.id, file.path)


def _unlisted_files(folder: LabelFolder, manifest: Manifest) -> Iterator[str]:
    listed = {folder.manifest}
    for file in manifest.files:
        listed |= {folder.output(file.path), folder.quarantine(file.path)}
    for path in sorted(folder.out.rglob("*")):
        if path.is_file() and path.name.startswith(".") and path.name.endswith(".part"):
            yield f"{path.relative_to(folder.out).as_posix()} is an unfinished temporary file; it can be deleted"
        elif path.is_file() and path.name.endswith(RECORD_SUFFIXES) and path not in listed:
            yield f"{path.relative_to(folder.out).as_posix()} is not in the manifest"


def _compare_input(
    folder: LabelFolder, manifest: Manifest, inputs: Mapping[str, Path], good: Iterable[FileEntry], track: Track
) -> Iterator[str]:
    entries = {file.path: file for file in manifest.files}
    for path in sorted({*inputs, *entries}):
        if path not in entries:
            yield f"{path} of the input is not labeled"
        elif path not in inputs:
            yield f"{path} is no longer in the input"
    for path in track([file.path for file in good if file.path in inputs]):
        if digest_file(inputs[path]) != entries[path].input_digest:
            yield f"{path} of the input changed after it was labeled"
        elif not _in_order(folder.output(path), inputs[path], manifest.settings, entries[path]):
            yield f"{path}: dialogues of the input are missing or out of order"


def _in_order(output: Path, source: Path, settings: Settings, entry: FileEntry) -> bool:
    """Whether the output is the input in the same order, without as many records as were quarantined."""

    def as_written(item: Dialogue) -> bytes:
        bare = without_annotator(item, settings.annotator)
        return encode(redact_dialogue(bare) if REDACT in settings.options else bare)

    outputs = map(as_written, read_dialogues({entry.path: output}))
    expected = next(outputs, None)
    skipped = 0
    for records in split_file(source, 4096):
        for item in read_range(source, entry.path, records, sha256()):
            if isinstance(item, LocatedDialogue) and expected == as_written(item.dialogue):
                expected = next(outputs, None)
            else:
                skipped += 1
    return expected is None and skipped == entry.counts.bad
