"""Verdicts: is a candidate better than one annotator and than the plain rivals, in the main metric of each task?

Each comparison is a paired difference over the same resampled dialogues, with a two-sided p-value. "Better" claims several things at once, that the
candidate is ahead of the annotator and of every plain rival of the task, so the largest of their p-values counts (intersection-union
test, Berger 1982). These, one a task, are adjusted over the tasks by Holm's method (Holm 1979), and so are the p-values against the
annotator, for "worse", and those of all rivals in all tasks, for who beats the candidate. Each candidate is a family of its own.

What a candidate says with the evidence hidden has a verdict too; where that is "worse", the other is not "better" but "leaning"."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from labelgen.confidence.resampling import paired_difference, two_sided
from labelgen.data.labels import EVIDENCE_HIDDEN, ON_GIVEN_GOALS
from labelgen.evaluation.compare import Measured, bounds, metric
from labelgen.evaluation.constant_answers import ConstantPerSource, MajorityClass
from labelgen.evaluation.contrast import holm
from labelgen.evaluation.question import Question
from labelgen.evaluation.rivals import PLAIN
from labelgen.evaluation.trials import SINGLE

Verdict = Literal["better", "uncompared", "ahead", "leaning", "open", "worse", "alone"]
"""better: than the annotator and every plain rival, or than these where nobody annotated twice. uncompared: than the annotator, no rival is
there. ahead: of the annotator, but not certainly of every rival. leaning: one of these three, and with the evidence hidden worse. worse: than the
annotator, or, without one, than a rival. open: none of this is certain. alone: nobody is there to compare with."""

_GAINS = ("better", "uncompared", "ahead")


def comparisons(
    candidates: Sequence[str], measured: Mapping[str, Mapping[str, Measured]], question: Question, level: float
) -> list[dict[str, Any]]:
    """For each candidate its main metric less that of whom it is compared with. measured: name -> metric -> its value, of all who answer."""
    main = question.metrics[0]
    out = []
    for name in candidates:
        against = []
        for over in opponents(name, measured):
            ours, theirs = measured[name][main], measured[over][main]
            difference = paired_difference(ours.interval, theirs.interval, (ours.draws, theirs.draws), level)
            p_value = two_sided(ours.draws - theirs.draws)
            kind = "person" if over == SINGLE else "rival"
            against.append({"over": over, "kind": kind, **bounds(difference), "p_value": p_value})
        out.append({"candidate": name, "metric": main, "against": against})
    return out


def opponents(candidate: str, answering: Sequence[str] | Mapping[str, Any]) -> list[str]:
    """The annotator, and the plain rivals that were told as much of the goals; the majority class only where there is no constant per source."""
    told = ON_GIVEN_GOALS in candidate
    rivals = [x for x in answering if x.startswith(PLAIN) and x.endswith(ON_GIVEN_GOALS) == told]
    if any(x.startswith(ConstantPerSource.name) for x in rivals):
        rivals = [x for x in rivals if not x.startswith(MajorityClass.name)]
    return [*(x for x in answering if x == SINGLE), *rivals]


def decide(tasks: Sequence[dict[str, Any]], level: float) -> None:
    """Adds `verdict`, `p_value`, `p_adjusted` and `beaten_by` to the verdicts of all tasks, and `p_adjusted` to their comparisons."""
    everything = [(task, one) for task in tasks for one in task["verdicts"]]
    for candidate in dict.fromkeys(one["candidate"] for _, one in everything):
        own = [(task, one) for task, one in everything if one["candidate"] == candidate]
        for kind in ("person", "rival"):
            _adjust([x for _, one in own for x in one["against"] if x["kind"] == kind])
        for task, one in own:
            for x in one["against"]:
                x["certain"] = certain(x["p_adjusted"], level)
            one["p_value"] = _of_all(one, _sign(task))
        _adjust([one for _, one in own])
        for task, one in own:
            one["verdict"], one["beaten_by"] = _verdict(one, _sign(task), level)
    for task in tasks:
        said = {one["candidate"]: one for one in task["verdicts"]}
        for name, one in said.items():
            hidden = said.get(name + EVIDENCE_HIDDEN)
            if hidden is not None and hidden["verdict"] == "worse" and one["verdict"] in _GAINS:
                one["verdict"] = "leaning"


def _sign(task: Mapping[str, Any]) -> float:
    return 1.0 if metric(task["main_metric"]).larger_is_better else -1.0


def _adjust(tested: Sequence[dict[str, Any]]) -> None:
    known = [one for one in tested if one["p_value"] is not None]
    for one in tested:
        one["p_adjusted"] = None
    for one, p in zip(known, holm([one["p_value"] for one in known]), strict=True):
        one["p_adjusted"] = p


def _of_all(one: Mapping[str, Any], sign: float) -> float | None:
    """The p-value of being ahead of all, 1 where it is behind any of them; None where no rival is among them."""
    if not any(x["kind"] == "rival" for x in one["against"]):
        return None
    return max(x["p_value"] if _ahead(x, sign) and x["p_value"] is not None else 1.0 for x in one["against"])


def _ahead(comparison: Mapping[str, Any], sign: float) -> bool:
    return comparison["value"] is not None and sign * comparison["value"] > 0


def _verdict(one: Mapping[str, Any], sign: float, level: float) -> tuple[Verdict, list[str]]:
    """The verdict, and the rivals that are certainly ahead of the candidate."""
    defined = [x for x in one["against"] if x["p_value"] is not None]
    person = next((x for x in defined if x["kind"] == "person"), None)
    rivals = [x for x in defined if x["kind"] == "rival"]
    beaten_by = [x["over"] for x in rivals if x["certain"] and not _ahead(x, sign)]
    if certain(one["p_adjusted"], level):
        return "better", beaten_by
    if person is not None and person["certain"]:
        if not _ahead(person, sign):
            return "worse", beaten_by
        return "ahead" if rivals else "uncompared", beaten_by
    if not defined:
        return "alone", beaten_by
    return "worse" if person is None and beaten_by else "open", beaten_by


def certain(p_adjusted: float | None, level: float) -> bool:
    # As a sum, since 1 - 0.95 is a little more than 0.05.
    return p_adjusted is not None and p_adjusted + level <= 1.0
