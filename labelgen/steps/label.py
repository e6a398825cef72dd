"""The step from a log and a model to a labeled log."""

import os
import sys
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Literal

from labelgen.base.errors import UsageError
from labelgen.base.files import digest_file, existing_file
from labelgen.base.options import Count, Range, Share
from labelgen.base.process import raise_on_sigterm
from labelgen.data.label_sets import read_labels
from labelgen.data.labels import normalizer
from labelgen.data.log import MAX_BAD_RATE, Log
from labelgen.data.redact import KINDS
from labelgen.labeling.engines import Engine, local_engine, ray_engine, visible_gpus
from labelgen.labeling.manifest import LABELS, REDACT, LabelCounts, Settings
from labelgen.labeling.run import MAX_SHARD_DIALOGUES, SHARD_DIALOGUES, label
from labelgen.labeling.shard import DialogueAnnotator, label_stream, labeling_rules
from labelgen.metrics.results import read_drift
from labelgen.steps.shared import ModelRunOptions

THRESHOLDS = "thresholds"
"""Setting of a manifest: the thresholds that the user chose."""

NORMALIZER = "normalizer"
"""Setting of a manifest: the name of the function that normalized slot values."""

KEEP_WEAK = "keep_weak"
"""Setting of a manifest: labels of tasks of which the model learned nothing are written too."""

Void = Mapping[tuple[str, str], str]
"""Task and unit of each void certificate, and why it is void."""


@dataclass(frozen=True, kw_only=True)
class AnnotatorOptions(ModelRunOptions):
    """What the labels of a log depend on besides the log."""

    model: Annotated[Path, "FOLDER"]
    """model folder"""
    labels: Annotated[Path | None, "FILE"] = None
    """labels.json: names that may be predicted"""
    threshold: Annotated[Mapping[str, Share], "P"] = field(default_factory=dict)
    """probability below which the model abstains from a task, TASK=P, in place of a certified threshold"""
    normalizer: Annotated[str | None, "NAME"] = None
    """name of an installed function that normalizes slot values; docs/how-to/values.md"""
    annotator: Annotated[str, "NAME"] = "model"
    """annotator name written to the output"""
    keep_weak: bool = False
    """labels also of tasks of which the model learned nothing, as its card says; they are withheld without it"""
    online: bool = False
    """labels of each turn from itself and earlier turns only, without calibration; docs/how-to/label.md"""


@dataclass(frozen=True, kw_only=True)
class LabelOptions(AnnotatorOptions):
    """Label a log: each record is written with one more annotation. Run the same command again to resume."""

    drift: Annotated[Path | None, "FILE"] = None
    """result of labelgen drift for this model; labels whose certificate is void are marked, with the reason"""
    workers: Count | None = None
    """number of processes of one thread; without a value the cores of the machine or the cluster, with --device cuda its GPUs"""
    engine: Literal["local", "ray"] = "local"
    """engine that runs the workers; docs/how-to/label.md"""
    address: Annotated[str | None, "HOST:PORT"] = None
    """address of a running Ray cluster; without it, one is started here"""
    redact: bool = False
    """masking of e-mail and IP addresses, phone, card and account (IBAN) numbers in the output"""
    shard_dialogues: Annotated[int, Range(1, MAX_SHARD_DIALOGUES), "N"] = SHARD_DIALOGUES
    """number of dialogues in a shard; probabilities may differ in their last digits with another number"""
    max_bad_rate: Annotated[Share, "RATE"] = MAX_BAD_RATE
    """share of quarantined records above which the exit code is 3, once all is labeled"""

    def check(self) -> None:
        """Raises UsageError for options that cannot hold together."""
        if self.address is not None and self.engine != "ray":
            raise UsageError("only Ray has an address", "--address", "give --engine ray with it")
        if not self.annotator:
            raise UsageError("labels need an annotator name", "--annotator", "name the model")

    def settings(self) -> dict[str, str]:
        """What the labels depend on besides the model, as the manifest has it."""
        settings = {"device": self.device}
        if self.redact:
            settings[REDACT] = KINDS
        if self.labels is not None:
            settings[LABELS] = digest_file(self.labels)
        if self.normalizer is not None:
            settings[NORMALIZER] = self.normalizer
        if self.keep_weak:
            settings[KEEP_WEAK] = "true"
        if self.threshold:
            settings[THRESHOLDS] = " ".join(f"{task}={p}" for task, p in sorted(self.threshold.items()))
        return settings


