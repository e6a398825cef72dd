"""labelgen label, verify and show: annotate a log with a model, check a labeled folder, and draw labeled dialogues."""

import sys
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Annotated

from labelgen.base.errors import IntegrityError, UsageError
from labelgen.base.files import digest_file, to_path
from labelgen.base.options import ARGUMENT, Count, WholeNumber
from labelgen.base.terminal import print_lines, progress
from labelgen.cli.command import Command, ForceOptions, LogOptions, open_log
from labelgen.data.dialogue import Dialogue
from labelgen.data.labels import Annotation
from labelgen.data.log import damaged_files_error
from labelgen.labeling.manifest import read_manifest, summary
from labelgen.labeling.run import LabelFolder, check_bad_rate
from labelgen.labeling.verify import RelabelSample, verify
from labelgen.report.terminal import DialogueView, PlainConsole
from labelgen.steps.label import (
    LabelOptions,
    annotator_of_manifest,
    check_files,
    label_log,
    label_standard_input,
    lines_of_weak,
)


@dataclass(frozen=True, kw_only=True)
class LabelCommand(LabelOptions, ForceOptions):
    input: Annotated[str, ARGUMENT]
    """record file or folder of them, also PROTOCOL://... such as s3://; or - for standard input"""
    output: Annotated[str, ARGUMENT]
    """output folder; - for standard output, with - as input only"""
    quarantine: Annotated[Path | None, "FILE"] = None
    """file for rejected records of a stream"""

    def check(self) -> None:
        """Raises UsageError for options that cannot hold together."""
        super().check()
        if (self.input == "-") != (self.output == "-"):
            raise UsageError("a stream goes in and out", "the command line", "write - for both, or for none")
        if self.input == "-" and self.engine != "local":
            raise UsageError("a stream is labeled in this process", "-", "name files and folders")
        if self.quarantine is not None and self.input != "-":
            raise UsageError(
                "the quarantine of a folder lies in its output",
                "--quarantine",
                "leave the option out; see docs/how-to/label.md",
            )


def label_command(options: LabelCommand) -> None:
    """Label the log, and print what was labeled."""
    # An unreachable path is reported before a model is loaded.
    source, out = to_path(options.input), to_path(options.output)
    void = check_files(options)
    stream = options.input == "-"
    counts = (
        label_standard_input(options, options.quarantine, void)
        if stream
        else label_log(source, out, options, options.force, void)
    )
    print_lines(
        *([] if options.keep_weak else lines_of_weak(options.model)),
        *summary(counts),
        *(f"void: the certificate of {task} ({unit}): {reason}" for (task, unit), reason in void.items()),
        file=sys.stderr if stream else sys.stdout,
    )
    if not stream:
        print_lines(f"digest of the manifest: {digest_file(LabelFolder(out).manifest)}")
    check_bad_rate(counts, options.max_bad_rate, options.output)


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
    """number of shards to label again, for a comparison of their bytes"""
    model: Annotated[Path | None, "FOLDER"] = None
    """model folder, for --sample"""
    labels: Annotated[Path | None, "FILE"] = None
    """labels.json that labelgen label had, for --sample"""
    seed: WholeNumber = 0
    """seed of the sample"""

    def check(self) -> None:
        """Raises UsageError for a sample without a model or input, and the reverse."""
        if (self.sample is None) != (self.model is None):
            raise UsageError("shards are labeled again by a model", "--sample, --model", "give both, or none")
        if self.sample is not None and self.input is None:
            raise UsageError("shards are labeled again from the input", "--sample", "give --input too")


def verify_command(options: VerifyOptions) -> None:
    """Check the folder, and print its faults."""
    output = to_path(options.output)
    sample = None
    if options.sample is not None and options.model is not None:
        sample = RelabelSample(options.sample, options.seed, annotator_of_manifest(options.model, options.labels))
    faults = []
    for fault in verify(
        output,
        None if options.input is None else to_path(options.input),
        lambda paths: progress(paths, "verify", "files"),
        options.manifest_digest,
        sample,
    ):
        print_lines(fault)
        faults.append(fault)
    if faults:
        count = "one fault" if len(faults) == 1 else f"{len(faults)} faults"
        hint = "label again into this folder; --force replaces what is spoilt"
        raise IntegrityError(f"{count}, the first: {faults[0]}", str(options.output), hint)
    again = "" if sample is None else "; a sample was labeled again, to the same bytes"
    print_lines(f"verified: digests, counts and ids equal those of the manifest{again}")
    manifest = LabelFolder(output).manifest
    print_lines(f"digest of the manifest: {digest_file(manifest)}")
    if damaged := read_manifest(manifest).counts.damaged:
        raise damaged_files_error(damaged, str(options.output))


LABEL = Command(LabelCommand, label_command, "logs/ labeled/ --model model/ --workers 8")
VERIFY = Command(VerifyOptions, verify_command, "labeled/ --input logs/")


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
    wanted = (dialogue for dialogue in open_log(options) if not options.id or dialogue.id in options.id)
    # No more of the log is read than is needed.
    for dialogue in islice(wanted, len(missing) or options.count):
        missing.pop(dialogue.id, None)
        annotators.update(annotation.annotator for annotation in dialogue.annotations)
        if shown:
            console.print()
        console.print(DialogueView(dialogue, _annotation(dialogue, options.annotator)))
        shown += 1
    if missing:
        raise UsageError(
            f"no dialogue {', '.join(missing)} in the log", "--id", "labelgen data validate counts what it has"
        )
    if options.annotator is not None and shown and options.annotator not in annotators:
        known = ", ".join(sorted(annotators)) or "nobody"
        raise UsageError(
            f"{options.annotator!r} labeled none of these dialogues", "--annotator", f"they are by: {known}"
        )


def _annotation(dialogue: Dialogue, name: str | None) -> Annotation | None:
    if name is not None:
        return dialogue.annotation(name)
    by_model = [a for a in dialogue.annotations if a.kind == "model"]
    return next(iter((*by_model, *dialogue.annotations)), None)


SHOW = Command(ShowOptions, show, "labels/ --count 3 --annotator anna")
