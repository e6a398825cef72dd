"""Labeling one shard: the one function that every engine calls, on whatever process or machine it runs."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Protocol

import msgspec

from labelgen.base.errors import UsageError
from labelgen.base.files import atomic_write, digest_bytes, is_remote, keep_private, privacy
from labelgen.base.process import release_memory
from labelgen.data.dialogue import Dialogue
from labelgen.data.labels import Annotation, Provenance
from labelgen.data.placed import Placed
from labelgen.data.quarantine import Rejected
from labelgen.data.record import encode
from labelgen.data.redact import redacted, redacted_bad
from labelgen.labeling.counts import tally, with_untold
from labelgen.labeling.cut import Cut, read_cut
from labelgen.labeling.manifest import ShardEntry
from labelgen.labeling.sources import Rules, known


class Annotates(Protocol):
    """A model, ready to annotate. What it says of a dialogue depends on itself and the dialogue alone, to the last
    bit; name: who signs the annotations. heard, unheard: how often the sound of a turn was read so far, and how often
    it could not be, by reason."""

    @property
    def name(self) -> str: ...

    @property
    def provenance(self) -> Provenance: ...

    @property
    def heard(self) -> int: ...

    @property
    def unheard(self) -> Mapping[str, int]: ...

    def refuses(self, source: str | None) -> UsageError | None:
        """Why records of this source cannot be labeled; None where they can."""
        ...

    def unfamiliar(self, dialogues: Iterable[Dialogue]) -> tuple[Mapping[str, int], Mapping[str, int]]:
        """How many turns have a value that the model was not trained on, by feature; how many labels of others have a name
        that it cannot give, by task."""
        ...

    def annotate(self, dialogues: Sequence[Dialogue], *, root: Path | None = None) -> list[Annotation]:
        """One annotation for each dialogue, in order; `root` is the folder that audio paths start from."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Shard:
    """One unit of work, all that an engine has to carry: where to read, where to write.

    path: the input file relative to the input's folder, with `/`. file_digest: of the whole input file. damaged: whether
    that file could be read in part only. redact: whether texts are written with what data/redact.py finds masked; labels are
    made from the texts as they came."""

    source: Path
    path: str
    index: int
    piece: Cut
    file_digest: str
    output: Path
    quarantine: Path
    damaged: bool = False
    redact: bool = False


def label_shard(shard: Shard, annotator: Annotates) -> ShardEntry:
    """Read, label and write one shard; both files are whole when it returns, and equal shards give equal bytes.

    Raises StorageError where reading or writing fails."""
    read = sha256()
    dialogues: list[Dialogue] = []
    rejected: list[Rejected] = []
    items = unique(read_cut(shard.source, shard.path, shard.piece, read))
    for item in known(items, rules_of(annotator)):
        if isinstance(item, Placed):
            dialogues.append(item.dialogue)
        else:
            rejected.append(redacted_bad(item) if shard.redact else item)
    heard, unheard = annotator.heard, Counter(annotator.unheard)
    labeled = annotated(dialogues, annotator, sound_root(shard.source), shard.redact)
    sums = tally(labeled, (item.reason for item in rejected))
    quarantine_digest = None
    with privacy():
        keep_private((shard.source,))
        output_digest = _write(shard.output, (encode(dialogue) for dialogue, _ in labeled))
        if rejected:
            quarantine_digest = _write(shard.quarantine, (msgspec.json.encode(item) for item in rejected))
    entry = ShardEntry(
        path=shard.path,
        index=shard.index,
        start=shard.piece.start,
        records=shard.piece.records,
        file_digest=shard.file_digest,
        part_digest=read.hexdigest(),
        output_digest=output_digest,
        quarantine_digest=quarantine_digest,
        sums=with_untold(
            sums,
            annotator.heard - heard,
            Counter(annotator.unheard) - unheard,
            *unfamiliar(dialogues, annotator),
            # All shards of the file say so: those of an unfinished run are done again too, once the file is whole.
            (shard.path,) if shard.damaged else (),
        ),
    )
    del dialogues, labeled
    release_memory()
    return entry


def rules_of(annotator: Annotates) -> Rules:
    """What a record has to be for this annotator."""
    return Rules(annotator.refuses, annotator.name, annotator.provenance.domains_from)


def unfamiliar(dialogues: Iterable[Dialogue], annotator: Annotates) -> tuple[Mapping[str, int], Mapping[str, int]]:
    """What the annotator does not know in these; its own earlier labels give way and are not counted."""
    return annotator.unfamiliar(without(dialogue, annotator.name) for dialogue in dialogues)


def sound_root(source: Path) -> Path | None:
    """The folder that sound is read below: libraries read it from this machine's files alone, so none in a store."""
    return None if is_remote(source) else source.parent


def annotated(
    dialogues: Sequence[Dialogue], annotator: Annotates, root: Path | None, redact: bool = False
) -> list[tuple[Dialogue, Annotation]]:
    """Each dialogue with one more annotation, and that annotation. An older one by the same name gives way.

    The annotation's provenance holds the digest of the record as labelgen writes it without that annotation. redact: both
    are masked once the labels are made."""
    bare = [without(dialogue, annotator.name) for dialogue in dialogues]
    out = []
    for dialogue, said in zip(bare, annotator.annotate(bare, root=root), strict=True):
        whole = replace(dialogue, annotations=(*dialogue.annotations, said))
        whole = redacted(whole) if redact else whole
        *older, last = whole.annotations
        digest = digest_bytes(encode(replace(whole, annotations=tuple(older))))
        annotation = replace(last, provenance=replace(said.provenance or annotator.provenance, input_digest=digest))
        out.append((replace(whole, annotations=(*older, annotation)), annotation))
    return out


def without(dialogue: Dialogue, annotator: str) -> Dialogue:
    """The dialogue as it was before the model of that name annotated it."""
    kept = tuple(a for a in dialogue.annotations if (a.annotator, a.kind) != (annotator, "model"))
    return replace(dialogue, annotations=kept)


def unique(items: Iterable[Placed | Rejected]) -> Iterator[Placed | Rejected]:
    """Reject every dialogue whose id was seen before among `items`."""
    seen: set[str] = set()
    for item in items:
        if isinstance(item, Placed) and item.dialogue.id in seen:
            yield item.rejected("id", "doubled_id: a dialogue with this id stands earlier in the shard")
            continue
        if isinstance(item, Placed):
            seen.add(item.dialogue.id)
        yield item


def _write(path: Path, lines: Iterable[bytes]) -> str:
    """The lines, atomically; gives the digest of the file."""
    digest = sha256()
    # The run made the folder, and takes it away at its end: a worker that outlives its run leaves nothing behind.
    with atomic_write(path, make_folder=False) as file:
        for line in lines:
            digest.update(line + b"\n")
            file.write(line + b"\n")
    return digest.hexdigest()
