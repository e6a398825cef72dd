"""The steps of review: draw a sample, write questions about it, and add the answers."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from labelgen.base.errors import InputError, UsageError
from labelgen.base.options import Choices, Count, WholeNumber
from labelgen.data.dialogue import Dialogue
from labelgen.data.label_sets import Sources
from labelgen.data.log import MAX_BAD_RATE, Log, reasons_text
from labelgen.data.record import Rejected
from labelgen.review.form import CAUSE, TASKS, Lines, ids_of, question_lines, questions_of, read_lines
from labelgen.review.label_studio import labeling_config, read_answers, task_of
from labelgen.review.merge import AnswerMerger
from labelgen.review.sampling import (
    STRATEGIES,
    draw,
    explain_no_candidates,
    mark_sample,
    model_annotation,
    to_candidate,
)
from labelgen.steps.shared import Changed, Counts, place_of, require_rereadable

ReviewForm = Literal["label-studio", "jsonl"]

TASKS_FILE, CONFIG_FILE, QUESTIONS_FILE = "tasks.json", "config.xml", "questions.jsonl"


@dataclass(frozen=True, kw_only=True)
class _ModelOptions:
    """The model whose labels are used."""

    annotator: Annotated[str | None, "NAME"] = None
    """annotator whose labels are used; the first model without a value"""


@dataclass(frozen=True, kw_only=True)
class SampleOptions(_ModelOptions):
    """Draw a sample of dialogues for people, the most useful first. abstained: dialogues in which the model abstained; informative:
    dialogues whose answers are expected to teach most; audit: a simple random sample, for estimates about the log. The field `sample`
    of a record describes how the record was drawn."""

    count: Count
    """number of dialogues, fewer if the log has no more"""
    strategy: Annotated[str, Choices("way to sample", STRATEGIES)]
    """sampling strategy"""
    seed: WholeNumber = 0
    """seed of the draw"""


def draw_sample(dialogues: Iterable[Dialogue], options: SampleOptions) -> Changed:
    """The dialogues of a sample, in the order of review. The dialogues are read twice.

    Raises InputError where no dialogue can be drawn."""
    require_rereadable(dialogues, "sampling")
    candidates, count = [], 0
    for dialogue in dialogues:
        count += 1
        if (one := to_candidate(dialogue, options.strategy, options.annotator)) is not None:
            candidates.append(one)
    if count and not candidates:
        what, hint = explain_no_candidates(dialogues, options.strategy, options.annotator)
        raise InputError(what, place_of(dialogues), hint)
    drawn = {one.dialogue: one for one in draw(candidates, options.strategy, options.count, options.seed)}
    chosen = [mark_sample(d, drawn[d.id], options.strategy, options.seed) for d in dialogues if d.id in drawn]
    chosen.sort(key=lambda dialogue: drawn[dialogue.id].rank)
    turns: Counts = Counter({(options.strategy,): sum(len(dialogue.turns) for dialogue in chosen)})
    after = [f"drawn from {len(candidates):,} candidates in {count:,} dialogues"]
    return Changed(iter(chosen), "turns", ("strategy",), turns, after=after)


@dataclass(frozen=True, kw_only=True)
class ExportOptions(_ModelOptions):
    """Export a sample for people or an LLM. label-studio: tasks.json, and config.xml, the labeling configuration of the project; jsonl:
    questions.jsonl, a line for each dialogue with its id, the rubric, the dialogue, the schema of the answer, and the prompt, which is all of
    these as one text for an LLM."""

    to: ReviewForm
    """form of the output"""
    task: Annotated[tuple[str, ...], Choices("task", (*TASKS, CAUSE)), "TASK"] = ()
    """task that is asked about; all but cause without a value"""
    show_labels: bool = False
    """the model's labels in Label Studio as answers to be corrected; people who see them tend to agree, so an audit does without"""

    def check(self) -> None:
        """Raises UsageError for shown labels in a form without them."""
        if self.show_labels and self.to == "jsonl":
            raise UsageError("jsonl shows no labels", "--show-labels", "leave it away, or give --to label-studio")


