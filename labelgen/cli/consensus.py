"""labelgen consensus: one annotation made from several, how far they agree, and how good each annotator is."""

import argparse
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from labelgen.base.errors import InputError, UsageError
from labelgen.base.files import write_text
from labelgen.base.printable import print_lines
from labelgen.cli.arguments import (
    add_annotators,
    add_force,
    add_log,
    add_ratings,
    fresh_log,
    one_or_more,
    open_log,
    parser,
)
from labelgen.data.dialogue import Dialogue
from labelgen.data.labels import Annotation
from labelgen.data.log import Log, write_log

if TYPE_CHECKING:
    from labelgen.agreement.dawid_skene import Reliabilities

METHODS = ("majority", "unanimous", "dawid-skene", "mace")
_SHOWN = 20


def main(argv: Sequence[str]) -> int:
    args = _parser().parse_args(argv)
    from labelgen.agreement.consensus import CONSENSUS, consensus
    from labelgen.agreement.dawid_skene import learn
    from labelgen.evaluation.annotators import AnnotatorStatistics
    from labelgen.evaluation.protocol import people_of, with_all_named, with_reference
    from labelgen.evaluation.tasks import evaluation_tasks, exclusive_names
    from labelgen.metrics.results import Setting

    setting = Setting(CONSENSUS, args.annotators, ratings=args.ratings)
    tasks = evaluation_tasks()
    exclusive = exclusive_names(tasks)
    found = AnnotatorStatistics(tasks, setting)
    fresh_log(args.out, args.force, args.log)
    if args.statistics:
        fresh_log(str(args.statistics), args.force, args.log)
    log = open_log(args)

    def people() -> Iterator[list[Annotation]]:
        for dialogue in log:
            yield people_of(dialogue, setting)

    skills: Reliabilities | None = None
    if args.method in ("dawid-skene", "mace"):
        if "-" in args.log:
            raise UsageError(
                f"--method {args.method} reads the log several times, and standard input can be read once",
                "the log -",
                "write the records to a file first",
            )
        skills = learn(people, exclusive, args.method)

    plain = args.method == "majority" and args.min_annotators == 2

    def decided() -> Iterator[Dialogue]:
        for dialogue in with_all_named(log, setting):
            given = people_of(dialogue, setting)
            result = consensus(given, exclusive, args.min_annotators, args.ratings, args.method == "unanimous", skills)
            kept = tuple(a for a in dialogue.annotations if a.annotator != CONSENSUS)
            agreed = replace(dialogue, annotations=(*kept, result.annotation))
            # The ceiling is of who says what most say, whatever is written.
            most = agreed if plain else with_reference([dialogue], tasks, setting)[0]
            found.add(most, given, result)
            yield agreed
        if not found.dialogues:
            raise _nobody(log, args)

    count = write_log(args.out, decided(), log.labels(), args.force)
    print_lines(f"{count:,} dialogues written to {args.out}")
    rows, annotators = list(found.agreement()), list(found.people(skills))
    _show_agreement(rows)
    _show_annotators(annotators)
    _say_what_lacks(rows, found.dialogues, args)
    if args.statistics:
        told = {"form": "labelgen annotators 2", "method": args.method, "agreement": rows, "annotators": annotators}
        write_text(args.statistics, json.dumps(told, indent=1, ensure_ascii=False) + "\n")
    return 0


def _parser() -> argparse.ArgumentParser:
    to = parser(
        "consensus",
        "Add the consensus of a log's people to each dialogue; ties are left absent and counted. Prints, for "
        "each question, Krippendorff's alpha (nominal, and ordinal for ratings) and the mean kappa of pairs "
        "who share 30 answers or more; and, where three or more answered, the share of whole answers that one "
        "who says what most say gets right against the others (the ceiling), and that a single person does. Then, for each "
        "annotator, the share of their answers that the consensus of the others gives too.",
        "labelgen consensus annotated.jsonl agreed.jsonl",
    )
    add_log(to)
    to.add_argument("out", help="the log to write, .jsonl or .parquet")
    add_annotators(to, "kind=person", "whose annotations are put together")
    to.add_argument(
        "--min-annotators",
        type=one_or_more,
        default=2,
        metavar="N",
        help="people who must answer a field (default %(default)s)",
    )
    to.add_argument(
        "--method",
        choices=METHODS,
        default="majority",
        help="majority: most votes; unanimous: what all say alike; dawid-skene, mace: outcomes and qualities by what each "
        "annotator's word is worth, learned from the log, all else by majority (default %(default)s)",
    )
    add_ratings(to)
    to.add_argument(
        "--statistics", type=Path, metavar="FILE", help="write agreement and every annotator's figures here, JSON"
    )
    add_force(to)
    return to


def _show_agreement(rows: Iterable[Mapping[str, Any]]) -> None:
    print_lines(
        f"{'task':<20} {'judged twice':>12} {'ties':>6} {'alpha':>7} {'ordinal':>8} {'kappa':>7} {'ceiling':>8} {'person':>7}"
    )
    for row in rows:
        alpha, ordinal, kappa, ceiling, person = (
            _shown(row[key]) for key in ("alpha", "alpha_ordinal", "kappa", "ceiling", "human")
        )
        print_lines(
            f"{row['task']:<20} {row['judged_twice']:>12,} {row['ties']:>6,} {alpha:>7} {ordinal:>8} {kappa:>7} "
            f"{ceiling:>8} {person:>7}"
        )


def _show_annotators(rows: Sequence[Mapping[str, Any]]) -> None:
    """Those with most answers; all of them are in --statistics FILE."""
    if not rows:
        return
    print_lines("")
    print_lines(f"{'annotator':<28} {'task':<20} {'answers':>8} {'judged':>8} {'right':>7} {'skill':>7}")
    most = sorted(rows, key=lambda row: -row["answers"])[:_SHOWN]
    for row in most:
        name = row["annotator"] or f"{row['annotators']:,} of one dialogue"
        print_lines(
            f"{name:<28} {row['task']:<20} {row['answers']:>8,} {row['judged']:>8,} {_shown(row['accuracy']):>7} "
            f"{_shown(row['skill']):>7}"
        )
    if len(rows) > len(most):
        print_lines(f"... and {len(rows) - len(most):,} rows more; --statistics FILE writes all")


def _nobody(log: Log, args: argparse.Namespace) -> InputError:
    """The error of a log without an annotation by those who are asked for; nothing is written."""
    where = ", ".join(map(str, args.log))
    if not log.kept:
        return InputError("the log holds no dialogue", where, "name a log with annotated dialogues")
    what = f"nobody annotated: none of {log.kept:,} dialogues has an annotation by {args.annotators}"
    return InputError(what, where, "name others by --annotators, or let people annotate first: labelgen review export")


def _say_what_lacks(rows: Sequence[Mapping[str, Any]], dialogues: Mapping[str, int], args: argparse.Namespace) -> None:
    """Why a figure is missing, and what would fix it."""
    if not rows:
        print_lines("nothing was answered: the annotations of people are empty")
    elif not any(row["judged_twice"] for row in rows):
        alone = len(dialogues) == 1
        reason = (
            f"{next(iter(dialogues))} is the only annotator" if alone else "no two annotators answered the same field"
        )
        print_lines(f"no consensus and no agreement: {reason}; both need items that two or more people annotated")


def _shown(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
