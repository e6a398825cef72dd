"""Sums that add up: what was seen, labeled and quarantined, and what each task said."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from labelgen.data.dialogue import Dialogue
from labelgen.data.extra import domains_on_offer
from labelgen.data.labels import UNIT_OF, Annotation, Field, answers, tasks_of
from labelgen.data.sound import told


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskSum:
    """One task in one unit. labeled: fields that were answered, be it with "none here"; abstained: fields that were
    left absent; labels: labels within the answered fields. The unit is that of the field: slots count turns."""

    task: str
    unit: str
    labeled: int
    abstained: int
    labels: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Sums:
    """In dialogues: seen = labeled + quarantined, by the first word of the reason. turns: of labeled dialogues. heard:
    turns whose sound was read; unheard: turns whose sound could not be, by reason, which are labeled without it. Both
    are empty for a model that reads no sound. unseen: turns with a value that the model was not trained on, by feature.
    unknown: labels of others with names that the model cannot give, by task. on_offer: dialogues whose record lists the domains on
    offer, by the field that was asked; empty where none was. damaged: files that could be read in part only; how many
    records are lost is not known, and the quarantine counts one a file."""

    seen: int = 0
    labeled: int = 0
    turns: int = 0
    quarantined: Mapping[str, int] = field(default_factory=dict)
    tasks: tuple[TaskSum, ...] = ()
    heard: int = 0
    unheard: Mapping[str, int] = field(default_factory=dict)
    unseen: Mapping[str, int] = field(default_factory=dict)
    unknown: Mapping[str, int] = field(default_factory=dict)
    on_offer: Mapping[str, int] = field(default_factory=dict)
    damaged: tuple[str, ...] = ()

    @property
    def bad(self) -> int:
        """Dialogues that were quarantined, for any reason."""
        return sum(self.quarantined.values())


def tally(labeled: Iterable[tuple[Dialogue, Annotation]], reasons: Iterable[str]) -> Sums:
    """Count dialogues with the annotation each was given, and the reasons of the rejected ones."""
    bad = Counter(reason.partition(":")[0] for reason in reasons)
    dialogues = turns = 0
    on_offer: dict[str, int] = {}
    tasks: Counter[tuple[str, str, str]] = Counter()
    for dialogue, annotation in labeled:
        dialogues += 1
        turns += len(dialogue.turns)
        if annotation.provenance is not None and (asked := annotation.provenance.domains_from) is not None:
            on_offer[asked] = on_offer.get(asked, 0) + (domains_on_offer(dialogue, asked) is not None)
        withheld = {abstained.field for abstained in annotation.abstained}
        for task in tasks_of(annotation):
            for at, labels in answers(annotation, task).items():
                # A dialogue of which some goals were left out is not labeled whole.
                tasks[task, UNIT_OF[type(at)], "labeled"] += Field(task, at) not in withheld
                tasks[task, UNIT_OF[type(at)], "labels"] += len(labels)
        for abstained in annotation.abstained:
            tasks[abstained.field.task, UNIT_OF[type(abstained.field.at)], "abstained"] += 1
    return replace(_sums(dialogues + sum(bad.values()), dialogues, turns, bad, tasks), on_offer=on_offer)


def total(parts: Iterable[Sums]) -> Sums:
    """The sum of all parts; that of none is empty."""
    seen = labeled = turns = heard = 0
    bad: Counter[str] = Counter()
    unheard: Counter[str] = Counter()
    unseen: Counter[str] = Counter()
    unknown: Counter[str] = Counter()
    on_offer: Counter[str] = Counter()
    damaged: set[str] = set()
    tasks: Counter[tuple[str, str, str]] = Counter()
    for part in parts:
        seen, labeled, turns = seen + part.seen, labeled + part.labeled, turns + part.turns
        bad.update(part.quarantined)
        heard += part.heard
        unheard.update(part.unheard)
        unseen.update(part.unseen)
        unknown.update(part.unknown)
        on_offer.update(part.on_offer)
        damaged.update(part.damaged)
        for one in part.tasks:
            for kind in ("labeled", "abstained", "labels"):
                tasks[one.task, one.unit, kind] += getattr(one, kind)
    sums = replace(_sums(seen, labeled, turns, bad, tasks), on_offer=dict(sorted(on_offer.items())))
    return with_untold(sums, heard, unheard, unseen, unknown, damaged)


def with_untold(
    sums: Sums,
    heard: int,
    unheard: Mapping[str, int],
    unseen: Mapping[str, int],
    unknown: Mapping[str, int],
    damaged: Iterable[str] = (),
) -> Sums:
    """The sums with what the labeled records themselves do not tell."""
    return replace(
        sums,
        damaged=tuple(sorted(set(damaged))),
        heard=heard,
        unheard=dict(sorted(unheard.items())),
        unseen=dict(sorted(unseen.items())),
        unknown=dict(sorted(unknown.items())),
    )


def _sums(seen: int, labeled: int, turns: int, bad: Counter[str], tasks: Counter[tuple[str, str, str]]) -> Sums:
    kinds = sorted({(task, unit) for task, unit, _ in tasks})
    return Sums(
        seen=seen,
        labeled=labeled,
        turns=turns,
        quarantined=dict(sorted(bad.items())),
        tasks=tuple(
            TaskSum(
                task=task,
                unit=unit,
                labeled=tasks[task, unit, "labeled"],
                abstained=tasks[task, unit, "abstained"],
                labels=tasks[task, unit, "labels"],
            )
            for task, unit in kinds
        ),
    )


def summary(sums: Sums) -> Iterator[str]:
    """A few lines for people."""
    yield f"{sums.labeled:,} of {sums.seen:,} dialogues labeled, {sums.turns:,} turns"
    if sums.quarantined:
        yield f"{sums.bad:,} quarantined: {_counted(sums.quarantined)}"
    if sums.damaged:
        yield f"damaged, and read in part only: {', '.join(sums.damaged)}"
    if sound := told(sums.heard, sums.unheard):
        yield sound
    for name, count in sums.on_offer.items():
        rest = "; the others may have labels of every domain" if count < sums.labeled else ""
        yield f"{count:,} of {sums.labeled:,} dialogues list the domains on offer in {name!r}{rest}"
    if sums.unseen:
        yield f"values that the model was not trained on, in turns: {_counted(sums.unseen)}"
    if sums.unknown:
        yield f"labels in the log that the model cannot give: {_counted(sums.unknown)}"
    for one in sums.tasks:
        left = f", {one.abstained:,} abstained" if one.abstained else ""
        yield f"  {one.task}: {one.labels:,} labels on {one.labeled:,} {one.unit}s{left}"


def _counted(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in counts.items())
