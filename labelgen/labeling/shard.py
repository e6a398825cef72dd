"""Labeling of one shard, the one function that every engine calls, and of one stream.

A record is quarantined if the model has no label set for its source, if another annotator's labels use the model's name, or if its
list of available domains is invalid. A log with no other records is refused before work starts.

Split an input file into ranges of records, and read one range.

Splitting finds record borders without parsing records, so that one process can split for many workers. A compressed file is
unpacked from its start for each range; the cost is small compared with labeling.
"""

import dataclasses
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import IO, Protocol

import msgspec
from msgspec.structs import replace

from labelgen.base.errors import StorageError, UsageError
from labelgen.base.files import DamagedError, atomic_write, decompressed, is_remote, keep_private, privacy
from labelgen.base.process import release_memory
from labelgen.data.dialogue import Dialogue
from labelgen.data.label_sets import Refusal, bad_domains
from labelgen.data.labels import Annotation, Provenance
from labelgen.data.log import Log, damage_reason, read_file
from labelgen.data.reader import strip_byte_order_mark
from labelgen.data.record import LocatedDialogue, Rejected, decode, encode, locate
from labelgen.data.redact import redact_dialogue, redact_rejected
from labelgen.data.tables import count_rows, read_rows
from labelgen.labeling.manifest import LabelCounts, ShardEntry, tally, total


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordRange:
    """Consecutive records of one file.

    start: index of the first record, from 0. line: number of its line or row, from 1. offset: its first byte in the
    unpacked file. damage: why the file cannot be read from here to its end; such a range counts as one rejected record, because
    the true number is unknown."""

    start: int
    count: int
    line: int
    offset: int = 0
    damage: str | None = None


def split_file(path: Path, size: int) -> tuple[RecordRange, ...]:
    """Ranges of at most `size` records, in order; none for an empty file. The last range of a damaged file carries the damage.

    Raises StorageError if the file cannot be read."""
    with _storage(path):
        return _split_rows(path, size) if path.suffix == ".parquet" else _split_lines(path, size)


def read_range(path: Path, name: str, records: RecordRange) -> Iterator[LocatedDialogue | Rejected]:
    """Read the records of one range, in order. name: the file's name in rejected records."""
    if records.damage is not None:
        yield Rejected(file=name, reason=records.damage)
        return
    with _storage(path):
        if path.suffix == ".parquet":
            yield from read_rows(path, name, records.start, records.start + records.count)
        else:
            yield from _read_lines(path, name, records)


def _split_lines(path: Path, size: int) -> tuple[RecordRange, ...]:
    borders: list[tuple[int, int]] = []
    count = offset = number = 0
    damage: DamagedError | None = None
    with decompressed(path) as file:
        try:
            for number, line in enumerate(file, 1):
                if line.strip():
                    if count % size == 0:
                        borders.append((number, offset))
                    count += 1
                offset += len(line)
        except DamagedError as error:
            damage = error
    ranges = [
        RecordRange(start=k * size, count=min(size, count - k * size), line=line, offset=offset)
        for k, (line, offset) in enumerate(borders)
    ]
    if damage is not None:
        ranges.append(RecordRange(start=count, count=1, line=number + 1, damage=damage_reason(number, damage)))
    return tuple(ranges)


def _read_lines(path: Path, name: str, records: RecordRange) -> Iterator[LocatedDialogue | Rejected]:
    with decompressed(path) as file:
        _skip(file, records.offset)
        left = records.count
        for number, line in enumerate(file, records.line):
            if line.strip():
                text = strip_byte_order_mark(line, number)
                yield locate(decode(text, name, number), name, number, text)
                left -= 1
            if left == 0:
                return


def _split_rows(path: Path, size: int) -> tuple[RecordRange, ...]:
    rows = count_rows(path)
    if isinstance(rows, str):
        return (RecordRange(start=0, count=1, line=1, damage=rows),)
    return tuple(
        RecordRange(start=start, count=min(size, rows - start), line=start + 1) for start in range(0, rows, size)
    )


def _skip(file: IO[bytes], offset: int) -> None:
    if file.seekable():
        file.seek(offset)
        return
    while offset:
        offset -= len(file.read(min(offset, 1 << 20)))


@contextmanager
def _storage(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, DamagedError) as error:
        raise StorageError(f"cannot read {path.name}: {error}", str(path), "check that the file is whole") from error


_STREAM_BATCH = 256


