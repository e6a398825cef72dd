"""The labeling configuration of a Label Studio project, as XML: which questions stand beside a dialogue.

Per-region tags and their visibility follow https://labelstud.io/tags/paragraphs, /choices and /rating. Label Studio reads
`$name` in a value as a field of the task's data, and XML has no control characters; labels of such names cannot be asked."""

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from xml.etree import ElementTree

from labelgen.base.errors import UsageError
from labelgen.data.dialogue import Dialogue
from labelgen.data.label_set import Sources
from labelgen.data.labels import division
from labelgen.review import sheet

_LEAST_GOALS, _MOST_GOALS = 3, 8
"""How many goals can be told apart where the annotations have fewer: as many as the longest dialogue has turns, within these."""

# Characters that an attribute of an XML 1.0 document keeps as they are.
_WRITABLE = re.compile("[\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]+")


@dataclass(frozen=True, slots=True)
class Questions:
    """What is asked. goals: how many can be told apart; 0 where goals are not asked."""

    tasks: frozenset[str]
    intents: tuple[str, ...]
    slots: tuple[str, ...]
    goals: int


def questions_of(dialogues: Iterable[Dialogue], labels: Sources, tasks: Collection[str] = sheet.TASKS) -> Questions:
    """Everything that the label sets name, or an annotation of the dialogues, withheld guesses included."""
    names: dict[str, set[str]] = {"intents": set(), "slots": set()}
    for by_task in labels.values():
        for task, known in by_task.items():
            names.setdefault(task, set()).update(label.name for label in known)
    goals = turns = 0
    for dialogue in dialogues:
        turns = max(turns, len(dialogue.turns))
        for annotation in dialogue.annotations:
            goals = max(goals, len(division(annotation) or ()))
            for label in (*annotation.labels, *(x for left in annotation.abstained for x in left.best)):
                names.setdefault(label.task, set()).add(label.name)
    return Questions(
        tasks=frozenset(tasks),
        intents=_writable(names["intents"]) if "intents" in tasks else (),
        slots=_writable(names["slots"]) if "slots" in tasks else (),
        goals=max(goals, _LEAST_GOALS, min(turns, _MOST_GOALS)) if "goals" in tasks else 0,
    )


def _writable(names: Iterable[str]) -> tuple[str, ...]:
    out = tuple(sorted(names))
    for name in out:
        if name.startswith("$") or not _WRITABLE.fullmatch(name) or name != name.strip():
            raise UsageError(
                f"Label Studio cannot ask for a label named {name!r}",
                "the label sets and annotations of the sample",
                "give it a name without control characters, outer blanks and a leading $, or export to conll",
            )
    return out


def labeling_config(asked: Questions) -> str:
    """The configuration as XML text."""
    view = ElementTree.Element("View")
    # Else a browser shows line breaks and runs of blanks as one blank.
    _add(view, "Style").text = '[data-testid^="phrase:"] { white-space: pre-wrap; }'
    _add(view, "Header", value=f"${sheet.LOOK_AT}")
    _control(view, "ParagraphLabels", sheet.TURN, (sheet.TURN,), "Label")
    if asked.slots:
        _control(view, "ParagraphLabels", sheet.SLOTS, asked.slots, "Label")
    _add(
        view,
        "Paragraphs",
        name=sheet.OBJECT,
        value=f"${sheet.OBJECT}",
        layout="dialogue",
        nameKey="author",
        textKey="text",
    )
    turn = _about(view, sheet.TURN, "The selected turn")
    if asked.intents:
        _header(turn, "What the request asks for")
        _control(turn, "Choices", sheet.INTENTS, asked.intents, choice="multiple", perRegion="true", showInline="true")
    none = [name for task, name in (("intents", sheet.NO_INTENT), ("slots", sheet.NO_SLOT)) if task in asked.tasks]
    if none:
        _control(turn, "Choices", sheet.NONE, none, choice="multiple", perRegion="true", showInline="true")
    if "quality" in asked.tasks:
        _header(turn, "How well the response served the request, 1 to 5")
        _control(turn, "Rating", sheet.QUALITY, perRegion="true", maxRating="5")
    numbers = [str(k + 1) for k in range(asked.goals)]
    if numbers:
        _header(turn, "Which goal the turn serves")
        choices = (*numbers, sheet.NO_GOAL)
        _control(turn, "Choices", sheet.GOAL, choices, choice="single", perRegion="true", showInline="true")
    if asked.slots:
        slot = _about(view, sheet.SLOTS, "The selected slot's normalized value, where it differs")
        _control(slot, "TextArea", sheet.VALUE, perRegion="true", maxSubmissions="1", editable="true")
    if "outcome" in asked.tasks:
        for k in range(asked.goals):
            _header(view, f"Outcome of goal {k + 1}")
            choices = ("success", "failure", "unknown")
            _control(view, "Choices", sheet.outcome_of(k + 1), choices, choice="single", showInline="true")
    if "quality" in asked.tasks:
        _header(view, "How well the dialogue as a whole went, 1 to 5")
        _control(view, "Rating", sheet.DIALOGUE_QUALITY, maxRating="5")
    ElementTree.indent(view)
    return ElementTree.tostring(view, encoding="unicode") + "\n"


def _add(parent: ElementTree.Element, tag: str, **attributes: str) -> ElementTree.Element:
    return ElementTree.SubElement(parent, tag, attributes)


def _header(parent: ElementTree.Element, text: str) -> None:
    _add(parent, "Header", value=text, size="4")


def _about(parent: ElementTree.Element, control: str, text: str) -> ElementTree.Element:
    """What is shown while a region of that control is selected."""
    view = _add(parent, "View", visibleWhen="region-selected", whenTagName=control)
    _header(view, text)
    return view


def _control(
    parent: ElementTree.Element,
    tag: str,
    name: str,
    choices: Sequence[str] = (),
    choice_tag: str = "Choice",
    **attributes: str,
) -> None:
    control = _add(parent, tag, name=name, toName=sheet.OBJECT, **attributes)
    for value in choices:
        _add(control, choice_tag, value=value)
