"""labelgen review: draw a sample of a log, export it for people, and import their answers."""

import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import msgspec

from labelgen.base.errors import InputError, UsageError
from labelgen.base.files import atomic_folder, existing_file, write_text
from labelgen.base.options import ARGUMENT, Choices, Count, WholeNumber
from labelgen.base.terminal import print_lines, progress
from labelgen.cli.command import Command, ForceOptions, OneLogOptions, ReadOptions, fresh_log, open_log
from labelgen.data.dialogue import Dialogue
from labelgen.data.log import Log, Quarantine, quarantine_text, require_annotators, write_log
from labelgen.review.conll import HEADER, conll, read_conll
from labelgen.review.label_studio import TASKS, labeling_config, questions_of, read_answers, task_of
from labelgen.review.merge import NO_FAULTS, AnswerMerger
from labelgen.review.sampling import (
    STRATEGIES,
    draw,
    explain_no_candidates,
    mark_sample,
    model_annotation,
    to_candidate,
)

FORMS = ("label-studio", "conll")
_Form = Annotated[str, Choices("form", FORMS), "FORM"]

TASKS_FILE, CONFIG_FILE, CONLL_FILE = "tasks.json", "config.xml", "turns.conll"


@dataclass(frozen=True, kw_only=True)
class _ModelOptions:
    """The model whose labels are used."""

    annotator: Annotated[str | None, "NAME"] = None
    """annotator whose labels are used; the first model without a value"""


@dataclass(frozen=True, kw_only=True)
class SampleOptions(OneLogOptions, ForceOptions, _ModelOptions):
    """Draw a sample of dialogues for people, the most useful first. abstained: dialogues in which the model abstained; informative:
    dialogues whose answers are expected to teach most; audit: a simple random sample, for estimates about the log. The field `sample`
    of a record describes how the record was drawn."""

    out: Annotated[str, ARGUMENT]
    """output file: .jsonl or .parquet, or - for standard output"""
    count: Count
    """number of dialogues, fewer if the log has no more"""
    strategy: Annotated[str, Choices("way to sample", STRATEGIES)]
    """sampling strategy"""
    seed: WholeNumber = 0
    """seed of the draw"""

    def check(self) -> None:
        """Raises UsageError for standard input."""
        if self.log == "-":
            raise UsageError("the log is read twice, and standard input once", "the log -", "write it to a file first")


def sample(options: SampleOptions) -> None:
    """Write the sample, and print its size."""
    fresh_log(options.out, options.force, [options.log])
    log = open_log(options, [options.log])
    records = progress(log, "reading", "dialogues")
    candidates = [one for d in records if (one := to_candidate(d, options.strategy, options.annotator)) is not None]
    if log.kept and not candidates:
        what, hint = explain_no_candidates(log, options.strategy, options.annotator)
        raise InputError(what, options.log, hint)
    drawn = {one.dialogue: one for one in draw(candidates, options.strategy, options.count, options.seed)}
    chosen = [mark_sample(d, drawn[d.id], options.strategy, options.seed) for d in log if d.id in drawn]
    chosen.sort(key=lambda dialogue: drawn[dialogue.id].rank)
    count = write_log(options.out, chosen, log.labels(), options.force)
    turns = sum(len(dialogue.turns) for dialogue in chosen)
    _print(
        options.out,
        f"{count:,} dialogues with {turns:,} turns, {options.strategy} of {len(candidates):,} in {log.kept:,}",
    )


@dataclass(frozen=True, kw_only=True)
class ExportOptions(ReadOptions, ForceOptions, _ModelOptions):
    """Export a sample for people. label-studio: tasks.json, with the model's labels as predictions, and config.xml, the labeling
    configuration of the project; conll: turns.conll, slots and intents in columns."""

    sample: Annotated[str, ARGUMENT]
    """file or folder of records"""
    out: Annotated[Path, ARGUMENT]
    """output folder"""
    to: _Form
    """form of the output"""
    task: Annotated[tuple[str, ...], Choices("task", TASKS), "TASK"] = ()
    """task that people label; all without a value"""
    blind: bool = False
    """output without the model's labels, so that they influence nobody"""

    def check(self) -> None:
        """Raises UsageError for tasks that columns cannot hold."""
        if self.to == "conll" and self.task:
            raise UsageError("columns hold slots and intents, no other tasks", "--task", "leave --task away")


def export(options: ExportOptions) -> None:
    """Write the files, and print their names."""
    with atomic_folder(options.out, options.force) as folder:
        log = open_log(options, [options.sample])
        dialogues = list(require_annotators(log, [options.annotator], "--annotator"))
        files, left_out = (_columns if options.to == "conll" else _tasks)(options, log, dialogues)
        for name, text in files.items():
            write_text(folder / name, text)
    for name in files:
        print_lines(options.out / name)
    print_lines(f"{len(dialogues) - left_out.total():,} of {len(dialogues):,} dialogues")
    for reason, count in left_out.items():
        print_lines(f"{count:,} left out: {reason}")


