"""labelgen review: draw a sample of a log, export it for people, and import their answers."""

import sys
from collections import Counter
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import msgspec

from labelgen.base.errors import InputError, UsageError
from labelgen.base.files import atomic_folder, existing_file, write_text
from labelgen.base.options import ARGUMENT, Choices, Count, WholeNumber
from labelgen.base.terminal import print_lines, progress
from labelgen.cli.command import Command, ForceOptions, OneLogOptions, ReadOptions, fresh_log, open_log
from labelgen.data.dialogue import Dialogue
from labelgen.data.label_table import open_table_writer
from labelgen.data.log import Log, Quarantine, quarantine_text, require_annotators, write_log
from labelgen.data.record import Rejected
from labelgen.review.argilla import datasets_of, ids_in, read_responses
from labelgen.review.conll import HEADER, conll, read_conll
from labelgen.review.errors import COLUMNS as ERROR_COLUMNS
from labelgen.review.errors import ErrorSearch, LikelyError, by_label, explain_no_answers, search_errors
from labelgen.review.label_studio import TASKS, Questions, labeling_config, questions_of, read_answers, task_of
from labelgen.review.llm import ids_of, prompt_lines, prompts_of, read_llm_answers
from labelgen.review.merge import NO_FAULTS, AnswerMerger, ReviewAnswer
from labelgen.review.sampling import (
    STRATEGIES,
    draw,
    explain_no_candidates,
    mark_sample,
    model_annotation,
    to_candidate,
)

FORMS = ("label-studio", "argilla", "conll")
LLM = "llm"
_SHOWN_LABELS = 10
_Form = Annotated[str, Choices("form", FORMS), "FORM"]

TASKS_FILE, CONFIG_FILE, CONLL_FILE, PROMPTS_FILE = "tasks.json", "config.xml", "turns.conll", "prompts.jsonl"


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
    """Export a sample for people or an LLM. label-studio: tasks.json, and config.xml, the labeling configuration of the
    project; argilla: two datasets to be read by rg.Dataset.from_disk, turns and dialogues; conll: turns.conll, slots and intents in
    columns. For an LLM: prompts.jsonl, a line for each dialogue with its id, the rubric, the dialogue, the schema of the answer, and the
    prompt, which is all of these as one text."""

    sample: Annotated[str, ARGUMENT]
    """file or folder of records"""
    out: Annotated[Path, ARGUMENT]
    """output folder"""
    to: _Form | None = None
    """form of the output for people"""
    for_: Annotated[str, Choices("annotator", ("people", LLM)), "WHO"] = "people"
    """who annotates; an LLM sees no labels of the model"""
    task: Annotated[tuple[str, ...], Choices("task", TASKS), "TASK"] = ()
    """task that people label; all without a value"""
    show_labels: bool = False
    """the model's labels as answers to be corrected; people who see them tend to agree, so an audit does without"""

    def check(self) -> None:
        """Raises UsageError for people without a form, the reverse, and tasks that columns cannot hold."""
        if (self.for_ == LLM) == (self.to is not None):
            forms = " or ".join(f"--to {form}" for form in FORMS)
            raise UsageError(
                "an output for people needs --to, prompts have one form", "--to", f"give {forms}, or --for llm"
            )
        if self.to == "conll" and self.task:
            raise UsageError("columns hold slots and intents, no other tasks", "--task", "leave --task away")


def export(options: ExportOptions) -> None:
    """Write the files, and print their names."""
    with atomic_folder(options.out, options.force) as folder:
        log = open_log(options, [options.sample])
        dialogues = list(require_annotators(log, [options.annotator], "--annotator"))
        write = {"label-studio": _tasks, "argilla": _datasets, "conll": _columns, None: _prompts}[options.to]
        files, left_out = write(options, log, dialogues)
        for name, text in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
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
    tasks = [
        task_of(d, model_annotation(d, options.annotator), questions, blind=not options.show_labels)
        for d in dialogues
        if d.turns
    ]
    text = msgspec.json.format(msgspec.json.encode(tasks), indent=1).decode() + "\n"
    return {TASKS_FILE: text, CONFIG_FILE: labeling_config(questions)}, left_out


def _datasets(options: ExportOptions, log: Log, dialogues: Sequence[Dialogue]) -> tuple[dict[str, str], Counter[str]]:
    """Files for Argilla, and the number of dialogues that are left out, by reason."""
    left_out = Counter("no turns to be shown" for dialogue in dialogues if not dialogue.turns)
    questions = questions_of(dialogues, log.labels(), options.task or TASKS, plain=True)
    shown = [d for d in dialogues if d.turns]
    annotations = [model_annotation(d, options.annotator) if options.show_labels else None for d in shown]
    files = datasets_of(shown, annotations, questions)
    if not files:
        raise UsageError("outcomes are of goals", "--task outcome", "give --task goals too")
    return files, left_out


