"""labelgen calibrate: how far a model's labels can be trusted, found on held-out dialogues and kept in its folder."""

import argparse
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec.structs import replace

from labelgen.base.errors import InputError, UsageError
from labelgen.base.files import digest_bytes
from labelgen.base.printable import print_lines
from labelgen.base.progress import progress
from labelgen.cli.arguments import (
    add_annotators,
    add_device,
    add_domains_from,
    add_force,
    add_log,
    add_precision,
    add_ratings,
    open_log,
    parser,
    whole,
)
from labelgen.cli.sound import Folders

if TYPE_CHECKING:
    from labelgen.data.dialogue import Dialogue
    from labelgen.model.annotator import Annotator
    from labelgen.model.calibration import Calibration

_MODEL = "model"
_AT_ONCE = 256


def main(argv: Sequence[str]) -> int:
    args = _parser().parse_args(argv)
    for name in ("max_error", "confidence"):
        if not 0 < getattr(args, name) < 1:
            option = f"--{name.replace('_', '-')}"
            raise UsageError(f"{option} is not between 0 and 1", f"{option} {getattr(args, name)}", "write 0.03, 0.95")
    found = _calibrate(args, argv)
    for line in told(found):
        print_lines(line)
    return 0


def _parser() -> argparse.ArgumentParser:
    to = parser(
        "calibrate",
        "Scale a model's probabilities to how often they are right, and find for each task the lowest threshold above which "
        "at most a given share of its labels is wrong. The dialogues are to be new to the model. Both are kept in the "
        "model's folder: labelgen label then abstains below the thresholds.",
        "labelgen calibrate valid.jsonl --model model/ --max-error 0.03 --confidence 0.95",
    )
    add_log(to)
    to.add_argument("--model", type=Path, required=True, metavar="FOLDER", help="the model folder")
    to.add_argument(
        "--max-error", type=float, default=0.03, metavar="SHARE", help="of the labels given (default %(default)s)"
    )
    to.add_argument(
        "--confidence", type=float, default=0.95, metavar="P", help="for each task by itself (default %(default)s)"
    )
    to.add_argument(
        "--reference", default="consensus", metavar="NAME", help="who is right: consensus (default) or an annotator"
    )
    add_annotators(to, "kind=person", "who makes the consensus, and is judged beside the model")
    add_ratings(to)
    to.add_argument(
        "--decide",
        choices=("most_probable", "macro_f1"),
        default="most_probable",
        help="what is said of qualities and outcomes: the most probable name, or by weights, so that rare names are found "
        "(default %(default)s)",
    )
    to.add_argument("--seed", type=whole, default=0, help="divides the dialogues (default %(default)s)")
    add_domains_from(to)
    add_precision(to)
    add_device(to)
    add_force(to)
    return to


def _calibrate(args: argparse.Namespace, argv: Sequence[str]) -> "Calibration":
    from labelgen import __version__
    from labelgen.data.label_sets import refuse_without_domains
    from labelgen.data.labels import tasks_of
    from labelgen.data.record import encode
    from labelgen.evaluation.calibrate import Asked, calibrate
    from labelgen.evaluation.prepare import held_out
    from labelgen.evaluation.protocol import with_all_named, with_reference
    from labelgen.evaluation.tasks import answered, evaluation_tasks
    from labelgen.metrics.results import Setting
    from labelgen.model.annotator import Annotator
    from labelgen.model.calibration import Calibration, read_calibration, refuse_calibrated, write_calibration
    from labelgen.model.folder import check_model, model_digest

    check_model(args.model)
    refuse_calibrated(args.model, args.force)
    setting = Setting(args.reference, args.annotators, seed=args.seed, ratings=args.ratings)
    log = open_log(args)
    annotator = Annotator(
        args.model,
        log.labels(),
        _MODEL,
        args.precision,
        args.device,
        calibrated=False,
        domains_from=args.domains_from,
    )
    tasks = [task for task in evaluation_tasks() if task.tasks[0] in annotator.model.tasks]
    read = Folders(log)
    given, left_out = held_out(with_all_named(read, setting), annotator.trained_on.holds)
    _tell_left_out(left_out, bool(given), annotator.trained_on.complete, args)
    dialogues = with_reference(given, tasks, setting)
    refuse_without_domains(dialogues, args.domains_from)
    if not any(tasks_of(own) for d in dialogues if (own := d.annotation(args.reference)) is not None):
        raise InputError(
            f"nothing in the log is answered by {args.reference}",
            ", ".join(map(str, args.log)),
            "two people or more make a consensus; --reference NAME takes one annotator's word",
        )
    tasks = [task for task in tasks if any(answered(d.annotation(args.reference), task) for d in dialogues)]
    data_digest = digest_bytes(b"".join(encode(d) + b"\n" for d in dialogues))
    before = read_calibration(args.model)
    dialogues = list(_annotated(dialogues, annotator, read))
    found = Calibration(
        version=__version__,
        model_digest=model_digest(args.model) if before is None else before.model_digest,
        data_digest=data_digest,
        against=args.reference,
        max_error=args.max_error,
        confidence=args.confidence,
        command=shlex.join(["labelgen", "calibrate", *argv]),
        domains_from=args.domains_from,
        precision=args.precision,
        tasks=tuple(
            calibrate(dialogues, tasks, _MODEL, setting, Asked(args.max_error, args.confidence, args.seed, args.decide))
        ),
    )
    write_calibration(args.model, found)
    return found


