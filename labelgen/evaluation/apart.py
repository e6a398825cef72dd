"""The parts of a question's data judged apart: each candidate on every slice, the first one beside the rest."""

from collections.abc import Mapping, Sequence
from typing import Any

from numpy.typing import NDArray

from labelgen.data.dialogue import Dialogue
from labelgen.evaluation.compare import Measured, measure_all
from labelgen.evaluation.contrast import Candidate, contrast, within
from labelgen.evaluation.question import Question
from labelgen.evaluation.slices import ALWAYS, Judged, slices
from labelgen.evaluation.trials import Setting, Trial
from labelgen.evaluation.worst_slices import worst_slices
from labelgen.metrics.metric import Item

SHOWN = 2
"""Metrics of a question that are measured on slices; the main one is tested."""


def apart(
    items: Mapping[str, Sequence[Item]],
    whole: Mapping[str, Mapping[str, Measured]],
    trials: Sequence[Trial],
    dialogues: Sequence[Dialogue],
    question: Question,
    setting: Setting,
) -> dict[str, Any]:
    """`slices` of all candidates in `items`, the first of which is tested, and `worst_slices` of that one where asked.

    whole: candidate -> metric -> its value on all fields."""
    if not items or not trials:
        return {"slices": [], "worst_slices": []}
    first, *_ = items
    main = question.metrics[0]
    tested = Candidate(main, items[first], trials, whole[first][main])
    fields = tested.fields()
    judged: list[Judged] = [
        (dialogues[trials[k].dialogue], at, items[first][k].predicted.get(at, ())) for k, at in fields
    ]
    parts = {by: slices(judged, by, setting.against) for by in dict.fromkeys((*ALWAYS, *setting.slices))}
    out = []
    for by, named in parts.items():
        for name, places in named.items():
            inside = {fields[k] for k in places.tolist()}
            beside = contrast(tested, inside, setting)
            for candidate, own in items.items():
                own_part, own_trials = within(own, trials, inside)
                measured = measure_all(question.metrics[:SHOWN], own_part, own_trials, setting)
                for metric, found in measured.items():
                    more = beside if (candidate, metric) == (first, main) else {}
                    out.append(
                        {"by": by, "name": name, "candidate": candidate, "metric": metric, **found.estimate(), **more}
                    )
    return {"slices": out, "worst_slices": _worst(tested, first, fields, judged, parts, setting)}


def _worst(
    tested: Candidate,
    candidate: str,
    fields: Sequence[tuple[int, Any]],
    judged: Sequence[Judged],
    parts: Mapping[str, Mapping[str, NDArray[Any]]],
    setting: Setting,
) -> list[dict[str, Any]]:
    if not setting.worst_slices:
        return []
    found = worst_slices(tested, fields, judged, parts, setting)
    return [{"candidate": candidate, "metric": tested.name, **one} for one in found]
