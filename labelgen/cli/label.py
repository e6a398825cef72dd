"""labelgen label, verify and show: annotate a log with a model, check a labeled folder, and draw labeled dialogues."""

import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

from labelgen.base.errors import IntegrityError, UsageError
from labelgen.base.files import digest_file, existing_file, to_path
from labelgen.base.options import ARGUMENT, Count, Range, Share, WholeNumber
from labelgen.base.process import raise_on_sigterm
from labelgen.base.terminal import print_lines, progress
from labelgen.cli.command import Command, ForceOptions, LogOptions, ModelRunOptions, open_log
from labelgen.data.dialogue import Dialogue
from labelgen.data.label_sets import read_labels
from labelgen.data.labels import Annotation
from labelgen.data.log import MAX_BAD_RATE, Log
from labelgen.data.redact import KINDS
from labelgen.data.values import normalizer
from labelgen.labeling.engines import Engine, Load, local_engine
from labelgen.labeling.folder import LabelFolder
from labelgen.labeling.manifest import LABELS, REDACT, LabelCounts, Settings, read_manifest, summary
from labelgen.labeling.ray_engine import ray_engine
from labelgen.labeling.run import MAX_SHARD_DIALOGUES, SHARD_DIALOGUES, check_bad_rate, label
from labelgen.labeling.shard import DialogueAnnotator, label_stream, labeling_rules
from labelgen.labeling.verify import RelabelSample, verify
from labelgen.report.terminal import DialogueView, PlainConsole

THRESHOLDS = "thresholds"
"""Setting of a manifest: the thresholds that the user chose."""

NORMALIZER = "normalizer"
"""Setting of a manifest: the name of the function that normalized slot values."""


@dataclass(frozen=True, kw_only=True)
class LabelOptions(ModelRunOptions, ForceOptions):
    """Label a log: each record is written with one more annotation. Run the same command again to resume."""

    input: Annotated[str, ARGUMENT]
    """record file or folder of them, also PROTOCOL://... such as s3://; or - for standard input"""
    output: Annotated[str, ARGUMENT]
    """output folder; - for standard output, with - as input only"""
    model: Annotated[Path, "FOLDER"]
    """model folder"""
    labels: Annotated[Path | None, "FILE"] = None
    """labels.json: names that may be predicted"""
    threshold: Annotated[Mapping[str, Share], "P"] = field(default_factory=dict)
    """probability below which the model abstains from a task, TASK=P, in place of a certified threshold"""
    drift: Annotated[Path | None, "FILE"] = None
    """result of labelgen drift for this model; labels whose certificate is void are marked, with the reason"""
    workers: Count | None = None
    """number of processes of one thread; without a value the cores of the machine or the cluster, and one with --device cuda"""
    engine: Literal["local", "ray"] = "local"
    """engine that runs the workers; docs/how-to/label.md"""
    address: Annotated[str | None, "HOST:PORT"] = None
    """address of a running Ray cluster; without it, one is started here"""
    normalizer: Annotated[str | None, "NAME"] = None
    """name of an installed function that normalizes slot values; docs/how-to/values.md"""
    redact: bool = False
    """masking of e-mail and IP addresses, phone, card and account (IBAN) numbers in the output"""
    annotator: Annotated[str, "NAME"] = "model"
    """annotator name written to the output"""
    online: bool = False
    """labels of each turn from itself and earlier turns only, without calibration; docs/how-to/label.md"""
    shard_dialogues: Annotated[int, Range(1, MAX_SHARD_DIALOGUES), "N"] = SHARD_DIALOGUES
    """number of dialogues in a shard"""
    max_bad_rate: Annotated[Share, "RATE"] = MAX_BAD_RATE
    """share of quarantined records above which the exit code is 3, once all is labeled"""
    quarantine: Annotated[Path | None, "FILE"] = None
    """file for rejected records of a stream"""

    def check(self) -> None:
        """Raises UsageError for options that cannot hold together."""
        if (self.input == "-") != (self.output == "-"):
            raise UsageError("a stream goes in and out", "the command line", "write - for both, or for none")
        if self.input == "-" and self.engine != "local":
            raise UsageError("a stream is labeled in this process", "-", "name files and folders")
        if self.address is not None and self.engine != "ray":
            raise UsageError("only Ray has an address", "--address", "give --engine ray with it")
        if not self.annotator:
            raise UsageError("labels need an annotator name", "--annotator", "name the model")
        if self.quarantine is not None and self.input != "-":
            raise UsageError(
                "the quarantine of a folder lies in its output",
                "--quarantine",
                "leave the option out; see docs/how-to/label.md",
            )


