"""labelgen review: draw a sample of a log, export it for people or an LLM, import the answers, and list likely annotation errors."""

import sys
from contextlib import closing, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from labelgen.base.files import atomic_folder, existing_file, write_text
from labelgen.base.options import ARGUMENT
from labelgen.base.terminal import print_lines, progress
from labelgen.cli.command import Command, ForceOptions, OneLogOptions, ReadOptions, fresh_log, open_log, rewriting
from labelgen.data.log import Quarantine, require_annotators, write_log
from labelgen.data.tables import open_table_writer
from labelgen.review.errors import COLUMNS, by_label
from labelgen.steps.review import (
    AnswerOptions,
    ErrorsOptions,
    ExportOptions,
    SampleOptions,
    add_answers,
    draw_sample,
    export,
    find_errors,
)

_SHOWN_LABELS = 10


@dataclass(frozen=True, kw_only=True)
class ExportCommand(ExportOptions, ForceOptions, ReadOptions):
    sample: Annotated[str, ARGUMENT]
    """file or folder of records"""
    out: Annotated[Path, ARGUMENT]
    """output folder"""


def export_command(options: ExportCommand) -> None:
    """Write the files, and print their names."""
    with atomic_folder(options.out, options.force) as folder:
        log = open_log(options, [options.sample])
        dialogues = list(require_annotators(log, [options.annotator], "--annotator"))
        files = export(dialogues, log.labels(), options)
        for name, text in files.items():
            write_text(folder / name, text)
    with_turns = sum(1 for dialogue in dialogues if dialogue.turns)
    print_lines(*(options.out / name for name in files), f"{with_turns:,} of {len(dialogues):,} dialogues")
    if with_turns < len(dialogues):
        print_lines(f"{len(dialogues) - with_turns:,} left out: no turns to be shown")


@dataclass(frozen=True, kw_only=True)
class ImportCommand(AnswerOptions, ForceOptions, OneLogOptions):
    answers: Annotated[Path, ARGUMENT]
    """Label Studio's export in the format JSON, or JSON Lines of answers"""
    out: Annotated[str, ARGUMENT]
    """output file: .jsonl or .parquet, or - for standard output"""


def import_command(options: ImportCommand) -> None:
    """Write the records, and print how many annotations were added."""
    existing_file(options.answers)
    fresh_log(options.out, options.force, [options.log])
    # Rejected records of the log and rejected answers go to one file.
    with nullcontext() if options.quarantine is None else closing(Quarantine(options.quarantine)) as quarantine:
        log = open_log(options, quarantine=quarantine)
        reject = None if quarantine is None else quarantine.add
        made = add_answers(log, log.labels(), options.answers, options, reject, options.max_bad_rate)
        count = write_log(options.out, progress(made.dialogues, "review", "dialogues"), log.labels(), options.force)
    print_lines(*made.lines(count), file=sys.stderr if options.out == "-" else sys.stdout)


@dataclass(frozen=True, kw_only=True)
class ErrorsCommand(ErrorsOptions, ForceOptions, OneLogOptions):
    out: Annotated[Path, ARGUMENT]
    """output file: .csv or .parquet"""


def errors_command(options: ErrorsCommand) -> None:
    """Write the table, and print the number of likely errors by annotator and by label; on standard error what could not be compared."""
    fresh_log(options.out, options.force, [options.log])
    # The log comes first, since a private one makes a private table.
    log = open_log(options)
    with open_table_writer(options.out, options.force, COLUMNS) as write:
        search = find_errors(log, options)
        likely = search.likely_errors()
        for rank, error in enumerate(likely, start=1):
            write(error.row(rank))
    print_lines(*search.notes(), file=sys.stderr)
    for row in search.by_annotator(likely):
        counts = f"{row['errors']:,} of {row['answers']:,} ({row['share']:.1%})"
        print_lines(f"{row['annotator']}, {row['task']}: {counts}")
    for row in by_label(likely)[:_SHOWN_LABELS]:
        names = f"{row['label'] or 'none'}, suggested {row['suggested'] or 'none'}"
        print_lines(f"{row['task']}: {row['errors']:,} times {names}")
    print_lines(f"{len(likely):,} likely errors in {options.out}")


SAMPLE = rewriting(
    "review sample",
    draw_sample,
    SampleOptions,
    "labelgen review sample labeled/ sample.jsonl --count 200 --strategy abstained",
)
EXPORT = Command(
    "review export",
    ExportCommand,
    export_command,
    "labelgen review export sample.jsonl review/ --to label-studio",
)
ERRORS = Command(
    "review errors",
    ErrorsCommand,
    errors_command,
    "labelgen review errors labeled/ errors.csv --annotator model --task quality",
)
IMPORT = Command(
    "review import",
    ImportCommand,
    import_command,
    "labelgen review import sample.jsonl answers.json answered.jsonl --quarantine bad.jsonl",
)
