"""labelgen evaluate: a model beside single people, on the same answers."""

import argparse
import shlex
import sys
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from labelgen.base.errors import UsageError
from labelgen.base.files import atomic_folder, digest_file, existing_file, write_text
from labelgen.base.printable import print_lines
from labelgen.cli.arguments import (
    add_annotators,
    add_device,
    add_domains_from,
    add_force,
    add_log,
    add_precision,
    add_ratings,
    one_or_more,
    open_log,
    parser,
    whole,
)
from labelgen.cli.report import show_results
from labelgen.cli.sound import Folders
from labelgen.data.extra import refuse_without_domains
from labelgen.data.log import Log, write_log

if TYPE_CHECKING:
    from labelgen.model.annotator import Annotator

FRAMES = {"frame_accuracy": ("intents", "slots")}
"""What is asked of several tasks together."""

PREDICTIONS = "predictions.jsonl"
EVALUATION = "evaluation.json"
REPORT = "report.html"


def main(argv: Sequence[str]) -> int:
    args = _parser().parse_args(argv)
    if (args.recompute is None) == (not args.log):
        raise UsageError("name a log, or predictions by --recompute", "the command line", "one of the two")
    if args.model and args.predictions is not None:
        raise UsageError("a model and predictions are given", "--model, --predictions", "give one of the two")
    if args.recompute is not None:
        existing_file(args.recompute)
    with atomic_folder(args.out, args.force) as out:
        if args.recompute is not None:
            found = _again(args.recompute)
            write_log(out / PREDICTIONS, Log([args.recompute]))
        else:
            found = _anew(args, argv, out / PREDICTIONS)
        from labelgen.report.page import render

        write_text(out / EVALUATION, msgspec.json.format(msgspec.json.encode(found), indent=1).decode() + "\n")
        write_text(out / REPORT, render(found))
    show_results(found)
    print_lines("", args.out / REPORT)
    return 0


def _parser() -> argparse.ArgumentParser:
    to = parser(
        "evaluate",
        "Judge a model, or annotations that are in the log, beside single people: each person against the consensus of "
        "the others, the model on the same answers. Writes evaluation.json, predictions.jsonl and report.html.",
        "labelgen evaluate test.jsonl --model model/ --train train.jsonl --out evaluation/",
    )
    add_log(to, nargs="*")
    to.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="the output folder")
    to.add_argument(
        "--model",
        action="append",
        default=[],
        metavar="[NAME=]FOLDER",
        help="annotate the log with this model first, and, where it learned from feedback, once more with the evidence "
        "hidden; with names, several can be judged beside each other",
    )
    to.add_argument("--predictions", type=Path, metavar="LOG", help="take annotations from here, by dialogue id")
    to.add_argument(
        "--recompute",
        type=Path,
        metavar="FILE",
        help=f"compute an evaluation again from its {PREDICTIONS}, with the setting beside it in {EVALUATION}",
    )
    to.add_argument(
        "--reference", default="consensus", metavar="NAME", help="the reference: consensus (default) or an annotator"
    )
    add_annotators(
        to, None, "who makes the consensus; against an annotator nobody is judged beside unless this is given"
    )
    add_ratings(to)
    to.add_argument("--task", action="append", metavar="NAME", help="judge this task only, may be repeated")
    to.add_argument(
        "--min-annotators", type=int, default=0, metavar="N", help="leave out dialogues that fewer people annotated"
    )
    to.add_argument(
        "--train",
        type=Path,
        nargs="+",
        metavar="LOG",
        help="what was trained on: plain rivals learn from it, and "
        "dialogues whose requests all equal a training one's are left out",
    )
    to.add_argument("--online", action="store_true", help="models see no later turns, as in labelgen label --online")
    to.add_argument(
        "--slice",
        action="append",
        default=[],
        metavar="FIELD",
        help="judge the parts by this field of the record apart as well, such as user, status, a feature of the turns, or "
        "probability, the model's own; may be repeated",
    )
    to.add_argument(
        "--worst-slices",
        action="store_true",
        help="search one half of the dialogues for the parts where the first candidate is worst, by one condition or two, "
        "and judge them on the other half",
    )
    add_domains_from(to)
    add_precision(to)
    add_device(to)
    to.add_argument("--title", help="of the report")
    to.add_argument("--split", metavar="WORDS", help="how the log was divided, as the report is to say it")
    to.add_argument("--seed", type=whole, default=0, help="default %(default)s")
    to.add_argument(
        "--resamples", type=one_or_more, default=1000, metavar="N", help="of the bootstrap (default %(default)s)"
    )
    add_force(to)
    return to