def label_command(options: LabelOptions) -> None:
    """Label the log, and print what was labeled."""
    for path in (options.input, options.output):
        to_path(path)  # an unreachable path is reported before a model is loaded
    if options.labels is not None:
        existing_file(options.labels)
    void = {} if options.drift is None else void_reasons(options.drift, options.model)
    if options.normalizer is not None:
        normalizer(options.normalizer)
    load = partial(
        load_annotator,
        options.model,
        options.labels,
        options.annotator,
        options.precision,
        options.device,
        options.online,
        options.domains_from,
        dict(options.threshold),
        void,
        options.normalizer,
    )
    sums = _stream(options, load) if options.input == "-" else _folder(options, load)
    voided = (f"void: the certificate of {task} ({unit}): {reason}" for (task, unit), reason in void.items())
    for text in (*summary(sums), *voided):
        print_lines(text, file=sys.stderr if options.output == "-" else sys.stdout)
    if options.output != "-":
        print_lines(f"digest of the manifest: {digest_file(LabelFolder(to_path(options.output)).manifest)}")
    check_bad_rate(sums, options.max_bad_rate, options.output)


def _folder(options: LabelOptions, load: Load) -> LabelCounts:
    # Again, since Ray answers signals by itself once it is started.
    with _engine(options, load) as engine, raise_on_sigterm():
        return label(
            to_path(options.input),
            to_path(options.output),
            engine,
            options.annotator,
            _settings(options),
            options.shard_dialogues,
            options.force,
        )


def _engine(options: LabelOptions, load: Load) -> AbstractContextManager[Engine]:
    if options.engine == "local":
        return local_engine(load, _workers(options) or _cores())
    return ray_engine(load, _workers(options), options.address, gpus=int(_on_gpu(options)))


def _workers(options: LabelOptions) -> int | None:
    """None for as many as there are cores; of a GPU these would be too many."""
    return 1 if options.workers is None and _on_gpu(options) else options.workers


def _on_gpu(options: LabelOptions) -> bool:
    return options.device.startswith("cuda")


def _settings(options: LabelOptions) -> dict[str, str]:
    """What the labels depend on besides the model."""
    settings = {"device": options.device}
    if options.redact:
        settings[REDACT] = KINDS
    if options.labels is not None:
        settings[LABELS] = digest_file(options.labels)
    if options.normalizer is not None:
        settings[NORMALIZER] = options.normalizer
    if options.threshold:
        settings[THRESHOLDS] = " ".join(f"{task}={p}" for task, p in sorted(options.threshold.items()))
    return settings


def _stream(options: LabelOptions, load: Load) -> LabelCounts:
    annotator = load()
    log = Log(["-"], quarantine=options.quarantine, max_bad_rate=1.0, refuses=labeling_rules(annotator).refusal)
    return label_stream(log, annotator, sys.stdout.buffer, options.redact)


def load_annotator(
    model: Path,
    labels: Path | None,
    name: str,
    precision: str,
    device: str,
    online: bool = False,
    domains_from: str | None = None,
    thresholds: Mapping[str, float] | None = None,
    void: Mapping[tuple[str, str], str] | None = None,
    normalizer: str | None = None,
) -> DialogueAnnotator:
    """The annotator of a model folder, on one thread: sums in another order would be other numbers."""
    import torch

    from labelgen.model.annotator import Annotator

    torch.set_num_threads(1)
    known = read_labels(labels) if labels is not None else None
    return Annotator(
        model,
        known,
        name,
        precision,
        device,
        online=online,
        domains_from=domains_from,
        thresholds=thresholds or {},
        void=void or {},
        normalizer=normalizer,
    )


def void_reasons(drift: Path, model: Path) -> dict[tuple[str, str], str]:
    """Task and unit of each void certificate, and why. Raises UsageError for the drift of another model."""
    from labelgen.metrics.results import read_drift
    from labelgen.model.folder import check_model, model_digest

    result = read_drift(existing_file(drift))
    check_model(model)
    if result.model_digest != model_digest(model):
        raise UsageError(
            f"{drift} is about another model",
            "--drift",
            f"run labelgen drift LOG --model {model} --out {drift} --force",
        )
    return {(one.task, one.unit): one.reason for one in result.void}


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@dataclass(frozen=True, kw_only=True)
class VerifyOptions:
    """Check labeled records against their manifest: digests, sums, doubled ids. Exit code 4 if anything is wrong."""

    output: Annotated[str, ARGUMENT]
    """folder that labelgen label wrote"""
    input: Annotated[str | None, "IN"] = None
    """log that was labeled, for comparison"""
    manifest_digest: Annotated[str | None, "SHA"] = None
    """digest of the manifest as labelgen label printed it"""
    sample: Count | None = None
    """number of records to label again, for a comparison of their bytes"""
    model: Annotated[Path | None, "FOLDER"] = None
    """model folder, for --sample"""
    labels: Annotated[Path | None, "FILE"] = None
    """labels.json that labelgen label had, for --sample"""
    seed: WholeNumber = 0
    """seed of the sample"""

    def check(self) -> None:
        """Raises UsageError for a sample without a model, and the reverse."""
        if (self.sample is None) != (self.model is None):
            raise UsageError("records are labeled again by a model", "--sample, --model", "give both, or none")