class DialogueAnnotator(Protocol):
    """A loaded model. Its annotations are a function of the model and the dialogues of one call.

    name: annotator name in the output. audio_turns, audio_errors: number of turns so far whose audio was read, and whose audio could not be
    read, by reason."""

    @property
    def name(self) -> str: ...

    @property
    def provenance(self) -> Provenance: ...

    @property
    def audio_turns(self) -> int: ...

    @property
    def audio_errors(self) -> Mapping[str, int]: ...

    def refuses(self, source: str | None) -> UsageError | None:
        """Reason why records of this source cannot be labeled; None if they can."""
        ...

    def out_of_vocabulary(self, dialogues: Iterable[Dialogue]) -> tuple[Mapping[str, int], Mapping[str, int]]:
        """Number of turns with a value that is not in the training data, by feature, and number of other annotators' labels with a
        name that the model cannot output, by task."""
        ...

    def annotate(self, dialogues: Sequence[Dialogue], *, root: Path | None = None) -> list[Annotation]:
        """One annotation for each dialogue, in order. root: folder of relative audio paths."""
        ...


def taken_name(dialogue: Dialogue, annotator: str) -> UsageError | None:
    """The error for labels under the model's name that are no model's, which its labels would replace; None without any."""
    kind = next((a.kind for a in dialogue.annotations if a.annotator == annotator and a.kind != "model"), None)
    if kind is None:
        return None
    what = f"the dialogue already has labels of {annotator!r}, of kind {kind} instead of model"
    return UsageError(what, "--annotator", "give another name")


@dataclass(frozen=True, slots=True)
class LabelingRules:
    """Conditions on records that a model can label.

    refuses: reason why records of a source cannot be labeled, or None. annotator: annotator name of the output. domains_from:
    field with the available domains, or None."""

    refuses: Callable[[str | None], UsageError | None]
    annotator: str
    domains_from: str | None = None

    def refusal(self, dialogue: Dialogue) -> Refusal | None:
        """The first violated condition; None for a dialogue that can be labeled."""
        if (error := taken_name(dialogue, self.annotator)) is not None:
            return Refusal("name_taken", "annotations", error)
        if refusal := bad_domains(dialogue, self.domains_from):
            return refusal
        error = self.refuses(dialogue.source)
        return None if error is None else Refusal("unknown_source", "source", error)

    def reject(self, items: Iterable[LocatedDialogue | Rejected]) -> Iterator[LocatedDialogue | Rejected]:
        """Reject every dialogue that cannot be labeled."""
        for item in items:
            refusal = self.refusal(item.dialogue) if isinstance(item, LocatedDialogue) else None
            yield (
                item.rejected(refusal.field, refusal.reason) if isinstance(item, LocatedDialogue) and refusal else item
            )

    def check_any(self, inputs: Mapping[str, Path]) -> None:
        """Raises UsageError if no dialogue of the files can be labeled; reads until the first that can."""
        # The check of a source may call another process, so each source is checked once.
        rules = dataclasses.replace(self, refuses=lru_cache(maxsize=None)(self.refuses))
        first: UsageError | None = None
        for dialogue in read_dialogues(inputs):
            refusal = rules.refusal(dialogue)
            if refusal is None:
                return
            first = first or refusal.error
        if first is not None:
            raise first


def labeling_rules(annotator: DialogueAnnotator) -> LabelingRules:
    """Conditions on records for this annotator."""
    return LabelingRules(annotator.refuses, annotator.name, annotator.provenance.domains_from)


def read_dialogues(inputs: Mapping[str, Path]) -> Iterator[Dialogue]:
    """Valid records of all files."""
    for path, source in inputs.items():
        yield from (item for item in read_file(source, path) if isinstance(item, Dialogue))


@dataclass(frozen=True, slots=True, kw_only=True)
class Shard:
    """One unit of work, with everything that a worker needs.

    path: input file relative to the input folder, with `/`. file_digest: of the whole input file. damaged: whether
    that file could be read only in part. redact: whether personal data (data/redact.py) is masked in the output; labels are
    always computed from the original text."""

    source: Path
    path: str
    index: int
    records: RecordRange
    file_digest: str
    output: Path
    quarantine: Path
    damaged: bool = False
    redact: bool = False


