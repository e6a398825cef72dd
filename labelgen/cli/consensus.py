"""labelgen consensus: one annotation made from several, how far they agree, and how good each annotator is."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from labelgen.base.files import write_text
from labelgen.base.options import ARGUMENT
from labelgen.base.terminal import print_lines
from labelgen.cli.command import Command, ForceOptions, LogOptions, fresh_log, open_log
from labelgen.data.log import write_log
from labelgen.steps.consensus import AgreeOptions, agree

_SHOWN = 20


@dataclass(frozen=True, kw_only=True)
class ConsensusCommand(AgreeOptions, LogOptions, ForceOptions):
    out: Annotated[str, ARGUMENT]
    """log to write, .jsonl or .parquet"""
    statistics: Annotated[Path | None, "FILE"] = None
    """JSON file to write with agreement and the figures of every annotator"""


def consensus_command(options: ConsensusCommand) -> None:
    """Write the log with the consensus, and print agreement and figures of annotators."""
    fresh_log(options.out, options.force, options.log)
    if options.statistics:
        fresh_log(options.statistics, options.force, options.log)
    log = open_log(options, options.log)
    agreed = agree(log, options)
    count = write_log(options.out, agreed.dialogues, log.labels(), options.force)
    agreement, annotators = agreed.agreement(), agreed.annotators()
    if options.statistics:
        content = {
            "form": "labelgen annotators 2",
            "method": options.method,
            "agreement": agreement,
            "annotators": annotators,
        }
        write_text(options.statistics, json.dumps(content, indent=1, ensure_ascii=False) + "\n")
    print_lines(f"{count:,} dialogues written to {options.out}")
    _show_agreement(agreement)
    _show_annotators(annotators)
    _say_what_lacks(agreement, agreed.answered())


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


CONSENSUS = Command("consensus", ConsensusCommand, consensus_command, "labelgen consensus annotated.jsonl agreed.jsonl")