def _prompts(options: ExportOptions, log: Log, dialogues: Sequence[Dialogue]) -> tuple[dict[str, str], Counter[str]]:
    """The file of prompts, and the number of dialogues that are left out, by reason."""
    left_out = Counter("no turns to be shown" for dialogue in dialogues if not dialogue.turns)
    return {PROMPTS_FILE: prompt_lines(prompts_of(dialogues, log.labels(), options.task))}, left_out


def _columns(options: ExportOptions, _: Log, dialogues: Sequence[Dialogue]) -> tuple[dict[str, str], Counter[str]]:
    """The file of columns, and the number of dialogues that are left out, by reason."""
    left_out: Counter[str] = Counter()
    blocks = [f"{HEADER}\n"]
    for dialogue in dialogues:
        text = conll(dialogue, model_annotation(dialogue, options.annotator) if options.show_labels else None)
        if not text:
            left_out["slots overlap" if text is None else "no turns to be shown"] += 1
        blocks.append(text or "")
    return {CONLL_FILE: "".join(blocks)}, left_out


@dataclass(frozen=True, kw_only=True)
class ImportOptions(OneLogOptions, ForceOptions):
    """Import answers of people or an LLM: write each record of the log with them, each person or LLM as an annotator. Answers that cannot be
    used are rejected with a reason."""

    answers: Annotated[Path, ARGUMENT]
    """Label Studio's export in the format JSON, a flat JSON list of Argilla's records, a file of columns, or JSON Lines of an LLM's answers"""
    out: Annotated[str, ARGUMENT]
    """output file: .jsonl or .parquet, or - for standard output"""
    from_: Annotated[str, Choices("form", (*FORMS, LLM)), "FORM"] = FORMS[0]
    """form of the answers"""
    annotator: Annotated[str | None, "NAME"] = None
    """person who filled in the columns, or the LLM; Label Studio and Argilla name their annotators"""

    def check(self) -> None:
        """Raises UsageError for columns or an LLM without an annotator, and the reverse; for an LLM's answers to standard input."""
        named = self.from_ in ("conll", LLM)
        if named != (self.annotator is not None):
            hint = "give --annotator NAME" if named else "leave --annotator away"
            what = "conll and llm need --annotator; Label Studio and Argilla name annotators"
            raise UsageError(what, "--annotator", hint)
        if self.from_ in ("argilla", LLM) and self.log == "-":
            raise UsageError("the log is read twice, and standard input once", "the log -", "write it to a file first")


@dataclass(frozen=True, slots=True)
class Imported:
    """What was written. added: annotations, by annotator; notes: on parts of the answers that are no labels; faults: on answers that could
    not be used."""

    records: int
    added: Counter[str]
    notes: tuple[str, ...] = ()
    faults: tuple[str, ...] = ()


def import_answers(options: ImportOptions) -> None:
    """Write the records, and print how many annotations were added."""
    made = write_answered(options)
    for annotator, dialogues in sorted(made.added.items()):
        _print(options.out, f"{annotator}: {dialogues:,} dialogues")
    _print(options.out, f"{made.added.total():,} annotations added to {made.records:,} records")
    for note in made.notes:
        _print(options.out, note)
    print_lines(*made.faults, file=sys.stderr)


def write_answered(options: ImportOptions) -> Imported:
    """Write the records with the answers as annotations."""
    existing_file(options.answers)
    fresh_log(options.out, options.force, [options.log])
    # Rejected records of the log and rejected answers go to one file.
    quarantine = Quarantine(options.quarantine) if options.quarantine is not None else None
    try:
        return _merge(options, open_log(options, [options.log], quarantine=quarantine), quarantine)
    finally:
        if quarantine is not None:
            quarantine.close()


