"""What a run would do and how long it would take, from its shards and a small sample, without writing anything."""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import islice
from pathlib import Path

from labelgen.data.dialogue import Dialogue
from labelgen.data.extra import refuse_without_domains
from labelgen.data.placed import Placed
from labelgen.data.record import encode
from labelgen.labeling.cut import Cut, cut, read_cut
from labelgen.labeling.folder import Folder, input_files
from labelgen.labeling.ledger import State
from labelgen.labeling.manifest import Settings
from labelgen.labeling.pace import beside_people, told_time
from labelgen.labeling.resume import stands
from labelgen.labeling.shard import Annotates, annotated, rules_of, sound_root
from labelgen.labeling.sources import known, readable, refuse_strangers

_PLACES, _EACH = 4, 96
"""Shards that the sample is drawn from, evenly over what is left, and dialogues from the head of each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rehearsal:
    """files, shards, records: of the whole log. left: records that are still to be labeled. dialogues, turns: of the
    sample that was labeled to take the time; sample_s: how long that took in one process."""

    files: int
    shards: int
    records: int
    left: int
    dialogues: int
    turns: int
    sample_s: float

    def needed_s(self, workers: int) -> float:
        """Seconds for what is left, if so many workers share it without loss; 0 where the sample is empty."""
        return self.left * self.sample_s / self.dialogues / workers if self.dialogues else 0.0

    def lines(self, workers: int) -> Iterator[str]:
        """For people."""
        yield f"{self.files:,} files, {self.shards:,} shards, {self.records:,} records; {self.left:,} records are left"
        if self.dialogues:
            yield (
                f"a sample of {self.dialogues:,} dialogues: {self.dialogues / self.sample_s:,.1f} dialogues and "
                f"{self.turns / self.sample_s:,.1f} turns a second in one process"
            )
            needed_s = self.needed_s(workers)
            yield f"about {told_time(needed_s)} with {workers} workers; {beside_people(self.left, needed_s)}"
        yield "nothing was written"


def rehearse(
    source: Path, out: Path, annotator: Annotates, options: Mapping[str, str], shard_dialogues: int, force: bool = False
) -> Rehearsal:
    """Read the log once, and label a sample of what is left. Raises as `label` does where `out` holds other work; with
    `force` nothing that is there counts as done, though some of it may stand."""
    inputs = input_files(source)
    refuse_strangers(inputs, rules_of(annotator))
    refuse_without_domains(readable(inputs), annotator.provenance.domains_from)
    settings = Settings(
        annotator=annotator.name, model=annotator.provenance, shard_dialogues=shard_dialogues, options=options
    )
    folder = Folder(out)
    folder.refuse_foreign(force)
    state = State(settings) if force else stands(folder, inputs, settings, False)
    pieces = [(path, index, piece) for path in inputs for index, piece in enumerate(cut(inputs[path], shard_dialogues))]
    left = [
        (path, piece)
        for path, index, piece in pieces
        if path not in state.files and index not in state.shards.get(path, {})
    ]
    places = left[:: max(1, -(-len(left) // _PLACES))]
    # Once outside of the time, for what is loaded and remembered on first use.
    _label(inputs, places[:1], annotator)
    started = time.perf_counter()
    labeled = _label(inputs, places, annotator)
    return Rehearsal(
        files=len(inputs),
        shards=len(pieces),
        records=sum(piece.records for _, _, piece in pieces),
        left=sum(piece.records for _, piece in left),
        dialogues=len(labeled),
        turns=sum(len(dialogue.turns) for dialogue in labeled),
        sample_s=time.perf_counter() - started,
    )


def _label(inputs: Mapping[str, Path], places: Sequence[tuple[str, Cut]], annotator: Annotates) -> list[Dialogue]:
    """All that a worker does with a shard but writing it."""
    done: list[Dialogue] = []
    for path, piece in places:
        items = known(read_cut(inputs[path], path, piece, sha256()), rules_of(annotator))
        sample = list(islice((item.dialogue for item in items if isinstance(item, Placed)), _EACH))
        for dialogue, _ in annotated(sample, annotator, sound_root(inputs[path])):
            encode(dialogue)
            done.append(dialogue)
    return done
