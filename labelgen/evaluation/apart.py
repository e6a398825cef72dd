"""The parts of a question's data judged apart: each candidate on every slice, the first one beside the rest."""

from collections.abc import Mapping, Sequence
from typing import Any

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
    first: Sequence[str],
    whole: Mapping[str, Mapping[str, Measured]],
    trials: Sequence[Trial],
    dialogues: Sequence[Dialogue],
    question: Question,
    setting: Setting,
) -> dict[str, Any]:
    """`slices` of all candidates in `items`, and `worst_slices` of the one that is tested, where asked.

    first: the candidate that is tested, none where it does not answer. whole: candidate -> metric -> its value on all fields."""
    if not items or not trials:
        return {"slices": [], "worst_slices": []}
    main = question.metrics[0]
    tested = [Candidate(main, items[name], trials, whole[name][main]) for name in first]
    fields = [(k, at) for k, trial in enumerate(trials) for at in trial.reference]
    judged: list[Judged] = [
        (dialogues[trials[k].dialogue], at, tested[0].items[k].predicted.get(at, ()) if tested else ())
        for k, at in fields
    ]
    parts = {by: slices(judged, by, setting.against) for by in dict.fromkeys((*ALWAYS, *setting.slices))}
    out = []
    for by, named in parts.items():
        for name, places in named.items():
            inside = {fields[k] for k in places.tolist()}
            beside = [contrast(one, inside, setting) for one in tested]
            for candidate, own in items.items():
                own_part, own_trials = within(own, trials, inside)
                measured = measure_all(question.metrics[:SHOWN], own_part, own_trials, setting)
                for metric, found in measured.items():
                    more = beside[0] if candidate in first and metric == main else {}
                    out.append(
                        {"by": by, "name": name, "candidate": candidate, "metric": metric, **found.estimate(), **more}
                    )
    searched = zip(first, tested, strict=True) if setting.worst_slices else ()
    worst = [
        {"candidate": name, "metric": main, **one}
        for name, candidate in searched
        for one in worst_slices(candidate, fields, judged, parts, setting)
    ]
    return {"slices": out, "worst_slices": worst}
