"""An evaluation: every system on every task, against the reference, beside the human baseline and the baselines."""

import platform
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
import scipy

from labelgen import __version__
from labelgen.agreement.consensus import CONSENSUS
from labelgen.base.terminal import progress
from labelgen.data.dialogue import Dialogue
from labelgen.data.labels import At, AtDialogue, AtGoal, AtSpan, AtTurn
from labelgen.data.record import to_plain
from labelgen.data.split import user_key
from labelgen.evaluation.annotator_statistics import no_ceiling
from labelgen.evaluation.measure import (
    answered_share,
    items_of,
    measure_all,
    precision_coverage,
    ratio,
)
from labelgen.evaluation.prepare import annotated_by, drawn_because_difficult, kind_of, once_only
from labelgen.evaluation.protocol import Protocol, nothing_to_judge, people_of
from labelgen.evaluation.slices import check_fields, slice_metrics
from labelgen.evaluation.verdicts import adjust, compare, decide
from labelgen.feedback.signal import mask_feedback
from labelgen.metrics.metric import metric
from labelgen.metrics.results import (
    CEILING,
    HUMAN,
    Cost,
    Data,
    Evaluation,
    ExampleDialogue,
    FittedBaselines,
    LeftOut,
    MetricInfo,
    Place,
    Setting,
    SystemName,
    SystemRow,
    TaskResult,
    Tie,
    TieCounts,
)
from labelgen.metrics.sets import same
from labelgen.tasks.diagrams import confusions, reliability
from labelgen.tasks.evaluation import EvaluationTask, answered, concerns, from_turn

MOST_EXAMPLES = 30
_TIES_SHOWN = 20
_KINDS = {HUMAN: "human", CEILING: "ceiling"}
"""Kinds of the rows that are no annotator's."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Description:
    """What an evaluation holds besides its numbers. left_out: reason -> dialogues. model: the model's card."""

    title: str
    command: str = ""
    paths: tuple[str, ...] = ()
    digest: str | None = None
    split: str | None = None
    left_out: Mapping[str, int] = field(default_factory=dict)
    baselines: FittedBaselines | None = None
    model: Mapping[str, Any] = field(default_factory=dict)


def evaluate(
    dialogues: Sequence[Dialogue],
    tasks: Sequence[EvaluationTask],
    systems: Sequence[SystemName],
    setting: Setting,
    description: Description,
) -> Evaluation:
    """Judge the systems, annotators of the dialogues in the order to be shown, on every task that the reference answers somewhere.

    Raises InputError where it answers none, UsageError for a slice that fits no dialogue."""
    check_fields(dialogues, setting.slices)
    tasks = from_turn(tasks, setting.first_turn)
    protocol = Protocol(dialogues, tasks, setting)
    results = [
        task_result(protocol, task, systems, setting) for task in progress(tasks, "evaluate", "tasks", len(tasks))
    ]
    judged_tasks = [task for task in results if task.items]
    if not judged_tasks:
        reasons = dict.fromkeys(entry.reason for task in results for entry in task.left_out)
        where = ", ".join(description.paths)
        raise nothing_to_judge(dialogues, tasks, setting, description.left_out, reasons, where)
    slices_tested = adjust([part for task in judged_tasks for part in task.slices])
    decide(judged_tasks, systems, setting.level)
    positions = sorted({judgment.dialogue for task in tasks for judgment in protocol.judgments(task).all})
    judged = [dialogues[k] for k in positions]
    data = Data(
        paths=list(description.paths),
        digest=description.digest,
        dialogues=len(dialogues),
        turns=sum(len(d.turns) for d in dialogues),
        sources=dict(sorted(Counter(d.source or "" for d in dialogues).items())),
        split=description.split,
        judged=len(judged),
        annotated=annotated_by(judged, systems),
        drawn_for_difficulty=drawn_because_difficult(judged),
        with_feedback=sum(mask_feedback(d) != d for d in dialogues),
        left_out=[LeftOut(reason=reason, dialogues=n) for reason, n in description.left_out.items()],
    )
    return Evaluation(
        title=description.title,
        command=description.command,
        versions={
            "labelgen": __version__,
            "python": platform.python_version(),
            "numpy": np.__version__,
            "scipy": scipy.__version__,
        },
        setting=setting,
        protocol=protocol_words(setting),
        systems=list(systems),
        data=data,
        baselines=description.baselines,
        model=dict(description.model),
        slices_tested=slices_tested,
        tasks=judged_tasks,
        costs=costs(protocol, tasks, systems, setting),
        examples=examples(dialogues, tasks, systems, setting),
    )