def export(dialogues: Sequence[Dialogue], labels: Sources, options: ExportOptions) -> dict[str, str]:
    """The files, by name, for the dialogues that have turns. labels: label sets of the log.

    Raises UsageError for a label that Label Studio cannot offer."""
    if options.to == "jsonl":
        lines = question_lines(dialogues, labels, options.task)
        return {QUESTIONS_FILE: "".join(f"{msgspec.json.encode(line).decode()}\n" for line in lines)}
    questions = questions_of(dialogues, labels, options.task or TASKS)
    tasks = [
        task_of(d, model_annotation(d, options.annotator), questions, blind=not options.show_labels)
        for d in dialogues
        if d.turns
    ]
    text = msgspec.json.format(msgspec.json.encode(tasks), indent=1).decode() + "\n"
    return {TASKS_FILE: text, CONFIG_FILE: labeling_config(questions)}


@dataclass(frozen=True, kw_only=True)
class AnswerOptions:
    """Import answers of people or an LLM: write each record of the log with them, each person or LLM as an annotator. Answers that cannot be
    used are rejected with a reason."""

    from_: ReviewForm = "label-studio"
    """form of the answers"""
    annotator: Annotated[str | None, "NAME"] = None
    """name of the person or LLM whose answers a file of JSON Lines has; Label Studio names its annotators"""
    kind: Literal["llm", "person"] = "llm"
    """kind of the annotator of JSON Lines"""

    def check(self) -> None:
        """Raises UsageError for JSON Lines without an annotator, and the reverse."""
        if (self.from_ == "jsonl") != (self.annotator is not None):
            hint = "give --annotator NAME" if self.from_ == "jsonl" else "leave --annotator away"
            raise UsageError("jsonl needs --annotator; Label Studio names annotators", "--annotator", hint)


def add_answers(
    dialogues: Iterable[Dialogue],
    labels: Sources,
    answers: Lines,
    options: AnswerOptions,
    reject: Callable[[Rejected], None] | None = None,
    max_bad_rate: float = MAX_BAD_RATE,
) -> Changed:
    """The dialogues with the answers as annotations. For JSON Lines they are read twice.

    Args:
        labels: label sets of the log.
        answers: export of Label Studio, JSON Lines, or their lines.
        reject: is given the answers that cannot be used.
        max_bad_rate: share of them above which InputError is raised after the last dialogue."""
    ignored: Counter[str] = Counter()
    if options.annotator is None:
        assert isinstance(answers, Path)
        merger = AnswerMerger(read_answers(answers, ignored), reject)
    else:
        require_rereadable(dialogues, "the form jsonl")
        wanted, by_id = ids_of(answers), {}

        def first_pass() -> Iterator[Dialogue]:
            for dialogue in _without_quarantine(dialogues):
                if dialogue.id in wanted:
                    by_id[dialogue.id] = dialogue
                yield dialogue

        questions = questions_of(first_pass(), labels)
        merger = AnswerMerger(read_lines(answers, options.annotator, options.kind, by_id, questions), reject)

    def merged() -> Iterator[Dialogue]:
        yield from merger(dialogues)
        merger.check(max_bad_rate)
        made.counts.update({(annotator,): count for annotator, count in merger.added.items()})
        if ignored:
            shown = ", ".join(f"{name} {n:,}" for name, n in sorted(ignored.items()))
            made.after.append(f"left out, not part of labelgen's configuration: {shown}")
        if merger.reasons:
            made.after.append(f"{merger.reasons.total():,} answers were set aside: {reasons_text(merger.reasons)}")
        elif not merger.added:
            made.after.append("there are no answers: export them after people have answered")

    made = Changed(merged(), "annotations", ("annotator",))
    return made


def _without_quarantine(dialogues: Iterable[Dialogue]) -> Iterable[Dialogue]:
    """The dialogues for a first pass; the second one keeps the rejected records."""
    if not isinstance(dialogues, Log):
        return dialogues
    return Log(dialogues.paths, dialogues.format, dialogues.options, None, dialogues.max_bad_rate)
