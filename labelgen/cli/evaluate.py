"""labelgen evaluate: systems against a reference, beside the human baseline and the baselines."""

import argparse
import shlex
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

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
from labelgen.data.label_sets import refuse_without_domains
from labelgen.data.log import Log, write_log

if TYPE_CHECKING:
    from labelgen.metrics.results import Evaluation
    from labelgen.model.annotator import Annotator

FRAMES = {"frame_accuracy": ("intents", "slots")}
"""Metrics that judge several tasks jointly."""

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
            evaluation = _recomputed(args.recompute)
            write_log(out / PREDICTIONS, Log([args.recompute]))
        else:
            evaluation = _evaluated(args, argv, out / PREDICTIONS)
        from labelgen.report.page import render

        write_text(out / EVALUATION, evaluation.encode().decode())
        write_text(out / REPORT, render(evaluation))
    show_results(evaluation)
    print_lines("", args.out / REPORT)
    return 0


def _parser() -> argparse.ArgumentParser:
    to = parser(
        "evaluate",
        "Judge a model, or annotations that are in the log, beside the human baseline: each annotator is left out in turn and judged "
        "against the consensus of the others, the model on the same answers. Writes evaluation.json, predictions.jsonl and report.html.",
        "labelgen evaluate test.jsonl --model model/ --train train.jsonl --out evaluation/",
    )
    add_log(to, nargs="*")
    to.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="the output folder")
    to.add_argument(
        "--model",
        action="append",
        default=[],
        metavar="[NAME=]FOLDER",
        help="model that annotates the log first and, where it learned from feedback, once more with the feedback masked; may be "
        "repeated with names",
    )
    to.add_argument("--predictions", type=Path, metavar="LOG", help="log whose annotations are judged, by dialogue id")
    to.add_argument(
        "--recompute",
        type=Path,
        metavar="FILE",
        help=f"the {PREDICTIONS} of an evaluation that is computed again, with the setting in the {EVALUATION} of its folder",
    )
    to.add_argument(
        "--reference", default="consensus", metavar="NAME", help="who is right: consensus (default) or an annotator"
    )
    add_annotators(
        to,
        None,
        "human annotators, who make the consensus; against one annotator there is no human baseline without this",
    )
    to.add_argument(
        "--others",
        type=whole,
        metavar="N",
        help="number of the other annotators whose consensus each one is judged against, drawn by the seed (default all of them); 0 leaves "
        "nobody out: systems are judged against the consensus of all annotators, without a human baseline",
    )
    add_ratings(to)
    to.add_argument("--task", action="append", metavar="NAME", help="the only task to judge; may be repeated")
    to.add_argument(
        "--group",
        metavar="CLASSES",
        help="labels of a task that are judged as one class, such as bad,fair+good; the consensus is made before",
    )
    to.add_argument(
        "--first-turn", type=whole, default=0, metavar="N", help="first turn that is judged (default %(default)s)"
    )
    to.add_argument("--pool-units", action="store_true", help="judge turns, goals and dialogues of a task together")
    to.add_argument(
        "--min-annotators",
        type=whole,
        default=0,
        metavar="N",
        help="number of human annotators below which a dialogue is left out (default %(default)s)",
    )
    to.add_argument(
        "--train",
        type=Path,
        nargs="+",
        metavar="LOG",
        help="training part, from which baselines learn; dialogues whose requests all equal those of a training dialogue are left out",
    )
    to.add_argument("--new-users", action="store_true", help="leave out dialogues by users of the training part")
    to.add_argument(
        "--baseline",
        action="append",
        metavar="NAME",
        help="baseline that learns from the training part; may be repeated (default bag_of_words, constant_per_source, rule, majority_class; "
        "also field_trees, each_turn_a_goal)",
    )
    to.add_argument("--online", action="store_true", help="models see no later turns, as in labelgen label --online")
    to.add_argument(
        "--slice",
        action="append",
        default=[],
        metavar="FIELD",
        help="field of the record to slice by, besides the default ones, such as user, status, a feature of the turns, or probability, the "
        "model's own; may be repeated",
    )
    to.add_argument(
        "--worst-slices",
        action="store_true",
        help="search one half of the dialogues for the slices where the first system is worst, by one condition or two, and measure them "
        "on the other half",
    )
    add_domains_from(to)
    add_precision(to)
    add_device(to)
    to.add_argument("--title", help="title of the report")
    to.add_argument("--split", metavar="WORDS", help="how the log was divided, in words for the report")
    to.add_argument("--seed", type=whole, default=0, help="seed of all random draws (default %(default)s)")
    to.add_argument(
        "--resamples",
        type=one_or_more,
        default=1000,
        metavar="N",
        help="number of bootstrap resamples (default %(default)s)",
    )
    add_force(to)
    return to


