"""labelgen consensus: one annotation made from several, how far they agree, and how good each annotator is."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args, get_type_hints

from msgspec.structs import replace

from labelgen.base.errors import InputError, UsageError
from labelgen.base.files import write_text
from labelgen.base.options import ARGUMENT, Count
from labelgen.base.terminal import print_lines
from labelgen.cli.command import Command, ConsensusOptions, ForceOptions, LogOptions, fresh_log, joined_names, open_log
from labelgen.data.dialogue import Dialogue
from labelgen.data.labels import Annotation
from labelgen.data.log import Log, write_log

if TYPE_CHECKING:
    from labelgen.agreement.dawid_skene import Reliabilities

_SHOWN = 20


@dataclass(frozen=True, kw_only=True)
class ConsensusCommandOptions(LogOptions, ConsensusOptions, ForceOptions):
    """Add the consensus of a log's annotators to each dialogue; ties are left absent and counted. Prints inter-annotator agreement for each
    question: Krippendorff's alpha (nominal, and ordinal for ratings) and the mean kappa of pairs who share 30 answers or more; and,
    where three or more answered, the share of whole answers that one who says what most say gets right against the others (the
    ceiling), and that a single person does. Then, for each annotator, the share of their answers that the consensus of the others
    gives too."""

    out: Annotated[str, ARGUMENT]
    """log to write, .jsonl or .parquet"""
    min_annotators: Count = 2
    """number of annotators who must answer a field"""
    method: Literal["majority", "unanimous", "dawid-skene", "mace", "measured"] = "majority"
    """majority: most votes; unanimous: equal answers of all; dawid-skene, mace: outcomes and qualities by annotator reliability,
    learned from the log, all else by majority; measured: by error rates counted against people's answers to the same fields"""
    statistics: Annotated[Path | None, "FILE"] = None
    """JSON file to write with agreement and the figures of every annotator"""


METHODS = get_args(get_type_hints(ConsensusCommandOptions)["method"])


@dataclass(frozen=True, slots=True)
class Agreed:
    """A log with a consensus that was written. agreement: a row for each question; annotators: a row for each annotator and task;
    answered: annotator -> number of dialogues."""

    dialogues: int
    agreement: list[dict[str, Any]]
    annotators: list[dict[str, Any]]
    answered: Mapping[str, int]


def consensus_command(options: ConsensusCommandOptions) -> None:
    """Write the log with the consensus, and print agreement and figures of annotators."""
    agreed = write_consensus(options)
    print_lines(f"{agreed.dialogues:,} dialogues written to {options.out}")
    _show_agreement(agreed.agreement)
    _show_annotators(agreed.annotators)
    _say_what_lacks(agreed.agreement, agreed.answered)


def write_consensus(options: ConsensusCommandOptions) -> Agreed:
    """Write the log with the consensus, and with --statistics FILE the figures."""
    from labelgen.agreement.consensus import CONSENSUS as NAME
    from labelgen.agreement.consensus import consensus
    from labelgen.agreement.dawid_skene import learn
    from labelgen.evaluation.annotators import AnnotatorStatistics
    from labelgen.evaluation.protocol import people_of, with_all_named, with_reference
    from labelgen.metrics.results import Setting
    from labelgen.tasks.evaluation import evaluation_tasks, exclusive_names

    setting = Setting(NAME, joined_names(options.annotators), ratings=options.ratings)
    tasks = evaluation_tasks()
    exclusive = exclusive_names(tasks)
    statistics = AnnotatorStatistics(tasks, setting)
    fresh_log(options.out, options.force, options.log)
    if options.statistics:
        fresh_log(str(options.statistics), options.force, options.log)
    log = open_log(options, options.log)

    def people() -> Iterator[list[Annotation]]:
        for dialogue in log:
            yield people_of(dialogue, setting)

    skills: Reliabilities | None = None
    if options.method in ("dawid-skene", "mace", "measured"):
        if "-" in options.log:
            raise UsageError(
                f"--method {options.method} reads the log several times, and standard input can be read once",
                "the log -",
                "write the records to a file first",
            )
        try:
            skills = learn(people, exclusive, options.method)
        except ValueError as error:
            hint = "let people answer some of the fields that the others answered, or use another --method"
            raise InputError(f"error rates cannot be measured: {error}", ", ".join(options.log), hint) from error

    plain = options.method == "majority" and options.min_annotators == 2

    def decided() -> Iterator[Dialogue]:
        for dialogue in with_all_named(log, setting):
            voters = people_of(dialogue, setting)
            result = consensus(
                voters, exclusive, options.min_annotators, options.ratings, options.method == "unanimous", skills
            )
            kept = tuple(a for a in dialogue.annotations if a.annotator != NAME)
            agreed = replace(dialogue, annotations=(*kept, result.annotation))
            # The ceiling is of who says what most say, whatever is written.
            most = agreed if plain else with_reference([dialogue], tasks, setting)[0]
            statistics.add(most, voters, result)
            yield agreed
        if not statistics.dialogues:
            raise _nobody(log, options)

    count = write_log(options.out, decided(), log.labels(), options.force)
    rows, annotators = list(statistics.agreement()), list(statistics.people(skills))
    if options.statistics:
        content = {
            "form": "labelgen annotators 2",
            "method": options.method,
            "agreement": rows,
            "annotators": annotators,
        }
        write_text(options.statistics, json.dumps(content, indent=1, ensure_ascii=False) + "\n")
    return Agreed(count, rows, annotators, statistics.dialogues)


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


def _nobody(log: Log, options: ConsensusCommandOptions) -> InputError:
    """The error of a log without an annotation by the requested annotators; nothing is written."""
    where = ", ".join(map(str, options.log))
    if not log.kept:
        return InputError("the log holds no dialogue", where, "name a log with annotated dialogues")
    who = ", ".join(options.annotators)
    what = f"nobody annotated: none of {log.kept:,} dialogues has an annotation by {who}"
    return InputError(what, where, "name others by --annotators, or let people annotate first: labelgen review export")


def _say_what_lacks(rows: Sequence[Mapping[str, Any]], dialogues: Mapping[str, int]) -> None:
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


CONSENSUS = Command(
    "consensus", ConsensusCommandOptions, consensus_command, "labelgen consensus annotated.jsonl agreed.jsonl"
)
