"""One evaluation as plain data, from dialogues that hold the annotations of all who are judged.

Its form is described in docs/explanation/evaluation.md; a report shows nothing that is not in it."""

import platform
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import scipy

from labelgen import __version__
from labelgen.agreement.vote import CONSENSUS
from labelgen.base.errors import InputError, UsageError
from labelgen.base.progress import progress
from labelgen.data.dialogue import Dialogue
from labelgen.evaluation.contrast import adjust
from labelgen.evaluation.costs import costs
from labelgen.evaluation.examples import examples
from labelgen.evaluation.lacking import nothing_to_judge
from labelgen.evaluation.question import Question
from labelgen.evaluation.section import section
from labelgen.evaluation.slices import check_fields
from labelgen.evaluation.trials import EVERYONE, Protocol, Setting, named
from labelgen.evaluation.unfit import annotated_by, drawn
from labelgen.evaluation.verdict import decide
from labelgen.feedback.masking import mask_feedback

FORM = "labelgen evaluation 1"


@dataclass(frozen=True, slots=True)
class Description:
    """What an evaluation says of itself beside its numbers. left_out: reason -> dialogues. rivals: how the plain rivals were
    fitted, None where there are none. model: free."""

    title: str
    command: str = ""
    paths: tuple[str, ...] = ()
    digest: str | None = None
    split: str | None = None
    left_out: Mapping[str, int] = field(default_factory=dict)
    rivals: Mapping[str, Any] | None = None
    model: Mapping[str, Any] = field(default_factory=dict)


def evaluate(
    dialogues: Sequence[Dialogue],
    questions: Sequence[Question],
    candidates: Sequence[str],
    setting: Setting,
    description: Description,
) -> dict[str, Any]:
    """Judge the candidates, annotators of the dialogues in the order to be shown, on every question that the reference
    answers somewhere. Raises InputError where it answers none, UsageError where no dialogue has a field that is sliced by."""
    check_fields(dialogues, setting.slices)
    protocol = Protocol(dialogues, questions, setting)
    found = [
        section(protocol, question, candidates, setting)
        for question in progress(questions, "evaluate", "questions", len(questions))
    ]
    tasks = [task for task in found if task["items"]]
    if not tasks:
        reasons = dict.fromkeys(entry["reason"] for task in found for entry in task["left_out"])
        where = ", ".join(description.paths)
        raise nothing_to_judge(dialogues, questions, setting, description.left_out, reasons, where)
    looked_at = adjust([part for task in tasks for part in task["slices"]])
    adjust([part for task in tasks for part in task["worst_slices"]])
    decide(tasks, setting.level)
    places = sorted({trial.dialogue for question in questions for trial in protocol.trials(question).trials})
    judged = [dialogues[place] for place in places]
    return {
        "form": FORM,
        "title": description.title,
        "command": description.command,
        "versions": {
            "labelgen": __version__,
            "python": platform.python_version(),
            "numpy": np.__version__,
            "scipy": scipy.__version__,
        },
        "setting": {
            "against": setting.against,
            "people": _people(setting),
            "ratings": setting.ratings,
            "candidates": list(candidates),
            "seed": setting.seed,
            "resamples": setting.resamples,
            "level": setting.level,
            "slices": list(setting.slices),
            "worst_slices": setting.worst_slices,
            "protocol": _protocol(setting),
        },
        "data": {
            "paths": list(description.paths),
            "digest": description.digest,
            "dialogues": len(dialogues),
            "turns": sum(len(d.turns) for d in dialogues),
            "sources": dict(sorted(Counter(d.source or "" for d in dialogues).items())),
            "split": description.split,
            "judged": len(judged),
            "annotated": annotated_by(judged, candidates),
            "drawn_for_difficulty": drawn(judged),
            "carry_evidence": sum(mask_feedback(d) != d for d in dialogues),
            "left_out": [{"reason": r, "dialogues": n} for r, n in description.left_out.items()],
        },
        "rivals": description.rivals,
        "model": dict(description.model),
        "slices_tested": looked_at,
        "tasks": tasks,
        "costs": costs(protocol, questions, candidates, setting),
        "dialogues": examples(dialogues, questions, candidates, setting),
    }


def _people(setting: Setting) -> str | None:
    if setting.people is not None:
        return ",".join(sorted(setting.people))
    return EVERYONE if setting.everyone else None


def _protocol(setting: Setting) -> str:
    if setting.against == CONSENSUS:
        return (
            "each person is judged against the consensus of the others (of three of them where there are more), "
            "and every candidate on the same fields against that same consensus"
        )
    beside = "" if _people(setting) is None else "; people are judged against the same answers on the same fields"
    return f"every candidate is judged against the answers of {setting.against}{beside}"


def read_evaluation(path: Path) -> tuple[Description, Setting, tuple[str, ...], tuple[str, ...]]:
    """What an evaluation says of itself, so that it can be computed again: description, setting, candidates, and the
    names of its questions. Raises UsageError where the file is not there, InputError where it is no evaluation."""
    if not path.is_file():
        raise UsageError(f"no {path.name} beside the predictions", str(path), "keep the two files of one run together")
    try:
        plain = msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
        said, data = plain["setting"], plain["data"]
        setting = Setting(
            said["against"],
            *named(said["people"]),
            said["seed"],
            said["resamples"],
            said["level"],
            said.get("ratings", "vote"),
            tuple(said.get("slices", ())),
            said.get("worst_slices", False),
        )
        description = Description(
            title=plain["title"],
            command=plain["command"],
            paths=tuple(data["paths"]),
            digest=data["digest"],
            split=data["split"],
            left_out={entry["reason"]: entry["dialogues"] for entry in data["left_out"]},
            rivals=plain.get("rivals"),
            model=plain["model"],
        )
        asked = tuple(task["name"] for task in plain["tasks"])
        return description, setting, tuple(said["candidates"]), asked
    except (msgspec.MsgspecError, KeyError, TypeError) as error:
        raise InputError(f"{path.name} is no evaluation: {error!r}", str(path), f"its form is {FORM!r}") from error