def _merge(options: ImportOptions, log: Log, quarantine: Quarantine | None) -> Imported:
    ignored: Counter[str] = Counter()
    answers: Iterator[ReviewAnswer | Rejected]
    if options.from_ == "argilla":
        dialogues, _ = _dialogues_by_id(options, ids_in(options.answers))
        answers = read_responses(options.answers, dialogues, ignored)
    elif options.annotator is None:
        answers = read_answers(options.answers, ignored)
    elif options.from_ == LLM:
        dialogues, questions = _dialogues_by_id(options, ids_of(options.answers))
        names = {"intents": questions.intents, "slots": questions.slots}
        known = {task: frozenset(listed) for task, listed in names.items() if listed}
        answers = read_llm_answers(options.answers, options.annotator, dialogues, known)
    else:
        answers = read_conll(options.answers, options.annotator)
    merger = AnswerMerger(answers, lambda item: quarantine.add(item) if quarantine is not None else None)

    def merged() -> Iterator[Dialogue]:
        yield from progress(merger(log), "review", "dialogues")
        _check_fault_rate(merger, options)

    count = write_log(options.out, merged(), log.labels(), options.force)
    notes, faults = [], []
    if ignored:
        shown = ", ".join(f"{name} {n:,}" for name, n in sorted(ignored.items()))
        notes.append(f"left out, not part of labelgen's configuration: {shown}")
    if not merger.added and not merger.reasons:
        what = f"{options.answers} has no answers: it is the file before anyone answered"
        faults.append(f"{what}; export it after people have answered")
    if merger.reasons:
        where = f"in {quarantine}" if quarantine is not None else "--quarantine FILE keeps them"
        faults.append(quarantine_text(merger.reasons, where))
    return Imported(count, merger.added, tuple(notes), tuple(faults))


def _dialogues_by_id(options: ImportOptions, wanted: Container[str]) -> tuple[dict[str, Dialogue], Questions]:
    """The dialogues that answers are about, and the names of the whole log."""
    # The second reading keeps the rejected records.
    log = open_log(replace(options, quarantine=None), [options.log])
    dialogues: dict[str, Dialogue] = {}

    def kept() -> Iterator[Dialogue]:
        for dialogue in progress(log, "reading", "dialogues"):
            if dialogue.id in wanted:
                dialogues[dialogue.id] = dialogue
            yield dialogue

    questions = questions_of(kept(), log.labels(), plain=True)
    return dialogues, questions


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


@dataclass(frozen=True, kw_only=True)
class ErrorsOptions(OneLogOptions, ForceOptions, _ModelOptions):
    """List people's labels that are likely to be errors, because a model that was not trained on them contradicts them with confidence
    (confident learning). The log has annotations of people and of the model, as `labelgen label` writes them; dialogues that the model was
    trained on are left out. Calibrate the model first."""

    out: Annotated[Path, ARGUMENT]
    """output file: .csv or .parquet"""
    task: Annotated[tuple[str, ...], "NAME"] = ()
    """task whose labels are compared; all without a value, but for the division into goals"""


def errors(options: ErrorsOptions) -> None:
    """Write the table, and print the number of likely errors by annotator and by label."""
    search, likely = write_errors(options)
    for row in search.by_annotator(likely):
        counts = f"{row['errors']:,} of {row['answers']:,} ({row['share']:.1%})"
        print_lines(f"{row['annotator']}, {row['task']}: {counts}")
    for row in by_label(likely)[:_SHOWN_LABELS]:
        names = f"{row['label'] or 'none'}, suggested {row['suggested'] or 'none'}"
        print_lines(f"{row['task']}: {row['errors']:,} times {names}")
    print_lines(f"{len(likely):,} likely errors in {options.out}")


def write_errors(options: ErrorsOptions) -> tuple[ErrorSearch, list[LikelyError]]:
    """Write the table of likely errors, and report on standard error what could not be compared.

    Raises InputError where nothing can be compared."""
    fresh_log(options.out, options.force, [options.log])
    # The log comes first, since a private one makes a private table.
    log = open_log(options, [options.log])
    with open_table_writer(options.out, options.force, ERROR_COLUMNS) as write:
        dialogues = require_annotators(log, [options.annotator], "--annotator")
        search = search_errors(progress(dialogues, "compare", "dialogues"), options.annotator, options.task)
        if not search.answers:
            what, hint = explain_no_answers(search)
            raise InputError(what, options.log, hint)
        likely = search.likely_errors()
        for rank, error in enumerate(likely, start=1):
            write(error.row(rank))
    for line in search.notes():
        print_lines(line, file=sys.stderr)
    return search, likely


SAMPLE = Command(
    "review sample",
    SampleOptions,
    sample,
    "labelgen review sample labeled/ sample.jsonl --count 200 --strategy abstained",
)
EXPORT = Command(
    "review export", ExportOptions, export, "labelgen review export sample.jsonl review/ --to label-studio"
)
ERRORS = Command(
    "review errors",
    ErrorsOptions,
    errors,
    "labelgen review errors labeled/ errors.csv --annotator model --task quality",
)
IMPORT = Command(
    "review import",
    ImportOptions,
    import_answers,
    "labelgen review import sample.jsonl answers.json answered.jsonl --quarantine bad.jsonl",
)
