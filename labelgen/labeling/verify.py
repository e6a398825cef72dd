"""Verification of a folder of labels against its manifest, its input, and a sample that is labeled again."""

from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache, partial
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
import numpy as np

from labelgen.base.errors import UsageError
from labelgen.base.files import digest_file, short_digest
from labelgen.data.dialogue import Dialogue
from labelgen.data.labels import Annotation
from labelgen.data.log import RECORD_SUFFIXES, read_file
from labelgen.data.record import LocatedDialogue, Rejected, encode
from labelgen.data.redact import redact_dialogue
from labelgen.data.split import position
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
from labelgen.labeling.run import MANIFEST, LabelFolder, input_files
from labelgen.labeling.shard import (
    DialogueAnnotator,
    Shard,
    label_shard,
    read_dialogues,
    read_range,
    split_file,
    without_annotator,
)

Track = Callable[[Iterable[str]], Iterator[str]]

_BATCH = 256


@dataclass(frozen=True, slots=True)
class RelabelSample:
    """Shards that are labeled again, drawn by a seed. load: loads the annotator for the settings of the manifest."""

    shards: int
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

    Always checked: digests; counts, against the manifest and the records; that each record was labeled by this model; duplicate ids in
    the whole log; files that no manifest lists. With `source`: its digests, and that its dialogues are in the output, in order, or in the
    quarantine. With `manifest_digest`: the manifest. With `sample`, which needs `source`: that labeling these shards again gives the same
    bytes.

    track: wraps the paths to show progress. Raises UsageError if the folder has no labels, or a sample cannot be labeled again
    here; IntegrityError if the manifest cannot be read."""
    folder = LabelFolder(out)
    if folder.is_unfinished():
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
    if sample is not None and inputs is not None:
        same = [file for file in good if file.path in inputs and digest_file(inputs[file.path]) == file.input_digest]
        yield from _relabel(folder, manifest, inputs, same, sample)


def _relabel(
    folder: LabelFolder,
    manifest: Manifest,
    inputs: Mapping[str, Path],
    files: Iterable[FileEntry],
    sample: RelabelSample,
) -> Iterator[str]:
    """Label a sample of the shards of `files` again."""
    settings = manifest.settings
    annotator = sample.load(settings)
    if differences := settings.differences(replace(settings, annotator=annotator.name, model=annotator.provenance)):
        raise UsageError(
            f"labels would differ here: {'; '.join(differences)}",
            "--model",
            "give the model that labeled, its --labels, and a machine of the same kind",
        )
    shards = [(file, shard) for file in files for shard in file.shards]
    shards.sort(key=lambda pair: position(sample.seed, f"{pair[1].path} {pair[1].index}"))
    split = cache(partial(split_file, size=settings.shard_dialogues))
    for file, written in shards[: sample.shards]:
        source = inputs[written.path]
        first = sum(shard.counts.labeled for shard in file.shards[: written.index])
        kept = islice(read_dialogues({file.path: folder.output(file.path)}), first, first + written.counts.labeled)
        labeled = [encode(record) for record in kept]
        with TemporaryDirectory() as scratch:
            shard = Shard(
                source=source,
                path=written.path,
                index=written.index,
                records=split(source)[written.index],
                file_digest=file.input_digest,
                output=Path(scratch) / "part.jsonl",
                quarantine=Path(scratch) / "quarantine.jsonl",
                damaged=split(source)[-1].damage is not None,
                redact=REDACT in settings.options,
            )
            entry = label_shard(shard, annotator)
            if entry != written or [encode(one) for one in read_dialogues({file.path: shard.output})] != labeled:
                yield f"{written.path}, shard {written.index}: its labels differ when it is labeled again"


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

    redact = REDACT in settings.options

    def as_labeled(dialogue: Dialogue) -> tuple[str | None, bytes]:
        annotation = next(a for a in dialogue.annotations if (a.annotator, a.kind) == (settings.annotator, "model"))
        digest = None if annotation.provenance is None else annotation.provenance.input_digest
        return digest, encode(without_annotator(dialogue, settings.annotator))

    def as_read(item: LocatedDialogue) -> tuple[str | None, bytes]:
        bare = without_annotator(item.dialogue, settings.annotator)
        return (None, encode(redact_dialogue(bare))) if redact else (item.digest, encode(bare))

    outputs = map(as_labeled, read_dialogues({entry.path: output}))
    expected = next(outputs, None)
    skipped = 0
    for records in split_file(source, 4096):
        for item in read_range(source, entry.path, records):
            if isinstance(item, LocatedDialogue) and expected == as_read(item):
                expected = next(outputs, None)
            else:
                skipped += 1
    return expected is None and skipped == entry.counts.bad
