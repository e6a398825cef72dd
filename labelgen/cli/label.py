"""labelgen label: one more annotation for every dialogue of a log, by a model."""

import argparse
import os
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path

from labelgen.base.errors import UsageError
from labelgen.base.files import digest_file, existing_file, to_path
from labelgen.base.printable import print_lines
from labelgen.base.process import raise_on_sigterm
from labelgen.cli.arguments import add_device, add_domains_from, add_force, add_precision, parser, share
from labelgen.data.label_sets import read_labels
from labelgen.data.log import MAX_BAD_RATE, Log
from labelgen.data.personal_data import KINDS
from labelgen.labeling.dry_run import dry_run
from labelgen.labeling.engines import Engine, Load, local_engine
from labelgen.labeling.folder import LabelFolder
from labelgen.labeling.manifest import LABELS, REDACT, LabelCounts, summary
from labelgen.labeling.ray_engine import cluster_cpus, ray_engine
from labelgen.labeling.run import MAX_SHARD_DIALOGUES, SHARD_DIALOGUES, check_bad_rate, label
from labelgen.labeling.shard import DialogueAnnotator, label_stream, labeling_rules


def main(argv: Sequence[str]) -> int:
    args = _parser().parse_args(argv)
    for path in (args.input, args.output):
        to_path(path)  # what cannot be reached is told before a model is loaded
    load = partial(
        load_annotator,
        args.model,
        args.labels,
        args.annotator,
        args.precision,
        args.device,
        args.online,
        args.domains_from,
    )
    _check(args)
    if args.precision == "bf16" and args.device == "cpu" and args.address is None:
        _tell_slow()
    if args.dry_run:
        workers = _workers(args) or (_cores() if args.address is None else cluster_cpus(args.address))
        found = dry_run(
            to_path(args.input), to_path(args.output), load(), _options(args), args.shard_dialogues, args.force
        )
        for text in found.lines(workers):
            print_lines(text)
        if args.address is not None:
            print_lines("the sample was timed on this machine, not on the cluster")
        return 0
    sums = _stream(args, load) if args.input == "-" else _folder(args, load)
    for text in summary(sums):
        print_lines(text, file=sys.stderr if args.output == "-" else sys.stdout)
    if args.output != "-":
        print_lines(f"digest of the manifest: {digest_file(LabelFolder(to_path(args.output)).manifest)}")
    check_bad_rate(sums, args.max_bad_rate, args.output)
    return 0


def _parser() -> argparse.ArgumentParser:
    to = parser(
        "label",
        "Label a log: each record is written with one more annotation. The same command again finishes the rest.",
        "labelgen label logs/ labeled/ --model model/ --workers 8",
    )
    to.add_argument(
        "input", help="a record file or a folder of them, also PROTOCOL://... such as s3://; or - for standard input"
    )
    to.add_argument("output", help="the output folder; - for standard output, with - as input only")
    to.add_argument("--model", type=Path, required=True, metavar="FOLDER", help="the model folder")
    to.add_argument("--labels", type=Path, metavar="FILE", help="labels.json: what may be decoded")
    to.add_argument(
        "--workers",
        type=int,
        metavar="N",
        help="processes of one thread (default: cores of the machine or the cluster; one with --device cuda)",
    )
    to.add_argument(
        "--engine",
        choices=("local", "ray"),
        default="local",
        help="who runs them (default %(default)s); docs/how-to/label.md",
    )
    to.add_argument("--address", metavar="HOST:PORT", help="a running Ray cluster; without it, one is started here")
    to.add_argument(
        "--redact",
        action="store_true",
        help="mask e-mail and IP addresses, phone, card and account (IBAN) numbers in what is written",
    )
    to.add_argument("--dry-run", action="store_true", help="plan, time a small sample, write nothing")
    to.add_argument(
        "--annotator",
        default="model",
        metavar="NAME",
        help="annotator name written to the output (default %(default)s)",
    )
    add_precision(to)
    to.add_argument(
        "--online",
        action="store_true",
        help="label each turn from itself and what came before only, without calibration; docs/how-to/label.md",
    )
    add_domains_from(to)
    add_device(to)
    to.add_argument(
        "--shard-dialogues",
        type=int,
        default=SHARD_DIALOGUES,
        metavar="N",
        help=f"dialogues in a shard, at most {MAX_SHARD_DIALOGUES} (default %(default)s)",
    )
    to.add_argument(
        "--max-bad-rate",
        type=share,
        default=MAX_BAD_RATE,
        metavar="RATE",
        help="exit code 3, once all is labeled, above this share of quarantined records (default %(default)s)",
    )
    to.add_argument("--quarantine", type=Path, metavar="FILE", help="rejected records of a stream")
    add_force(to)
    return to


