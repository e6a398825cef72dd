"""Dry run: the size of a labeling run and its expected duration, from a small timed sample. Writes nothing."""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import islice
from pathlib import Path

from labelgen.data.dialogue import Dialogue
from labelgen.data.label_sets import refuse_without_domains
from labelgen.data.record import LocatedDialogue, encode
from labelgen.labeling.folder import LabelFolder, input_files
from labelgen.labeling.manifest import Finished, Settings
from labelgen.labeling.ranges import RecordRange, read_range, split_file
from labelgen.labeling.run import duration_text, human_time_text, valid_work
from labelgen.labeling.shard import DialogueAnnotator, add_annotations, audio_root, labeling_rules, read_dialogues

_SAMPLE_SHARDS, _SAMPLE_DIALOGUES = 4, 96
"""Number of shards in the sample, spread evenly over the unfinished ones, and of dialogues from the start of each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DryRun:
    """files, shards, records: of the whole log. unfinished: records that are not labeled yet. dialogues, turns: size of the
    timed sample; sample_s: its duration in one process."""

    files: int
    shards: int
    records: int
    unfinished: int
    dialogues: int
    turns: int
    sample_s: float

    def needed_s(self, workers: int) -> float:
        """Expected seconds for the unfinished records with ideal scaling over workers; 0 without a sample."""
        return self.unfinished * self.sample_s / self.dialogues / workers if self.dialogues else 0.0

    def lines(self, workers: int) -> Iterator[str]:
        """Lines for the terminal."""
        yield f"{self.files:,} files, {self.shards:,} shards, {self.records:,} records; {self.unfinished:,} records are not labeled yet"
        if self.dialogues:
            yield (
                f"a sample of {self.dialogues:,} dialogues: {self.dialogues / self.sample_s:,.1f} dialogues and "
                f"{self.turns / self.sample_s:,.1f} turns a second in one process"
            )
            needed_s = self.needed_s(workers)
            yield f"about {duration_text(needed_s)} with {workers} workers; {human_time_text(self.unfinished, needed_s)}"
        yield "nothing was written"


def dry_run(
    source: Path,
    out: Path,
    annotator: DialogueAnnotator,
    options: Mapping[str, str],
    shard_dialogues: int,
    force: bool = False,
) -> DryRun:
    """Read the log once and label a sample of the unfinished records.

    Raises the errors of `label` if `out` contains other work. With `force` all records count as unfinished, although a real run may
    keep some work."""
    inputs = input_files(source)
    labeling_rules(annotator).check_any(inputs)
    refuse_without_domains(read_dialogues(inputs), annotator.provenance.domains_from)
    settings = Settings(
        annotator=annotator.name, model=annotator.provenance, shard_dialogues=shard_dialogues, options=options
    )
    folder = LabelFolder(out)
    folder.check(force)
    finished = Finished(settings) if force else valid_work(folder, inputs, settings, False)
    shards = [
        (path, index, records)
        for path in inputs
        for index, records in enumerate(split_file(inputs[path], shard_dialogues))
    ]
    unfinished = [
        (path, records)
        for path, index, records in shards
        if path not in finished.files and index not in finished.shards.get(path, {})
    ]
    sample = unfinished[:: max(1, -(-len(unfinished) // _SAMPLE_SHARDS))]
    # A first pass is not timed: it loads libraries and fills caches.
    _label_sample(inputs, sample[:1], annotator)
    started = time.perf_counter()
    labeled = _label_sample(inputs, sample, annotator)
    return DryRun(
        files=len(inputs),
        shards=len(shards),
        records=sum(records.count for _, _, records in shards),
        unfinished=sum(records.count for _, records in unfinished),
        dialogues=len(labeled),
        turns=sum(len(dialogue.turns) for dialogue in labeled),
        sample_s=time.perf_counter() - started,
    )


def _label_sample(
    inputs: Mapping[str, Path], sample: Sequence[tuple[str, RecordRange]], annotator: DialogueAnnotator
) -> list[Dialogue]:
    """All work on a shard except writing it."""
    labeled: list[Dialogue] = []
    for path, records in sample:
        items = labeling_rules(annotator).reject(read_range(inputs[path], path, records, sha256()))
        dialogues = list(
            islice((item.dialogue for item in items if isinstance(item, LocatedDialogue)), _SAMPLE_DIALOGUES)
        )
        for dialogue, _ in add_annotations(dialogues, annotator, audio_root(inputs[path])):
            encode(dialogue)
            labeled.append(dialogue)
    return labeled