def verify_command(options: VerifyOptions) -> None:
    """Check the folder, and print its faults."""
    output = to_path(options.output)
    sample = (
        None
        if options.sample is None
        else RelabelSample(options.sample, options.seed, lambda settings: _load(options, settings))
    )
    faults = []
    differences = verify(
        output,
        None if options.input is None else to_path(options.input),
        lambda paths: progress(paths, "verify", "files"),
        options.manifest_digest,
        sample,
    )
    for fault in differences:
        print_lines(fault)
        faults.append(fault)
    if faults:
        count = "one fault" if len(faults) == 1 else f"{len(faults)} faults"
        hint = "label again into this folder; --force replaces what is spoilt"
        raise IntegrityError(f"{count}, the first: {faults[0]}", str(options.output), hint)
    again = "" if options.sample is None else "; a sample was labeled again, to the same bytes"
    print_lines(f"verified: digests, counts and ids equal those of the manifest{again}")
    manifest = LabelFolder(output).manifest
    if damaged := read_manifest(manifest).counts.damaged:
        print_lines(f"not complete: of the input these files were damaged, and read only in part: {', '.join(damaged)}")
    print_lines(f"digest of the manifest: {digest_file(manifest)}")


def _load(options: VerifyOptions, settings: Settings) -> DialogueAnnotator:
    """The annotator as it was when it labeled. Raises UsageError where --labels is not the file that it had."""
    digest = settings.options.get(LABELS)
    if digest != (None if options.labels is None else digest_file(options.labels)):
        what = "without a label set" if digest is None else f"with the label set of digest {digest}"
        raise UsageError(f"the folder was labeled {what}", "--labels", "give the file of that labelgen label command")
    model = settings.model
    assert options.model is not None
    return load_annotator(
        options.model,
        options.labels,
        settings.annotator,
        model.precision or "32",
        settings.options.get("device", "cpu"),
        bool(model.online),
        model.domains_from,
        {
            task: float(p)
            for task, _, p in (word.partition("=") for word in settings.options.get(THRESHOLDS, "").split())
        },
        {(one.task, one.unit or ""): one.void for one in model.thresholds if one.void is not None},
        settings.options.get(NORMALIZER),
    )


LABEL = Command("label", LabelOptions, label_command, "labelgen label logs/ labeled/ --model model/ --workers 8")
VERIFY = Command("verify", VerifyOptions, verify_command, "labelgen verify labeled/ --input logs/")


@dataclass(frozen=True, kw_only=True)
class ShowOptions(LogOptions):
    """Draw labeled dialogues in the terminal: goals as colored tracks, slots in the request, probabilities, abstentions."""

    id: tuple[str, ...] = ()
    """id of a dialogue to draw"""
    count: WholeNumber = 3
    """number of dialogues to draw, from the first on"""
    annotator: Annotated[str | None, "NAME"] = None
    """annotator whose labels are drawn; without a name a model's, else those of the first annotation"""
    width: Annotated[Count | None, "COLUMNS"] = None
    """width of the drawing; without a value the terminal's"""


def show(options: ShowOptions) -> None:
    """Draw the dialogues."""
    console = PlainConsole(width=options.width, highlight=False)
    missing = dict.fromkeys(options.id)
    annotators: set[str] = set()
    shown = 0
    for dialogue in _chosen(open_log(options, options.log), options.id, options.count):
        missing.pop(dialogue.id, None)
        annotators.update(annotation.annotator for annotation in dialogue.annotations)
        if shown:
            console.print()
        console.print(DialogueView(dialogue, _annotation(dialogue, options.annotator)))
        shown += 1
    if missing:
        raise UsageError(
            f"no dialogue {', '.join(missing)} in the log", "--id", "labelgen data stats counts what it has"
        )
    if options.annotator is not None and shown and options.annotator not in annotators:
        known = ", ".join(sorted(annotators)) or "nobody"
        raise UsageError(
            f"{options.annotator!r} labeled none of these dialogues", "--annotator", f"they are by: {known}"
        )


def _chosen(dialogues: Iterable[Dialogue], ids: Sequence[str], count: int) -> Iterator[Dialogue]:
    """Those with the ids, else the first ones; no more of the log is read than is needed."""
    wanted = set(ids)
    left = len(wanted) if ids else count
    for dialogue in dialogues if left > 0 else ():
        if not ids or dialogue.id in wanted:
            yield dialogue
            left -= 1
            if left == 0:
                return


def _annotation(dialogue: Dialogue, name: str | None) -> Annotation | None:
    if name is not None:
        return dialogue.annotation(name)
    by_model = [a for a in dialogue.annotations if a.kind == "model"]
    return next(iter((*by_model, *dialogue.annotations)), None)


SHOW = Command("show", ShowOptions, show, "labelgen show labels/ --count 3 --annotator anna")