def protocol_words(setting: Setting) -> str:
    """Who is judged against whom, in a sentence without its period."""
    if setting.reference != CONSENSUS:
        people = "" if setting.annotators is None else "; people are judged against the same answers on the same fields"
        words = f"every system is judged against the answers of {setting.reference}{people}"
    elif setting.others == 0:
        words = "every system is judged against the consensus of all annotators"
    else:
        others = (
            "all others" if setting.others is None else f"{setting.others} of the others, or all where there are fewer"
        )
        words = (
            f"leave-one-annotator-out: each annotator is judged against the consensus of {others}, and every system on the same fields "
            "against that same consensus"
        )
    return words + (f"; turns before turn {setting.first_turn} are not judged" if setting.first_turn else "")


def task_result(
    protocol: Protocol, task: EvaluationTask, systems: Sequence[SystemName], setting: Setting
) -> TaskResult:
    """Every system on one task. Systems without an answer are left out of it; models come first, then people and the noise ceiling, then
    rules."""
    dialogues = protocol.dialogues
    judgments = protocol.judgments(task)
    rounds = judgments.all
    people = [HUMAN] if any(judgment.person is not None for judgment in rounds) else []
    answering = [system for system in systems if _answers(dialogues, str(system), task)]
    names = list(map(str, answering))
    kinds = {name: kind_of(dialogues, name) for name in names} | _KINDS
    of_rules = [system for system in answering if kinds[str(system)] == "rule"]
    of_models = [system for system in answering if system not in of_rules]
    models, rules = list(map(str, of_models)), list(map(str, of_rules))
    items = {name: items_of(rounds, dialogues, task, name) for name in (*models, *people, *rules)}
    by_consensus = people if setting.reference == CONSENSUS else []
    why_none = no_ceiling(rounds) if by_consensus else None
    ceiling = by_consensus if why_none is None else []
    order = [*models, *people, *(CEILING for _ in ceiling), *rules]
    drawn = [*models, *people, *rules]
    if ceiling:
        items[CEILING] = items_of(rounds, dialogues, task, CONSENSUS)
    owners = list(map(user_key, dialogues))
    measured = {name: measure_all(task.metrics, items[name], rounds, setting, owners) for name in items if rounds}
    pairs = [(name, HUMAN) for name in names if people]
    pairs += [(str(system), str(system.unmasked)) for system in answering if system.masked]
    ratios = [
        ratio(name, over, m, measured[name][m], measured[over][m], setting.level)
        for name, over in pairs
        if over in measured
        for m in task.metrics
    ]
    times = Counter(judgment.dialogue for judgment in rounds)
    shares = [1.0 / times[judgment.dialogue] for judgment in rounds]
    first = [name for name in map(str, systems[:1]) if name in items]
    sliced = {name: items[name] for name in (*first, *people)}
    slices = slice_metrics(sliced, first, measured, rounds, dialogues, task, setting)
    human = [item for name in people for item in items[name]]
    ties = [Tie(dialogue=d, at=_place(at)) for d, at in judgments.ties[:_TIES_SHOWN]]
    return TaskResult(
        name=task.name,
        tasks=list(task.tasks),
        unit=" and ".join(task.units),
        main_metric=task.metrics[0],
        metrics={
            m: MetricInfo(larger_is_better=metric(m).larger_is_better, description=metric(m).what) for m in task.metrics
        },
        fields=len({(judgment.dialogue, at) for judgment in rounds for at in judgment.reference}),
        items=sum(len(judgment.reference) for judgment in rounds),
        dialogues=len(times),
        rows=[
            SystemRow(
                system=name,
                kind=kinds[name],
                answered=answered_share(items[name]),
                metrics={m: measured[name][m].estimate() for m in task.metrics},
            )
            for name in order
            if rounds
        ],
        verdicts=compare(of_models, of_rules, measured, task.metrics[0], setting.level) if rounds else [],
        ratios=[r for r in ratios if r.value is not None],
        ties=TieCounts(items=len(judgments.ties), examples=ties),
        left_out=[
            *(LeftOut(reason=reason, items=n) for reason, n in judgments.left_out.items() if n),
            *(LeftOut(reason=reason, dialogues=n) for reason, n in judgments.dialogues_left_out.items() if n),
        ],
        no_ceiling=why_none,
        confusion=_present(confusions(name, items[name], task) for name in drawn),
        reliability=_present(reliability(name, items[name], shares) for name in names),
        precision_coverage=_present(precision_coverage(name, items[name], human) for name in models),
        slices=slices,
    )


