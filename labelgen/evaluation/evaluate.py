"""An evaluation: every system on every task, against the reference, beside the human baseline and the baselines.

The log before anyone is judged: flattering dialogues are left out, the reference is made, and all systems give their answers.
"""

import platform
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
import scipy
from msgspec.structs import replace

from labelgen import __version__
from labelgen.agreement.consensus import CONSENSUS
from labelgen.base.errors import InputError
from labelgen.base.terminal import progress
from labelgen.data.dialogue import Dialogue
from labelgen.data.labels import Annotation, AtGoal, divides
from labelgen.data.record import to_plain
from labelgen.data.split import Seen, user_key
from labelgen.evaluation.baselines import DEFAULT as DEFAULT_BASELINES
from labelgen.evaluation.baselines import default_baselines, fit_baselines
from labelgen.evaluation.measure import (
    adjust,
    answered_share,
    compare,
    decide,
    items_of,
    measure_all,
    precision_coverage,
    ratio,
)
from labelgen.evaluation.protocol import Protocol, nothing_to_judge, people_of, with_all_named, with_reference
from labelgen.evaluation.slices import check_fields, slice_metrics
from labelgen.feedback.signal import USER, hide_answers, mask_feedback
from labelgen.metrics.metric import metric
from labelgen.metrics.results import (
    BASELINE,
    HUMAN,
    AnnotatedBy,
    Cost,
    Data,
    Evaluation,
    ExampleDialogue,
    FittedBaselines,
    LeftOut,
    MetricInfo,
    Setting,
    SystemName,
    SystemRow,
    TaskResult,
)
from labelgen.metrics.sets import same
from labelgen.review.sampling import doubt_strategy
from labelgen.tasks.diagrams import confusions, reliability
from labelgen.tasks.evaluation import EvaluationTask, answered, concerns, from_turn

COPIES = "all requests equal those of a training dialogue"
KNOWN_USERS = "their user is in the training part"
TRAINED_ON = "the model was trained on them"
DIFFICULT = "they were drawn because they are difficult, not by chance (sample.how in the record)"
"""Why dialogues are left out."""

_SYSTEMS = ("model", "llm", "user", "rule")
_REPLACED = ("model", "llm", "rule")
"""Kinds whose earlier answers a log of predictions replaces; those of people and users stay."""
_AT_ONCE = 256

Annotate = Callable[[Sequence[Dialogue], str | None], Sequence[Annotation]]
"""Dialogues, and the annotator whose goals are given (None: its own), to one annotation each."""


@dataclass(frozen=True, slots=True)
class JudgedModel:
    """A model to be judged. from_feedback: it learned from feedback, so it may have learned to read labels off the feedback."""

    annotate: Annotate
    from_feedback: bool = False


@dataclass(frozen=True, slots=True)
class Prepared:
    """dialogues: those that count, with the reference and all systems. left_out: reason -> dialogues. variants: systems that annotated once
    more. baselines: how they were fitted, None without a training part."""

    dialogues: list[Dialogue]
    left_out: dict[str, int]
    variants: frozenset[SystemName]
    baselines: FittedBaselines | None = None


def prepare(
    dialogues: Iterable[Dialogue],
    tasks: Sequence[EvaluationTask],
    setting: Setting,
    training: Iterable[Dialogue] | None = None,
    least_people: int = 0,
    models: Sequence[JudgedModel] = (),
    predictions: Iterable[Dialogue] | None = None,
    baselines: Sequence[str] = DEFAULT_BASELINES,
    new_users: bool = False,
) -> Prepared:
    """The dialogues to be judged.

    training: the training part; its copies are left out, with new_users also dialogues of its users, and the baselines of these names
    learn from it. least_people: dialogues with fewer human annotators are left out. predictions: annotations of others, by dialogue id.
    Raises InputError where they are of other dialogues, and UsageError, before any model runs, where the setting names an
    annotator who is in no dialogue."""
    others = None if predictions is None else list(predictions)
    remaining = list(with_all_named(dialogues, setting, others or ()))
    left_out: dict[str, int] = {}

    def leave_out(reason: str, kept: list[Dialogue]) -> list[Dialogue]:
        if len(kept) < len(remaining):
            left_out[reason] = len(remaining) - len(kept)
        return kept

    if training is not None:
        seen = Seen(training)
        remaining = leave_out(COPIES, [dialogue for dialogue in remaining if dialogue not in seen])
        if new_users:
            users = {dialogue.user for dialogue in training if dialogue.user}
            remaining = leave_out(KNOWN_USERS, [dialogue for dialogue in remaining if dialogue.user not in users])
    if least_people:
        enough = [dialogue for dialogue in remaining if len(people_of(dialogue, setting)) >= least_people]
        remaining = leave_out(f"fewer than {least_people} people", enough)
    # The reference comes first: models are asked about its goals too.
    kept = with_reference(remaining, tasks, setting)
    variants: frozenset[SystemName] = frozenset()
    for model in models:
        kept, new = annotated(kept, model, setting.reference)
        variants |= new
    if others is not None:
        kept = join(kept, others, setting.reference)
    if training is None:
        return Prepared(kept, left_out, variants)
    fitted = fit_baselines(training, tasks, setting, default_baselines(setting.seed, baselines))
    judged = [str(x) for x in systems_of(kept, setting, variants) if not x.base.startswith(BASELINE)]
    fitted.fitted.goals_from = judged[0] if judged else None
    variants |= {SystemName(baseline.name, on_given_goals=True) for baseline in fitted.baselines}
    dialogues = fitted.annotate(kept, setting.reference, fitted.fitted.goals_from)
    return Prepared(dialogues, left_out, variants, fitted.fitted)


