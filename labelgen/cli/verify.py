"""labelgen verify: is a folder of labeled records what its manifest says?"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from labelgen.base.errors import IntegrityError, UsageError
from labelgen.base.files import digest_file, to_path
from labelgen.base.printable import print_lines
from labelgen.base.progress import progress
from labelgen.cli.arguments import one_or_more, parser, whole
from labelgen.cli.label import load_annotator
from labelgen.labeling.folder import LabelFolder
from labelgen.labeling.manifest import LABELS, Settings, read_manifest
from labelgen.labeling.shard import DialogueAnnotator
from labelgen.labeling.verify import RelabelSample, verify


def main(argv: Sequence[str]) -> int:
    args = _parser().parse_args(argv)
    if (args.sample is None) != (args.model is None):
        raise UsageError("records are labeled again by a model", "--sample, --model", "give both, or none")
    sample = (
        None if args.sample is None else RelabelSample(args.sample, args.seed, lambda settings: _load(args, settings))
    )
    faults = []
    found = verify(
        args.output, args.input, lambda paths: progress(paths, "verify", "files"), args.manifest_digest, sample
    )
    for fault in found:
        print_lines(fault)
        faults.append(fault)
    if faults:
        count = "one fault" if len(faults) == 1 else f"{len(faults)} faults"
        hint = "label again into this folder; --force replaces what is spoilt"
        raise IntegrityError(f"{count}, the first: {faults[0]}", str(args.output), hint)
    again = "" if args.sample is None else "; a sample was labeled again, to the same bytes"
    print_lines(f"good: digests, counts and ids are as the manifest says{again}")
    manifest = LabelFolder(args.output).manifest
    if damaged := read_manifest(manifest).counts.damaged:
        print_lines(f"not complete: of the input these files were damaged, and read only in part: {', '.join(damaged)}")
    print_lines(f"digest of the manifest: {digest_file(manifest)}")
    return 0


def _parser() -> argparse.ArgumentParser:
    to = parser(
        "verify",
        "Check labeled records against their manifest: digests, sums, doubled ids. Exit code 4 if anything is wrong.",
        "labelgen verify labeled/ --input logs/",
    )
    to.add_argument("output", type=to_path, help="a folder that labelgen label wrote")
    to.add_argument("--input", type=to_path, metavar="IN", help="the log that was labeled, to be compared as well")
    to.add_argument(
        "--manifest-digest", metavar="SHA", help="digest of the manifest as labelgen label printed it, kept elsewhere"
    )
    to.add_argument("--sample", type=one_or_more, metavar="N", help="label N records again, and compare their bytes")
    to.add_argument("--model", type=Path, metavar="FOLDER", help="the model that labeled, for --sample")
    to.add_argument(
        "--labels", type=Path, metavar="FILE", help="labels.json that labelgen label was given, for --sample"
    )
    to.add_argument("--seed", type=whole, default=0, help="which records are drawn (default %(default)s)")
    return to


def _load(args: argparse.Namespace, settings: Settings) -> DialogueAnnotator:
    """The annotator as it was when it labeled. Raises UsageError where --labels is not the file that it had."""
    digest = settings.options.get(LABELS)
    if digest != (None if args.labels is None else digest_file(args.labels)):
        what = "without a label set" if digest is None else f"with the label set of digest {digest}"
        raise UsageError(f"the folder was labeled {what}", "--labels", "give the file that labelgen label was given")
    model = settings.model
    return load_annotator(
        args.model,
        args.labels,
        settings.annotator,
        model.precision or "32",
        settings.options.get("device", "cpu"),
        bool(model.online),
        model.domains_from,
    )