def _answers(dialogues: Sequence[Dialogue], annotator: str, task: EvaluationTask) -> bool:
    """Whether the annotator answers the task anywhere, or abstains: then the fields are misses."""
    annotations = (d.annotation(annotator) for d in dialogues)
    return any(
        answered(a, task) or any(concerns(x.field, task) for x in a.abstained) for a in annotations if a is not None
    )


def _present(values: Iterable[T | None]) -> list[T]:
    return [value for value in values if value is not None]


def _place(at: At) -> Place:
    match at:
        case AtTurn(turn) | AtSpan(turn):
            return Place(turn=turn)
        case AtGoal(turns):
            return Place(turns=list(turns))
        case AtDialogue():
            return Place()


def examples(
    dialogues: Sequence[Dialogue], tasks: Sequence[EvaluationTask], systems: Sequence[SystemName], setting: Setting
) -> list[ExampleDialogue]:
    """Up to MOST_EXAMPLES dialogues where the first system is most often wrong, ties in the order of the log. Errors count fields that the
    reference answers and the system gets wrong or leaves."""
    if not systems:
        return []
    first = str(systems[0])
    single = [task for task in tasks if len(task.tasks) == 1]
    wrong = []
    for k, dialogue in enumerate(dialogues):
        by_task = {task.name: _errors(dialogue, task, first, setting.reference) for task in single}
        if errors := sum(by_task.values()):
            wrong.append((-errors, k, {name: n for name, n in by_task.items() if n}))
    return [
        ExampleDialogue(
            errors=-errors,
            errors_by_task=by_task,
            system=first,
            reference=setting.reference,
            record=to_plain(dialogues[k]),
        )
        for errors, k, by_task in sorted(wrong, key=lambda entry: entry[:2])[:MOST_EXAMPLES]
    ]


def _errors(dialogue: Dialogue, task: EvaluationTask, system: str, reference: str) -> int:
    predicted = answered(dialogue.annotation(system), task)
    if not predicted:
        return 0
    wanted = answered(dialogue.annotation(reference), task)
    return sum(at not in predicted or not same(predicted[at], labels) for at, labels in wanted.items())


def costs(
    protocol: Protocol, tasks: Sequence[EvaluationTask], systems: Sequence[SystemName], setting: Setting
) -> list[Cost]:
    """Completion, agreement and the price of an accepted answer, for each system and the human baseline; empty where no annotation has a
    price.

    An annotation's price is that of all its answers, so they are counted over all single tasks. A field that is judged several times,
    against several annotators, counts once, with the mean of its judgments."""
    drawn = {task: protocol.judgments(task).all for task in tasks if len(task.tasks) == 1}
    people = any(judgment.person is not None for judgments in drawn.values() for judgment in judgments)
    rows = []
    for name in (*once_only(systems), *([HUMAN] if people else [])):
        judged = answered_fields = accepted = 0.0
        accepted_of: dict[int, float] = {}
        for task, judgments in drawn.items():
            times = Counter(judgment.dialogue for judgment in judgments)
            for judgment, item in zip(judgments, items_of(judgments, protocol.dialogues, task, name), strict=True):
                weight = 1.0 / times[judgment.dialogue]
                present = [at for at in item.reference if at in item.predicted]
                right = weight * sum(same(item.predicted[at], item.reference[at]) for at in present)
                judged += weight * len(item.reference)
                answered_fields += weight * len(present)
                accepted += right
                accepted_of[judgment.dialogue] = accepted_of.get(judgment.dialogue, 0.0) + right
        prices = {k: _price(protocol.dialogues[k], name, setting) for k in accepted_of}
        priced = {k: price for k, price in prices.items() if price is not None}
        paid_for = sum(accepted_of[k] for k in priced)
        rows.append(
            Cost(
                system=name,
                kind=_KINDS.get(name) or kind_of(protocol.dialogues, name),
                answered=answered_fields / judged if judged else None,
                agreement=accepted / judged if judged else None,
                accepted=accepted,
                priced_dialogues=len(priced),
                price=sum(priced.values()) if priced else None,
                price_per_accepted=sum(priced.values()) / paid_for if priced and paid_for else None,
            )
        )
    return rows if any(row.price is not None for row in rows) else []


def _price(dialogue: Dialogue, system: str, setting: Setting) -> float | None:
    """The price of the system's annotation; for the human baseline the mean over people with a price. None where there is none."""
    if system == HUMAN:
        prices = [a.price for a in people_of(dialogue, setting) if a.price is not None]
        return sum(prices) / len(prices) if prices else None
    annotation = dialogue.annotation(system)
    return None if annotation is None else annotation.price