def _anew(args: argparse.Namespace, argv: Sequence[str], written: Path) -> dict[str, Any]:
    """written: where the log goes with the annotations of all who are judged."""
    from labelgen.agreement.vote import CONSENSUS
    from labelgen.evaluation.asked import asked
    from labelgen.evaluation.candidates import Judged, candidates_of
    from labelgen.evaluation.evaluate import Description, evaluate
    from labelgen.evaluation.prepare import prepare
    from labelgen.evaluation.question import of_tasks
    from labelgen.evaluation.trials import EVERYONE, Setting, named
    from labelgen.feedback.masking import mask_feedback

    people = EVERYONE if args.annotators is None and args.reference == CONSENSUS else args.annotators
    setting = Setting(
        args.reference,
        *named(people),
        args.seed,
        args.resamples,
        ratings=args.ratings,
        slices=tuple(args.slice),
        worst_slices=args.worst_slices,
    )
    questions = asked(FRAMES)
    if args.task:
        questions = of_tasks(questions, args.task)
    log = open_log(args)
    models = _models(args, log)
    if "-" not in args.log:  # which can be read once
        refuse_without_domains(log, args.domains_from)
    read = Folders(log)
    dialogues, left_out, rivals = prepare(
        read,
        questions,
        setting,
        Log(args.train, args.format, log.options) if args.train else None,
        args.min_annotators,
        [Judged(partial(read.annotate, model), model.learned_from_feedback) for model in models],
        Log([args.predictions]) if args.predictions is not None else None,
    )
    if rivals is not None and not rivals["questions"]:
        who = "its people" if args.reference == CONSENSUS else f"{args.reference} or its people"
        print_lines(
            f"--train: nobody annotated its dialogues ({who} answer nothing that is judged), so there is no plain rival and no "
            "baseline; copies of them are left out all the same",
            file=sys.stderr,
        )
    for model in models:
        if model.sound:
            print_lines(f"{model.name}: {model.sound}", file=sys.stderr)
        if model.learned_from_feedback and all(mask_feedback(d) == d for d in dialogues):
            print_lines(
                f"{model.name}: no dialogue carries feedback evidence, so there was none to hide", file=sys.stderr
            )
    write_log(written, dialogues)
    # What is judged is what was written, so that the file alone gives the same numbers.
    dialogues = list(Log([written], max_bad_rate=0.0))
    candidates = candidates_of(dialogues, setting)
    logs = [str(path) for path in args.log]
    if dialogues and not candidates:
        raise UsageError(
            "there is nobody to judge: no model, llm, user or rule in the log",
            ", ".join(logs),
            "give --model or --predictions; labelgen consensus judges people by themselves",
        )
    cards = {model.name: {"digest": model.provenance.model_digest, **model.card} for model in models}
    description = Description(
        title=args.title or f"{candidates[0] if candidates else 'nobody'} on {', '.join(Path(p).name for p in logs)}",
        command=shlex.join(["labelgen", "evaluate", *argv]),
        paths=tuple(logs),
        digest=digest_file(written),
        split=args.split,
        left_out=left_out,
        rivals=rivals,
        model=next(iter(cards.values())) if len(cards) == 1 else cards,
    )
    return evaluate(dialogues, questions, candidates, setting, description)


def _models(args: argparse.Namespace, log: Log) -> "list[Annotator]":
    """What may be decoded is what the log's labels.json names, where it names some."""
    if not args.model:
        return []
    from labelgen.model.annotator import Annotator

    labels = log.labels()
    parts = [given.rpartition("=") for given in args.model]
    taken = [args.reference]
    for given, equals, folder in parts:
        name = given if equals else "model"
        if name in taken:
            # Its answers would take the place of the other's.
            whose = "the reference" if name == args.reference else "another model"
            raise UsageError(
                f"{name!r} names {whose} too", f"--model {folder}", "write --model NAME=FOLDER with a name of its own"
            )
        taken.append(name)
    return [
        Annotator(
            Path(folder),
            labels,
            name if equals else "model",
            args.precision,
            args.device,
            online=args.online,
            domains_from=args.domains_from,
        )
        for name, equals, folder in parts
    ]


def _again(predictions: Path) -> dict[str, Any]:
    from labelgen.evaluation.asked import asked
    from labelgen.evaluation.evaluate import evaluate, read_evaluation

    description, setting, candidates, names = read_evaluation(predictions.parent / EVALUATION)
    description = replace(description, digest=digest_file(predictions))
    dialogues = list(Log([predictions], max_bad_rate=0.0))
    questions = [question for question in asked(FRAMES) if question.name in names]
    return evaluate(dialogues, questions, candidates, setting, description)