def join(dialogues: Sequence[Dialogue], predictions: Iterable[Dialogue], reference: str) -> list[Dialogue]:
    """The dialogues with the annotations of others under the same id.

    A system in the predictions is judged by them alone: its annotations in the log are dropped, in every dialogue; people, users and the
    reference stay. Raises InputError where no id is shared, or where the requests of one differ: its labels would stand at other
    words."""
    others = {dialogue.id: dialogue for dialogue in predictions}
    if dialogues and not any(d.id in others for d in dialogues):
        raise InputError(
            "the predictions are of other dialogues: no id is shared", f"id={dialogues[0].id}", "predict this log"
        )
    predicted = {(a.annotator, a.kind) for other in others.values() for a in other.annotations}
    gone = {who for who in predicted if who[0] != reference and who[1] in _REPLACED}
    out = []
    for dialogue in dialogues:
        other = others.get(dialogue.id)
        kept = tuple(a for a in dialogue.annotations if (a.annotator, a.kind) not in gone)
        if other is None:
            out.append(replace(dialogue, annotations=kept))
            continue
        if [t.request for t in other.turns] != [t.request for t in dialogue.turns]:
            raise InputError(
                "the predictions were made of other requests", f"dialogue {dialogue.id}", "predict this very log"
            )
        known = {(a.annotator, a.kind) for a in kept}
        new = tuple(a for a in other.annotations if (a.annotator, a.kind) not in known)
        out.append(replace(dialogue, annotations=(*kept, *new)))
    return out


def annotated(
    dialogues: Sequence[Dialogue], model: JudgedModel, reference: str
) -> tuple[list[Dialogue], frozenset[SystemName]]:
    """The dialogues with the model's annotations: one end to end and, where it labels goals, one on the reference's goals. Where the user
    is the reference, the user's answers are hidden from models. Where the model learned from feedback and a dialogue carries some, both are made
    again with all feedback masked. Also returned are the names of all that annotated once more."""
    read = [hide_answers(dialogue) for dialogue in dialogues] if reference == USER else dialogues
    masked = [mask_feedback(dialogue) if model.from_feedback else dialogue for dialogue in dialogues]
    carrying = [k for k, dialogue in enumerate(dialogues) if masked[k] != dialogue]
    seen = _annotations(read, model.annotate, reference, "annotate")
    unseen = _annotations([masked[k] for k in carrying], model.annotate, reference, "annotate, feedback masked")
    without = dict(zip(carrying, unseen, strict=True))
    out: list[Dialogue] = []
    names: set[SystemName] = set()
    for k, dialogue in enumerate(dialogues):
        new = dict(seen[k])
        if carrying:
            # In a dialogue without feedback nothing is masked, and the answers are the same.
            new |= {replace(name, masked=True): a for name, a in without.get(k, seen[k]).items()}
        named = [replace(annotation, annotator=str(name)) for name, annotation in new.items()]
        kept = [a for a in dialogue.annotations if a.annotator not in {n.annotator for n in named}]
        out.append(replace(dialogue, annotations=(*kept, *named)))
        names.update(name for name in new if name != SystemName(name.base))
    return out, frozenset(names)


def _annotations(
    dialogues: Sequence[Dialogue], annotate: Annotate, reference: str, name: str
) -> list[dict[SystemName, Annotation]]:
    """Of each dialogue the annotation end to end and, where there is any, that on the reference's goals."""
    out = []
    starts = range(0, len(dialogues), _AT_ONCE)
    for start in progress(starts, name, f"times {_AT_ONCE} dialogues", len(starts)):
        group = dialogues[start : start + _AT_ONCE]
        for end_to_end, on_given in zip(annotate(group, None), annotate(group, reference), strict=True):
            made = {SystemName(end_to_end.annotator): end_to_end}
            labels = tuple(x for x in on_given.labels if not divides(x.task) and isinstance(x.at, AtGoal))
            if labels:
                made[SystemName(end_to_end.annotator, True)] = replace(on_given, labels=labels, none=())
            out.append(made)
    return out


