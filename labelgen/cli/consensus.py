"""labelgen consensus: one annotation made from several, how far they agree, and how good each annotator is."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from labelgen.base.files import write_json
from labelgen.base.options import ARGUMENT
from labelgen.base.terminal import aligned, print_lines
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
    for path in (options.out, options.statistics):
        if path is not None:
            fresh_log(path, options.force, options.log)
    log = open_log(options)
    agreed = agree(log, options)
    count = write_log(options.out, agreed.dialogues, log.labels(), options.force)
    statistics = agreed.statistics
    rows = {"agreement": list(statistics.agreement()), "annotators": list(statistics.people(agreed.skills))}
    if options.statistics:
        write_json(options.statistics, {"form": "labelgen annotators 2", "method": options.method, **rows})
    print_lines(f"{count:,} dialogues written to {options.out}", *_lines(rows, statistics.dialogues))


def _lines(found: Mapping[str, Sequence[Mapping[str, Any]]], dialogues: Mapping[str, int]) -> Iterator[str]:
    """Agreement, the annotators with most answers, and why a figure is missing. dialogues: annotator -> their number."""
    agreement = found["agreement"]
    figures = ("alpha", "alpha_ordinal", "human")
    rows: list[tuple[str, ...]] = [("task", "judged twice", "ties", "alpha", "ordinal", "person")]
    for row in agreement:
        rows.append(
            (row["task"], f"{row['judged_twice']:,}", f"{row['ties']:,}", *(_shown(row[key]) for key in figures))
        )
    yield from aligned(rows, 1)
    people = sorted(found["annotators"], key=lambda row: -row["answers"])
    if people:
        rows = [("annotator", "task", "answers", "judged", "right", "skill")]
        for row in people[:_SHOWN]:
            name = row["annotator"] or f"{row['annotators']:,} of one dialogue"
            counts = (f"{row[key]:,}" for key in ("answers", "judged"))
            rows.append((name, row["task"], *counts, _shown(row["accuracy"]), _shown(row["skill"])))
        yield from ("", *aligned(rows, 2))
    if len(people) > _SHOWN:
        yield f"... and {len(people) - _SHOWN:,} rows more; --statistics FILE writes all"
    if not agreement:
        yield "nothing was answered: the annotations of people are empty"
    elif not any(row["judged_twice"] for row in agreement):
        alone = f"{next(iter(dialogues))} is the only annotator"
        reason = alone if len(dialogues) == 1 else "no two annotators answered the same field"
        yield f"no consensus and no agreement: {reason}; both need items that two or more people annotated"


def _shown(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


CONSENSUS = Command(ConsensusCommand, consensus_command, "annotated.jsonl agreed.jsonl")