def label_shard(shard: Shard, annotator: DialogueAnnotator) -> ShardEntry:
    """Read, label and write one shard. Both files are complete on return; equal shards give equal bytes.

    Raises StorageError if reading or writing fails."""
    items: list[LocatedDialogue] = []
    rejected: list[Rejected] = []
    read = read_range(shard.source, shard.path, shard.records)
    for item in labeling_rules(annotator).reject(_reject_duplicates(read)):
        if isinstance(item, LocatedDialogue):
            items.append(item)
        else:
            rejected.append(redact_rejected(item) if shard.redact else item)
    labeled, counts = add_annotations(items, annotator, audio_root(shard.source), shard.redact)
    # Every shard of a damaged file says so: all of them are labeled again once the file is whole.
    damaged = LabelCounts(damaged=(shard.path,) if shard.damaged else ())
    counts = total([counts, tally((), (item.reason for item in rejected)), damaged])
    quarantine_digest = None
    with privacy():
        keep_private((shard.source,))
        output_digest = _write(shard.output, map(encode, labeled))
        if rejected:
            quarantine_digest = _write(shard.quarantine, map(msgspec.json.encode, rejected))
    del items, labeled
    release_memory()
    return ShardEntry(
        path=shard.path,
        index=shard.index,
        records=shard.records.count,
        file_digest=shard.file_digest,
        output_digest=output_digest,
        quarantine_digest=quarantine_digest,
        counts=counts,
    )


def label_stream(log: Log, annotator: DialogueAnnotator, to: IO[bytes], redact: bool = False) -> LabelCounts:
    """Label the records of `log` and write them to `to`; a stream cannot be resumed. Returns the counts.

    Raises InputError after the last record if too many were bad."""
    items = log.located()
    counts = LabelCounts()
    while batch := list(islice(items, _STREAM_BATCH)):
        labeled, added = add_annotations(batch, annotator, None, redact)
        to.writelines(encode(dialogue) + b"\n" for dialogue in labeled)
        to.flush()
        counts = total([counts, added])
    return total([counts, tally((), Counter(log.reasons).elements())])


def add_annotations(
    items: Sequence[LocatedDialogue], annotator: DialogueAnnotator, root: Path | None, redact: bool = False
) -> tuple[list[Dialogue], LabelCounts]:
    """Annotate dialogues; an older annotation of the same name is replaced. Returns them with their counts.

    The provenance has the digest of the record as it was read. redact: personal data is masked after labeling; then there is no
    digest, because it could confirm guesses of what was masked."""
    audio_turns, audio_errors = annotator.audio_turns, Counter(annotator.audio_errors)
    bare = [without_annotator(item.dialogue, annotator.name) for item in items]
    labeled: list[tuple[Dialogue, Annotation]] = []
    for item, dialogue, new in zip(items, bare, annotator.annotate(bare, root=root), strict=True):
        digest = None if redact else item.digest
        new = replace(new, provenance=replace(new.provenance or annotator.provenance, input_digest=digest))
        whole = replace(dialogue, annotations=(*dialogue.annotations, new))
        labeled.append((redact_dialogue(whole) if redact else whole, new))
    unseen, unknown = annotator.out_of_vocabulary(bare)
    more = LabelCounts(
        audio_turns=annotator.audio_turns - audio_turns,
        audio_errors=Counter(annotator.audio_errors) - audio_errors,
        unseen_values=unseen,
        unknown_labels=unknown,
    )
    return [dialogue for dialogue, _ in labeled], total([tally(labeled, ()), more])


def audio_root(source: Path) -> Path | None:
    """Folder of relative audio paths; None in a store, because audio libraries read local files only."""
    return None if is_remote(source) else source.parent


def without_annotator(dialogue: Dialogue, annotator: str) -> Dialogue:
    """The dialogue without the annotations of the model of that name."""
    kept = tuple(a for a in dialogue.annotations if (a.annotator, a.kind) != (annotator, "model"))
    return dialogue if len(kept) == len(dialogue.annotations) else replace(dialogue, annotations=kept)


def _reject_duplicates(items: Iterable[LocatedDialogue | Rejected]) -> Iterator[LocatedDialogue | Rejected]:
    ids: set[str] = set()
    for item in items:
        if isinstance(item, LocatedDialogue) and item.dialogue.id in ids:
            yield item.rejected("id", "doubled_id: an earlier dialogue of the shard has this id")
            continue
        if isinstance(item, LocatedDialogue):
            ids.add(item.dialogue.id)
        yield item


def _write(path: Path, lines: Iterable[bytes]) -> str:
    """Write the lines atomically; returns the digest of the file."""
    digest = sha256()
    # The run makes and removes the folder, so a worker that outlives its run leaves nothing behind.
    with atomic_write(path, make_folder=False) as file:
        for line in lines:
            digest.update(line + b"\n")
            file.write(line + b"\n")
    return digest.hexdigest()