def label_log(source: Path, out: Path, options: LabelOptions, force: bool, void: Void) -> LabelCounts:
    """Label the files of a log into a folder, or the rest of an interrupted run. Returns the counts of all files.

    Raises the errors of labeling/run.py."""
    # Again, since Ray answers signals by itself once it is started.
    with _engine(options, void) as engine, raise_on_sigterm():
        return label(source, out, engine, options.annotator, options.settings(), options.shard_dialogues, force)


def label_standard_input(options: LabelOptions, quarantine: Path | None, void: Void) -> LabelCounts:
    """Label the records of standard input to standard output, in this process."""
    annotator = load_annotator(options, void)
    log = Log(["-"], quarantine=quarantine, max_bad_rate=1.0, refuses=labeling_rules(annotator).refusal)
    return label_stream(log, annotator, sys.stdout.buffer, options.redact)


def check_files(options: LabelOptions) -> Void:
    """Check what the options name before a model is loaded; returns the certificates that are void by `--drift`."""
    if options.labels is not None:
        existing_file(options.labels)
    if options.normalizer is not None:
        normalizer(options.normalizer)
    return {} if options.drift is None else _void(options.drift, options.model)


def lines_of_weak(model: Path) -> list[str]:
    """A line for each task and unit whose labels are withheld; none without a card."""
    from labelgen.model.card import WEAK, weak_lines
    from labelgen.model.folder import CARD, read_card

    return weak_lines(read_card(model).get(WEAK) or {}) if (model / CARD).is_file() else []


def _engine(options: LabelOptions, void: Void) -> AbstractContextManager[Engine]:
    load = partial(load_annotator, options, void)
    on_gpu = options.device.startswith("cuda")
    if options.engine == "ray":
        return ray_engine(load, options.workers, options.address, gpus=int(on_gpu))
    # As many workers as there are cores would be too many for a GPU.
    gpus = visible_gpus() if options.device == "cuda" else []
    return local_engine(load, options.workers or (max(1, len(gpus)) if on_gpu else cores()), gpus)


def cores() -> int:
    """Number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def load_annotator(options: AnnotatorOptions, void: Void = MappingProxyType({})) -> DialogueAnnotator:
    """The annotator of a model folder, on one thread: sums in another order would be other numbers."""
    import gc

    # Nothing that is imported or loaded here is garbage, but to look for some takes a tenth of the time, now and later.
    gc.disable()
    try:
        import torch

        from labelgen.model.annotator import Annotator

        torch.set_num_threads(1)
        annotator = Annotator(
            options.model,
            None if options.labels is None else read_labels(options.labels),
            options.annotator,
            options.precision,
            options.device,
            online=options.online,
            domains_from=options.domains_from,
            thresholds=options.threshold,
            void=void,
            normalizer=options.normalizer,
            keep_weak=options.keep_weak,
        )
        gc.freeze()
    finally:
        gc.enable()
    return annotator


def annotator_of_manifest(model: Path, labels: Path | None) -> Callable[[Settings], DialogueAnnotator]:
    """Loads the annotator as it was when it labeled, for the settings of a manifest.

    It raises UsageError where `labels` is not the file that was used."""

    def load(settings: Settings) -> DialogueAnnotator:
        options, provenance = settings.options, settings.model
        digest = options.get(LABELS)
        if digest != (None if labels is None else digest_file(labels)):
            what = "without a label set" if digest is None else f"with the label set of digest {digest}"
            hint = "give the file of that labelgen label command"
            raise UsageError(f"the folder was labeled {what}", "--labels", hint)
        chosen = (word.partition("=") for word in options.get(THRESHOLDS, "").split())
        annotator = AnnotatorOptions(
            model=model,
            labels=labels,
            annotator=settings.annotator,
            precision=provenance.precision or "32",  # type: ignore[arg-type]
            device=options.get("device", "cpu"),
            online=bool(provenance.online),
            domains_from=provenance.domains_from,
            threshold={task: float(p) for task, _, p in chosen},
            normalizer=options.get(NORMALIZER),
            keep_weak=KEEP_WEAK in options,
        )
        void = {(one.task, one.unit or ""): one.void for one in provenance.thresholds if one.void is not None}
        return load_annotator(annotator, void)

    return load


def _void(drift: Path, model: Path) -> Void:
    """The void certificates. Raises UsageError for the drift of another model."""
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