def _evaluated(args: argparse.Namespace, argv: Sequence[str], written: Path) -> "Evaluation":
    """written: where the log goes with the annotations of all who are judged."""
    from labelgen.agreement.consensus import CONSENSUS
    from labelgen.evaluation.baselines import DEFAULT
    from labelgen.evaluation.evaluate import Description, evaluate
    from labelgen.evaluation.prepare import JudgedModel, prepare, systems_of
    from labelgen.evaluation.tasks import about, as_set, evaluation_tasks, parse_groups
    from labelgen.feedback.masking import mask_feedback
    from labelgen.metrics.results import EVERYONE, Setting

    by_consensus = args.reference == CONSENSUS
    setting = Setting(
        reference=args.reference,
        annotators=EVERYONE if args.annotators is None and by_consensus else args.annotators,
        others=args.others,
        ratings=args.ratings,
        groups=parse_groups(args.group) if args.group else (),
        first_turn=args.first_turn,
        pool_units=args.pool_units,
        slices=tuple(args.slice),
        worst_slices=args.worst_slices,
        seed=args.seed,
        resamples=args.resamples,
    )
    for option in () if args.train else ("new_users", "baseline"):
        if getattr(args, option):
            name = f"--{option.replace('_', '-')}"
            raise UsageError(f"{name} needs a training part", name, "name it by --train")
    tasks = evaluation_tasks(FRAMES)
    if args.task:
        tasks = about(tasks, args.task)
    as_set(tasks, setting)
    log = open_log(args)
    models = _models(args, log)
    if "-" not in args.log:  # which can be read once
        refuse_without_domains(log, args.domains_from)
    read = Folders(log)
    prepared = prepare(
        read,
        tasks,
        setting,
        Log(args.train, args.format, log.options) if args.train else None,
        args.min_annotators,
        [JudgedModel(partial(read.annotate, model), model.learned_from_feedback) for model in models],
        Log([args.predictions]) if args.predictions is not None else None,
        args.baseline or DEFAULT,
        args.new_users,
    )
    if prepared.baselines is not None and not prepared.baselines.tasks:
        who = "its people" if by_consensus else f"{args.reference} or its people"
        print_lines(
            f"--train: nobody annotated its dialogues ({who} answer nothing that is judged), so there are no baselines; copies of them are "
            "left out all the same",
            file=sys.stderr,
        )
    for model in models:
        if model.sound:
            print_lines(f"{model.name}: {model.sound}", file=sys.stderr)
        if model.learned_from_feedback and all(mask_feedback(d) == d for d in prepared.dialogues):
            print_lines(f"{model.name}: no dialogue carries feedback, so none was masked", file=sys.stderr)
    write_log(written, prepared.dialogues)
    # What is judged is what was written, so that the file alone gives the same numbers.
    dialogues = list(Log([written], max_bad_rate=0.0))
    systems = systems_of(dialogues, setting)
    logs = [str(path) for path in args.log]
    if dialogues and not systems:
        raise UsageError(
            "there is nobody to judge: no model, llm, user or rule in the log",
            ", ".join(logs),
            "give --model or --predictions; labelgen consensus judges people by themselves",
        )
    cards = {model.name: {"digest": model.provenance.model_digest, **model.card} for model in models}
    description = Description(
        title=args.title or f"{systems[0] if systems else 'nobody'} on {', '.join(Path(p).name for p in logs)}",
        command=shlex.join(["labelgen", "evaluate", *argv]),
        paths=tuple(logs),
        digest=digest_file(written),
        split=args.split,
        left_out=prepared.left_out,
        baselines=prepared.baselines,
        model=next(iter(cards.values())) if len(cards) == 1 else cards,
    )
    return evaluate(dialogues, tasks, systems, setting, description)


def _models(args: argparse.Namespace, log: Log) -> "list[Annotator]":
    """The models; labels.json of the log, where it has one, names the labels that are allowed."""
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


def _recomputed(predictions: Path) -> "Evaluation":
    """The evaluation of a log of predictions, with the setting in the evaluation.json of its folder."""
    from labelgen.evaluation.evaluate import Description, evaluate
    from labelgen.evaluation.tasks import evaluation_tasks
    from labelgen.metrics.results import read_evaluation

    path = predictions.parent / EVALUATION
    if not path.is_file():
        raise UsageError(f"no {EVALUATION} beside the predictions", str(path), "keep the two files of one run together")
    before = read_evaluation(path)
    description = Description(
        title=before.title,
        command=before.command,
        paths=tuple(before.data.paths),
        digest=digest_file(predictions),
        split=before.data.split,
        left_out={entry.reason: entry.dialogues or 0 for entry in before.data.left_out},
        baselines=before.baselines,
        model=before.model,
    )
    judged = {tuple(task.tasks) for task in before.tasks}
    tasks = [task for task in evaluation_tasks(FRAMES) if task.tasks in judged]
    dialogues = list(Log([predictions], max_bad_rate=0.0))
    return evaluate(dialogues, tasks, before.systems, before.setting, description)
