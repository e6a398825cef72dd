"""The log before anyone is judged: flattering dialogues are left out, the reference is made, and all systems give their answers."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from msgspec.structs import replace

from labelgen.base.errors import InputError
from labelgen.base.terminal import progress
from labelgen.data.dialogue import Dialogue
from labelgen.data.labels import Annotation, AtGoal, divides
from labelgen.data.split import Seen
from labelgen.evaluation.baselines import DEFAULT as DEFAULT_BASELINES
from labelgen.evaluation.baselines import default_baselines, fit_baselines
from labelgen.evaluation.protocol import people_of, with_all_named, with_reference
from labelgen.feedback.signal import USER, hide_answers, mask_feedback
from labelgen.metrics.results import BASELINE, AnnotatedBy, FittedBaselines, Setting, SystemName
from labelgen.review.sampling import doubt_strategy
from labelgen.tasks.evaluation import EvaluationTask

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
