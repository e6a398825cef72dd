"""labelgen review: draw a sample of a log, export it for people or an LLM, and import the answers."""

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
from labelgen.steps.review import AnswerOptions, ExportOptions, SampleOptions, add_answers, draw_sample, export


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


SAMPLE = rewriting(draw_sample, SampleOptions, "labeled/ sample.jsonl --count 200 --strategy abstained")
EXPORT = Command(ExportCommand, export_command, "sample.jsonl review/ --to label-studio")
IMPORT = Command(ImportCommand, import_command, "sample.jsonl answers.json answered.jsonl --quarantine bad.jsonl")
