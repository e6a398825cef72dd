"""Verdicts: is a system better than the human baseline and the baselines, in the main metric of each task?

Each comparison is a paired difference over the same resampled dialogues, with a two-sided p-value. "Better" claims several things at once,
that the system is ahead of the human baseline and of every baseline of the task, so the largest of their p-values counts
(intersection-union test, Berger 1982). These p-values, one for each task, are adjusted over the tasks by Holm's method (Holm 1979). So are
the p-values against the human baseline, for "worse", and those of all baselines in all tasks, for `beaten_by`. Each system is a family
of its own.

A system with feedback masked has a verdict too; where that is "worse", the system is not "better" but "feedback_dependent"."""

from collections.abc import Mapping, Sequence

import msgspec

from labelgen.confidence.resampling import holm, two_sided
from labelgen.evaluation.baselines import ConstantPerSource, MajorityClass
from labelgen.evaluation.measure import Measured, difference
from labelgen.metrics.metric import metric
from labelgen.metrics.results import (
    BASELINE,
    HUMAN,
    Comparison,
    SystemName,
    TaskResult,
    Tested,
    Verdict,
    VerdictName,
    significant,
)

_GAINS = ("better", "no_baselines", "ahead")


def compare(
    systems: Sequence[SystemName],
    rules: Sequence[SystemName],
    measured: Mapping[str, Mapping[str, Measured]],
    main_metric: str,
    level: float,
) -> list[Verdict]:
    """For each system the differences to its opponents; `decide` says what they come to. rules: among them the baselines. measured: name -> metric ->
    its value."""
    out = []
    for system in systems:
        ours = measured[str(system)][main_metric]
        comparisons = []
        people = [HUMAN] if HUMAN in measured else []
        for opponent in (*people, *opponents(system, rules)):
            theirs = measured[opponent][main_metric]
            comparisons.append(
                Comparison(
                    opponent=opponent,
                    kind="human" if opponent == HUMAN else "baseline",
                    **msgspec.structs.asdict(difference(ours, theirs, level)),
                    p_value=two_sided(ours.draws - theirs.draws),
                )
            )
        out.append(Verdict(system=str(system), metric=main_metric, comparisons=comparisons))
    return out


def opponents(system: SystemName, rules: Sequence[SystemName]) -> list[str]:
    """The baselines on the same goals; the majority class only where there is no constant per source."""
    baselines = [x for x in rules if x.base.startswith(BASELINE) and x.on_given_goals == system.on_given_goals]
    if any(x.base == ConstantPerSource.name for x in baselines):
        baselines = [x for x in baselines if x.base != MajorityClass.name]
    return [str(x) for x in baselines]


def decide(tasks: Sequence[TaskResult], systems: Sequence[SystemName], level: float) -> None:
    """Fill in the verdicts of all tasks, with their adjusted p-values and those of their comparisons."""
    everything = [(task, one) for task in tasks for one in task.verdicts]
    for system in dict.fromkeys(one.system for _, one in everything):
        family = [(_sign(task), one) for task, one in everything if one.system == system]
        for kind in ("human", "baseline"):
            adjust([x for _, one in family for x in one.comparisons if x.kind == kind])
        for sign, one in family:
            for x in one.comparisons:
                x.significant = significant(x.p_adjusted, level)
            one.p_value = _of_all(one, sign)
        adjust([one for _, one in family])
        for sign, one in family:
            one.beaten_by = [
                x.opponent
                for x in one.comparisons
                if x.kind == "baseline" and x.p_value is not None and x.significant and not _ahead(x, sign)
            ]
            one.verdict = _verdict(one, sign, level)
    for task in tasks:
        of = {one.system: one for one in task.verdicts}
        for masked in (name for name in systems if name.masked):
            seen, unseen = of.get(str(masked.unmasked)), of.get(str(masked))
            if seen and unseen and unseen.verdict == "worse" and seen.verdict in _GAINS:
                seen.verdict = "feedback_dependent"


def _sign(task: TaskResult) -> float:
    return 1.0 if metric(task.main_metric).larger_is_better else -1.0


def _of_all(one: Verdict, sign: float) -> float | None:
    """The p-value of being ahead of all opponents, 1 where the system is behind any; None where there are no baselines."""
    if not any(x.kind == "baseline" for x in one.comparisons):
        return None
    return max(x.p_value if _ahead(x, sign) and x.p_value is not None else 1.0 for x in one.comparisons)


def _ahead(comparison: Comparison, sign: float) -> bool:
    return comparison.value is not None and sign * comparison.value > 0


def _verdict(one: Verdict, sign: float, level: float) -> VerdictName:
    defined = [x for x in one.comparisons if x.p_value is not None]
    human = next((x for x in defined if x.kind == "human"), None)
    if significant(one.p_adjusted, level):
        return "better"
    if human is not None and human.significant:
        if not _ahead(human, sign):
            return "worse"
        return "ahead" if len(defined) > 1 else "no_baselines"
    if not defined:
        return "not_compared"
    return "worse" if human is None and one.beaten_by else "indistinguishable"


def adjust(tested: Sequence[Comparison | Verdict | Tested]) -> int:
    """Fill in `p_adjusted` where there is a `p_value`, over all of them together; returns how many those are."""
    known = [one for one in tested if one.p_value is not None]
    for one, p in zip(known, holm([one.p_value or 0.0 for one in known]), strict=True):
        one.p_adjusted = p
    return len(known)