def _check(args: argparse.Namespace) -> None:
    if (args.input == "-") != (args.output == "-"):
        raise UsageError("a stream goes in and out", "the command line", "write - for both, or for none")
    if args.input == "-" and (args.dry_run or args.engine != "local"):
        raise UsageError("a stream is labeled in this process, and has no dry run", "-", "name files and folders")
    if args.address is not None and args.engine != "ray":
        raise UsageError("only Ray has an address", "--address", "give --engine ray with it")
    if args.workers is not None and args.workers < 1:
        raise UsageError("at least one worker is needed", f"--workers {args.workers}", "give 1 or more")
    if not 1 <= args.shard_dialogues <= MAX_SHARD_DIALOGUES:
        known = f"give 1 to {MAX_SHARD_DIALOGUES}"
        raise UsageError("a shard of that size is not made", f"--shard-dialogues {args.shard_dialogues}", known)
    if not args.annotator:
        raise UsageError("labels need a name to stand under", "--annotator", "name the model")
    if args.labels is not None:
        existing_file(args.labels)
    if args.quarantine is not None and args.input != "-":
        raise UsageError(
            "the quarantine of a folder lies in its output",
            "--quarantine",
            "leave the option out; see docs/how-to/label.md",
        )


def _folder(args: argparse.Namespace, load: Load) -> LabelCounts:
    # Again, since Ray answers signals by itself once it is started.
    with _engine(args, load) as engine, raise_on_sigterm():
        return label(
            to_path(args.input),
            to_path(args.output),
            engine,
            args.annotator,
            _options(args),
            args.shard_dialogues,
            args.force,
        )


def _engine(args: argparse.Namespace, load: Load) -> AbstractContextManager[Engine]:
    if args.engine == "local":
        return local_engine(load, _workers(args) or _cores())
    return ray_engine(load, _workers(args), args.address, gpus=int(_on_gpu(args)))


def _workers(args: argparse.Namespace) -> int | None:
    """None for as many as there are cores; of a GPU these would be too many."""
    return 1 if args.workers is None and _on_gpu(args) else args.workers


def _on_gpu(args: argparse.Namespace) -> bool:
    return str(args.device).startswith("cuda")


def _options(args: argparse.Namespace) -> dict[str, str]:
    """What the labels depend on, beside the model."""
    options = {"device": args.device}
    if args.redact:
        options[REDACT] = KINDS
    if args.labels is not None:
        options[LABELS] = digest_file(args.labels)
    return options


def _stream(args: argparse.Namespace, load: Load) -> LabelCounts:
    annotator = load()
    log = Log(["-"], quarantine=args.quarantine, max_bad_rate=1.0, refuses=labeling_rules(annotator).refusal)
    return label_stream(log, annotator, sys.stdout.buffer, args.redact)


def load_annotator(
    model: Path,
    labels: Path | None,
    name: str,
    precision: str,
    device: str,
    online: bool = False,
    domains_from: str | None = None,
) -> DialogueAnnotator:
    """The annotator of a model folder, on one thread: sums in another order would be other numbers."""
    import torch

    from labelgen.kernels.processor import choose_instruction_set
    from labelgen.model.annotator import Annotator

    choose_instruction_set()
    torch.set_num_threads(1)
    known = read_labels(labels) if labels is not None else None
    return Annotator(model, known, name, precision, device, online=online, domains_from=domains_from)


def _tell_slow() -> None:
    from labelgen.kernels.processor import choose_instruction_set, has_bf16

    choose_instruction_set()
    if not has_bf16("cpu"):
        print_lines("label: this CPU has no bf16, and is several times quicker with --precision 32", file=sys.stderr)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