def systems_of(
    dialogues: Iterable[Dialogue], setting: Setting, variants: Iterable[SystemName] = ()
) -> tuple[SystemName, ...]:
    """Annotators that can be judged: models first, baselines last, each kind in the order of the log; without people and the reference.
    variants: those that annotated once more."""
    kinds: dict[str, str] = {}
    for dialogue in dialogues:
        people = {a.annotator for a in people_of(dialogue, setting)}
        for annotation in dialogue.annotations:
            if annotation.annotator != setting.reference and annotation.annotator not in people:
                kinds.setdefault(annotation.annotator, annotation.kind)
    judged = [name for name, kind in kinds.items() if kind in _SYSTEMS]
    names = {str(variant): variant for variant in variants}
    order = sorted(judged, key=lambda name: (name.startswith(BASELINE), _SYSTEMS.index(kinds[name])))
    return tuple(names.get(name) or SystemName(name) for name in order)


def kind_of(dialogues: Iterable[Dialogue], annotator: str) -> str:
    """The kind of the annotator's first annotation."""
    annotations = (d.annotation(annotator) for d in dialogues)
    return next((a.kind for a in annotations if a is not None), "model")


def once_only(systems: Iterable[SystemName]) -> list[str]:
    """The systems without those that annotated once more, on given goals or with feedback masked."""
    return [x.base for x in systems if not (x.on_given_goals or x.masked)]


def trained_on(annotation: Annotation | None) -> bool | None:
    """Whether the annotation is by a model that was trained on the dialogue; None where it does not say."""
    return None if annotation is None or annotation.provenance is None else annotation.provenance.trained_on


def held_out(
    dialogues: Iterable[Dialogue], was_trained_on: Callable[[Dialogue], bool | None]
) -> tuple[list[Dialogue], Counter[str]]:
    """The dialogues on which a claim about new ones can rest, and how many were left out for which reason."""
    kept: list[Dialogue] = []
    left_out: Counter[str] = Counter()
    for dialogue in dialogues:
        if was_trained_on(dialogue):
            left_out[TRAINED_ON] += 1
        elif doubt_strategy(dialogue) is not None:
            left_out[DIFFICULT] += 1
        else:
            kept.append(dialogue)
    return kept, left_out


def annotated_by(dialogues: Sequence[Dialogue], systems: Iterable[SystemName]) -> list[AnnotatedBy]:
    """For each model among the systems: how many dialogues it annotated, and how many of them it was trained on."""
    rows = []
    for name in once_only(systems):
        kind = kind_of(dialogues, name)
        if kind in ("model", "llm"):
            annotations = [a for d in dialogues if (a := d.annotation(name)) is not None]
            known = [seen for a in annotations if (seen := trained_on(a)) is not None]
            count = sum(known) if known else None
            rows.append(AnnotatedBy(system=name, kind=kind, dialogues=len(annotations), trained_on=count))
    return rows


def drawn_because_difficult(dialogues: Iterable[Dialogue]) -> dict[str, int]:
    """How many dialogues were drawn because they are difficult, by the way of drawing."""
    ways = Counter(how for d in dialogues if (how := doubt_strategy(d)) is not None)
    return dict(sorted(ways.items()))


MOST_EXAMPLES = 30
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
    """Every system on one task. Systems without an answer are left out of it; models come first, then people, then rules."""
    dialogues = protocol.dialogues
    judgments = protocol.judgments(task)
    rounds = judgments.all
    people = [HUMAN] if any(judgment.person is not None for judgment in rounds) else []
    answering = [system for system in systems if _answers(dialogues, str(system), task)]
    names = list(map(str, answering))
    kinds = {name: kind_of(dialogues, name) for name in names} | {HUMAN: "human"}
    of_rules = [system for system in answering if kinds[str(system)] == "rule"]
    of_models = [system for system in answering if system not in of_rules]
    models, rules = list(map(str, of_models)), list(map(str, of_rules))
    items = {name: items_of(rounds, dialogues, task, name) for name in (*models, *people, *rules)}
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
            for name in items
            if rounds
        ],
        verdicts=compare(of_models, of_rules, measured, task.metrics[0], setting.level) if rounds else [],
        ratios=[r for r in ratios if r.value is not None],
        ties=judgments.ties,
        left_out=[
            *(LeftOut(reason=reason, items=n) for reason, n in judgments.left_out.items() if n),
            *(LeftOut(reason=reason, dialogues=n) for reason, n in judgments.dialogues_left_out.items() if n),
        ],
        confusion=_present(confusions(name, items[name], task) for name in items),
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
                kind="human" if name == HUMAN else kind_of(protocol.dialogues, name),
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
