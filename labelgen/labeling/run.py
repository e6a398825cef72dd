"""Labeling a whole log: shard by shard into parts, part by part into files, and the manifest last.

Every step is either not done, or done and recorded after it reached the disk; a step that was done and not recorded is
done again and gives the same bytes. So a kill at any moment costs at most the shards that were at work."""

from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from labelgen.base.errors import InputError, IntegrityError, UsageError
from labelgen.base.files import digest_file, is_remote, keep_private, privacy, remove_tree
from labelgen.base.process import Terminated
from labelgen.data.extra import refuse_without_domains
from labelgen.data.quarantine import loss
from labelgen.labeling.counts import Sums, total
from labelgen.labeling.cut import Cut, cut
from labelgen.labeling.engines import Engine
from labelgen.labeling.folder import Folder, input_files, opened, storing
from labelgen.labeling.join import join
from labelgen.labeling.ledger import Ledger, State
from labelgen.labeling.manifest import (
    REDACT,
    FileEntry,
    Settings,
    ShardEntry,
    manifest_of,
    read_manifest,
    write_manifest,
)
from labelgen.labeling.pace import paced
from labelgen.labeling.resume import stands
from labelgen.labeling.shard import Shard
from labelgen.labeling.sources import Rules, readable, refuse_strangers

SHARD_DIALOGUES = 1024
MOST_SHARD_DIALOGUES = 4096


@dataclass(frozen=True, slots=True)
class _Plan:
    """An input file that is being labeled."""

    source: Path
    digest: str
    pieces: tuple[Cut, ...]


def label(
    source: Path,
    out: Path,
    engine: Engine,
    annotator: str,
    options: Mapping[str, str],
    shard_dialogues: int = SHARD_DIALOGUES,
    force: bool = False,
) -> Sums:
    """Label every record file of `source` into `out`, or what an unfinished run left of it; gives the sums of all.

    options: what else the labels depend on, by name. Raises UsageError where `out` holds something else, or where the
    annotator has no label set for any record or everywhere the name of another, or no record lists the domains on offer that it asks for,
    IntegrityError where what it holds was made from another input, model or options (unless `force`), StorageError
    where reading or writing fails, Terminated where SIGTERM came; what was committed until then stays."""
    inputs = input_files(source)
    _refuse_inside(source, out)
    settings = Settings(
        annotator=annotator, model=engine.provenance(), shard_dialogues=shard_dialogues, options=options
    )
    refuse_strangers(inputs, Rules(engine.refuses, annotator, settings.model.domains_from))
    refuse_without_domains(readable(inputs), settings.model.domains_from)
    with privacy():
        keep_private(inputs.values())
        with opened(out, force) as folder:
            state = stands(folder, inputs, settings, force)
            if _is_whole(folder, inputs, state):
                return read_manifest(folder.manifest).sums
            run = _Run(folder, inputs, state, engine)
            try:
                return run.finish()
            except Terminated:
                raise Terminated(run.done()) from None


def judge(sums: Sums, max_bad_rate: float, where: str) -> None:
    """Raises InputError where more than `max_bad_rate` of the records were quarantined, or where files are damaged and the rate
    is not 1: how much of them is lost is not known."""
    if sums.damaged and max_bad_rate < 1:
        raise loss(sums.damaged, where)
    if sums.bad > max_bad_rate * sums.seen:
        reasons = ", ".join(f"{reason} {count:,}" for reason, count in sums.quarantined.items())
        raise InputError(
            f"{sums.bad:,} of {sums.seen:,} records are bad ({sums.bad / sums.seen:.1%}), more than the "
            f"{max_bad_rate:.1%} allowed: {reasons}",
            where,
            "fix the records or raise --max-bad-rate; the good ones are labeled, and the bad ones kept in the quarantine (of a stream: where --quarantine names one)",
        )