def _tell_left_out(left_out: Mapping[str, int], any_left: bool, known: bool, args: argparse.Namespace) -> None:
    """What cannot be certified on is said; raises UsageError where nothing else is there."""
    for reason, count in left_out.items():
        print_lines(f"calibrate: {count:,} dialogues are left out: {reason}", file=sys.stderr)
    if left_out and not any_left:
        raise UsageError(
            f"nothing can be certified on this log: {'; '.join(left_out)}",
            ", ".join(map(str, args.log)),
            "calibrate on dialogues that are new to the model and were not chosen, such as those of `labelgen data split`",
        )
    if not known:
        print_lines(
            f"calibrate: {args.model} does not know all dialogues that it was trained on; a certificate holds only for dialogues that "
            "are new to it",
            file=sys.stderr,
        )


def _annotated(dialogues: "Sequence[Dialogue]", annotator: "Annotator", read: Folders) -> "Iterator[Dialogue]":
    from labelgen.labeling.shard import without_annotator

    bare = [without_annotator(dialogue, _MODEL) for dialogue in dialogues]
    for start in progress(range(0, len(bare), _AT_ONCE), "annotate", f"times {_AT_ONCE} dialogues"):
        group = bare[start : start + _AT_ONCE]
        for dialogue, said in zip(group, read.annotate(annotator, group), strict=True):
            yield replace(dialogue, annotations=(*dialogue.annotations, said))


def told(found: "Calibration") -> Iterator[str]:
    """What was found, for people: a line or two for each task."""
    yield f"at most {found.max_error:.1%} wrong with {found.confidence:.0%} confidence, against {found.against}:"
    if not found.thresholds():
        yield (
            "  nothing was certified: no field is withheld. Probabilities are scaled all the same; with more dialogues give this "
            "command again (labelgen plan says how many)"
        )
    for one in found.tasks:
        held, measured = one.certificate, one.measured
        name = f"  {one.task} of a {one.unit}"
        if one.labels.weights:
            yield f"{name}: names are weighted {', '.join(f'{weight:.2f}' for weight in one.labels.weights)}"
        if held.threshold is None:
            yield f"{name}: no threshold, labels are given whatever their probability; {held.reason}"
            continue
        yield (
            f"{name}: from {held.threshold:.3f}, coverage {_shown(measured['coverage'])}, "
            f"precision {_shown(measured['precision'])}; {held.errors:,} errors of {held.items:,} in "
            f"{held.dialogues:,} dialogues, p = {held.p_value:.3f}"
        )
        if "beside" in measured:
            beside = measured["beside"]
            yield (
                f"    on these fields, against the others: model {_shown(beside['model'])}, a single person "
                f"{_shown(beside['single_annotator'])}, difference {_shown(beside['difference'])}"
            )


def _shown(interval: Mapping[str, float | None]) -> str:
    value, low, high = (interval[name] for name in ("value", "low", "high"))
    if value is None or low is None or high is None:
        return "not defined"
    return f"{value:.3f} ({low:.3f} to {high:.3f})"