def _tasks(options: ExportOptions, log: Log, dialogues: Sequence[Dialogue]) -> tuple[dict[str, str], Counter[str]]:
    """Files for Label Studio, and the number of dialogues that are left out, by reason."""
    left_out = Counter("no turns to be shown" for dialogue in dialogues if not dialogue.turns)
    questions = questions_of(dialogues, log.labels(), options.task or TASKS)
    tasks = [task_of(d, model_annotation(d, options.annotator), questions, options.blind) for d in dialogues if d.turns]
    text = msgspec.json.format(msgspec.json.encode(tasks), indent=1).decode() + "\n"
    return {TASKS_FILE: text, CONFIG_FILE: labeling_config(questions)}, left_out


def _columns(options: ExportOptions, _: Log, dialogues: Sequence[Dialogue]) -> tuple[dict[str, str], Counter[str]]:
    """The file of columns, and the number of dialogues that are left out, by reason."""
    left_out: Counter[str] = Counter()
    blocks = [f"{HEADER}\n"]
    for dialogue in dialogues:
        text = conll(dialogue, None if options.blind else model_annotation(dialogue, options.annotator))
        if not text:
            left_out["slots overlap" if text is None else "no turns to be shown"] += 1
        blocks.append(text or "")
    return {CONLL_FILE: "".join(blocks)}, left_out


@dataclass(frozen=True, kw_only=True)
class ImportOptions(OneLogOptions, ForceOptions):
    """Import people's answers: write each record of the log with them, each person as an annotator. Answers that cannot be used are
    rejected with a reason."""

    answers: Annotated[Path, ARGUMENT]
    """Label Studio's export in the format JSON, or a file of columns"""
    out: Annotated[str, ARGUMENT]
    """output file: .jsonl or .parquet, or - for standard output"""
    from_: _Form = FORMS[0]
    """form of the answers"""
    annotator: Annotated[str | None, "NAME"] = None
    """person who filled in the columns; Label Studio's export names its annotators"""

    def check(self) -> None:
        """Raises UsageError for columns without an annotator, and the reverse."""
        if (self.from_ == "conll") != (self.annotator is not None):
            hint = "give --annotator NAME" if self.from_ == "conll" else "leave --annotator away"
            raise UsageError("conll needs --annotator; Label Studio's export names annotators", "--annotator", hint)


def import_answers(options: ImportOptions) -> None:
    """Write the records, and print how many annotations were added."""
    existing_file(options.answers)
    fresh_log(options.out, options.force, [options.log])
    # Rejected records of the log and rejected answers go to one file.
    quarantine = Quarantine(options.quarantine) if options.quarantine is not None else None
    try:
        _merge(options, open_log(options, [options.log], quarantine=quarantine), quarantine)
    finally:
        if quarantine is not None:
            quarantine.close()


def _merge(options: ImportOptions, log: Log, quarantine: Quarantine | None) -> None:
    ignored: Counter[str] = Counter()
    answers = (
        read_answers(options.answers, ignored)
        if options.annotator is None
        else read_conll(options.answers, options.annotator)
    )
    merger = AnswerMerger(answers, lambda item: quarantine.add(item) if quarantine is not None else None)

    def merged() -> Iterator[Dialogue]:
        yield from progress(merger(log), "review", "dialogues")
        _check_fault_rate(merger, options)

    count = write_log(options.out, merged(), log.labels(), options.force)
    for annotator, dialogues in sorted(merger.added.items()):
        _print(options.out, f"{annotator}: {dialogues:,} dialogues")
    _print(options.out, f"{merger.added.total():,} annotations added to {count:,} records")
    if ignored:
        shown = ", ".join(f"{name} {n:,}" for name, n in sorted(ignored.items()))
        _print(options.out, f"left out, not part of labelgen's configuration: {shown}")
    if not merger.added and not merger.reasons:
        what = f"{options.answers} has no answers: it is the file before anyone answered"
        print_lines(f"{what}; export it after people have answered", file=sys.stderr)
    if merger.reasons:
        where = f"in {quarantine}" if quarantine is not None else "--quarantine FILE keeps them"
        print_lines(quarantine_text(merger.reasons, where), file=sys.stderr)


def _check_fault_rate(merger: AnswerMerger, options: ImportOptions) -> None:
    """Raises InputError if the share of rejected annotations is above --max-bad-rate."""
    faults, good = merger.faults, merger.added.total()
    if merger.first is None or faults <= options.max_bad_rate * (faults + good):
        return
    counts = ", ".join(f"{r} {n:,}" for r, n in merger.reasons.most_common() if r not in NO_FAULTS)
    raise InputError(
        f"{faults:,} of {faults + good:,} annotations cannot be used ({faults / (faults + good):.1%}), more than the "
        f"{options.max_bad_rate:.1%} allowed: {counts}",
        f"the first: {merger.first.where()}: {merger.first.reason}",
        "fix the answers, or raise --max-bad-rate to use the others",
    )


def _print(out: str, line: str) -> None:
    """Print a line to standard output, or to standard error if the records go to standard output."""
    print_lines(line, file=sys.stderr if out == "-" else sys.stdout)


SAMPLE = Command(
    "review sample",
    SampleOptions,
    sample,
    "labelgen review sample labeled/ sample.jsonl --count 200 --strategy abstained",
)
EXPORT = Command(
    "review export", ExportOptions, export, "labelgen review export sample.jsonl review/ --to label-studio"
)
IMPORT = Command(
    "review import",
    ImportOptions,
    import_answers,
    "labelgen review import sample.jsonl answers.json answered.jsonl --quarantine bad.jsonl",
)