class _Run:
    """One run over what is left. The ledger is the truth from its first line until the manifest is written."""

    def __init__(self, folder: Folder, inputs: Mapping[str, Path], state: State, engine: Engine) -> None:
        self.folder = folder
        self.inputs = inputs
        self.state = state
        self.engine = engine
        self.plans: dict[str, _Plan] = {}

    def finish(self) -> Sums:
        folder, state = self.folder, self.state
        with storing(folder.out):
            self._sweep()
            with Ledger(folder.ledger, state) as ledger:
                folder.manifest.unlink(missing_ok=True)
                left = sum(self.inputs[path].stat().st_size for path in self._left())
                with closing(self.engine.label(self._shards())) as entries:
                    for entry in paced(((e, self._bytes(e)) for e in entries), left):
                        self._commit(ledger, entry)
                        self._finish_file(ledger, entry.path)
                # Files without records, and those whose last shard an earlier run had done.
                for path in self._left():
                    self._finish_file(ledger, path)
            manifest = manifest_of(state.settings, state.files.values())
            write_manifest(folder.manifest, manifest)
            remove_tree(folder.work)
        return manifest.sums

    def done(self) -> str:
        """What is committed, in words."""
        shards = sum(map(len, self.state.shards.values()))
        return (
            f"finished files: {len(self.state.files):,} of {len(self.inputs):,}; committed shards of the others: {shards:,}; "
            "the same command resumes"
        )

    def _left(self) -> list[str]:
        return [path for path in self.inputs if path not in self.state.files]

    def _shards(self) -> Iterator[Shard]:
        for path in self._left():
            source = self.inputs[path]
            plan = _Plan(source, digest_file(source), cut(source, self.state.settings.shard_dialogues))
            self.plans[path] = plan
            if not is_remote(self.folder.out):
                self.folder.parts(path).mkdir(parents=True, exist_ok=True)
            done = self.state.shards.get(path, {})
            for index, piece in enumerate(plan.pieces):
                if index not in done:
                    yield Shard(
                        source=source,
                        path=path,
                        index=index,
                        piece=piece,
                        file_digest=plan.digest,
                        output=self.folder.part(path, index),
                        quarantine=self.folder.part_quarantine(path, index),
                        damaged=plan.pieces[-1].damage is not None,
                        redact=REDACT in self.state.settings.options,
                    )

    def _bytes(self, entry: ShardEntry) -> float:
        plan = self.plans[entry.path]
        return plan.source.stat().st_size * entry.records / sum(piece.records for piece in plan.pieces)

    def _commit(self, ledger: Ledger, entry: ShardEntry | FileEntry) -> None:
        ledger.append(entry)
        self.state.add(entry)

    def _finish_file(self, ledger: Ledger, path: str) -> None:
        """Make the output file of `path` once all its shards are done."""
        folder, plan = self.folder, self.plans[path]
        shards = self.state.shards.get(path, {})
        if len(shards) < len(plan.pieces):
            return
        if digest_file(plan.source) != plan.digest or any(s.file_digest != plan.digest for s in shards.values()):
            raise IntegrityError(
                f"{path} changed while it was labeled", str(plan.source), "label it again when nothing writes to it"
            )
        ordered = tuple(shards[index] for index in range(len(plan.pieces)))
        bad = [folder.part_quarantine(path, s.index) for s in ordered if s.quarantine_digest is not None]
        join([folder.part(path, s.index) for s in ordered], folder.output(path))
        if bad:
            join(bad, folder.quarantine(path))
        else:
            folder.quarantine(path).unlink(missing_ok=True)
        entry = FileEntry(
            path=path,
            input_digest=plan.digest,
            output_digest=digest_file(folder.output(path)),
            quarantine_digest=digest_file(folder.quarantine(path)) if bad else None,
            sums=total(s.sums for s in ordered),
            shards=ordered,
        )
        self._commit(ledger, entry)
        remove_tree(folder.parts(path))

    def _sweep(self) -> None:
        self.folder.sweep(self.folder.manifest)
        for path in self._left():
            self.folder.sweep(self.folder.output(path))
            self.folder.sweep(self.folder.quarantine(path))


def _is_whole(folder: Folder, inputs: Mapping[str, Path], state: State) -> bool:
    """Whether a finished run stands as it is, with nothing to add."""
    if folder.ledger.exists() or not folder.manifest.exists() or set(state.files) != set(inputs):
        return False
    return manifest_of(state.settings, state.files.values()) == read_manifest(folder.manifest)


def _refuse_inside(source: Path, out: Path) -> None:
    if is_remote(source) != is_remote(out):
        return
    root, target = (source if source.is_dir() else source.parent).resolve(), out.resolve()
    if root.is_relative_to(target) or (source.is_dir() and target.is_relative_to(root)):
        raise UsageError(
            f"{out} and the input lie within each other", str(out), "name an output folder beside the input"
        )
