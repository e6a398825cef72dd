"""What the evaluations of scripts/measure_feedback_training.py come to; that script runs this one.

    python scripts/collect_feedback_training.py choose runs/feedback --seeds 90 --out runs/feedback/choice.json
    python scripts/collect_feedback_training.py table runs/feedback --seeds 1 2 3 --method em --out table.json

`choose` names the method whose targets taught best: the greatest mean, over the questions, of the F1 that the aim is about,
with the evidence hidden. `table` makes the table. The test dialogues of all seeds are put together. A ratio is a metric of what was learned otherwise over that of what was learned
from gold, on the same dialogues; its interval is of a bootstrap over dialogues in which both are drawn together, and beside
it stand the least and the greatest of a single seed, since chance in training is not in the interval."""

import json
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from command import arguments, parsed, tells_errors, write_table
from msgspec import structs, to_builtins

from labelgen.data.dialogue import Dialogue
from labelgen.data.labels import FEEDBACK_MASKED, ON_GIVEN_GOALS
from labelgen.data.log import Log
from labelgen.evaluation.baselines import MajorityClass
from labelgen.evaluation.measure import Measured, items_of, measure_all, ratio
from labelgen.evaluation.protocol import Protocol
from labelgen.evaluation.tasks import EvaluationTask, evaluation_tasks
from labelgen.metrics.results import Setting
from labelgen.simulator.log import TRUTH

GOLD = "gold"
AIMS = {"feedback": 0.97, "feedback and 5% gold": 0.99}
"""What is learned from -> the share of gold's F1 that it is to reach."""
RULES = ("the live assistant", MajorityClass.name)
METRICS = {
    "outcome": ("macro_f1", "failure_f1"),
    "quality, turn": ("bad_f1", "macro_f1"),
    "quality, dialogue": ("bad_f1", "macro_f1"),
    "intents": ("intent_macro_f1", "intent_accuracy"),
    "slots": ("slot_span_f1", "slot_value_f1"),
}
"""question -> its metrics, the F1 that the aim is about first. Of quality that of bad: no feedback says "fair", so the mean
over bad, fair and good tells of the form of the targets and not of what was learned from them."""
SETTING = Setting(TRUTH, annotators=None)


@tells_errors
def main(argv: Sequence[str] | None = None) -> int:
    args = arguments(__doc__, out_required=True)
    args.add_argument("action", choices=["choose", "table"])
    args.add_argument("run", type=Path, help="the folder of the run")
    args.add_argument("--seeds", type=int, nargs="+", required=True, help="whose evaluations are read")
    of_table = args.add_argument_group("of a table")
    of_table.add_argument("--method", default="", help="that made the targets")
    of_table.add_argument("--command", default="", help="that is shown above the table")
    given = parsed(args, argv)
    folders = [given.run / f"seed-{seed}" / "evaluation" for seed in given.seeds]
    evaluations = [json.loads((folder / "evaluation.json").read_text(encoding="utf-8")) for folder in folders]
    if given.action == "choose":
        found = {"seeds": given.seeds, **choose(evaluations)}
    else:
        logs = [list(Log([folder / "predictions.jsonl"], max_bad_rate=0.0)) for folder in folders]
        found = table(evaluations, logs, _chosen(given.run, given.method), given.command)
    write_table(given.out, found)
    print(f"wrote {given.out}")
    return 0


def choose(evaluations: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The best of the models that were judged, and what each comes to in each question; of equals the first. A value that
    is not defined counts 0."""
    f1: dict[str, dict[str, float]] = {name: {} for name in evaluations[0]["model"]}
    for section in (s for evaluation in evaluations for s in evaluation["tasks"] if s["name"] in METRICS):
        for name, own in f1.items():
            hidden, _ = seen_as(section["unit"], name)
            rows = [row["metrics"] for row in section["rows"] if row["system"] == hidden]
            value = rows[0][METRICS[section["name"]][0]]["value"] if rows else None
            own[section["name"]] = own.get(section["name"], 0.0) + (value or 0.0) / len(evaluations)
    return {"method": max(f1, key=lambda name: sum(f1[name].values())), "f1": f1}


def table(
    evaluations: Sequence[Mapping[str, Any]], logs: Sequence[Sequence[Dialogue]], chosen: str, command: str
) -> dict[str, Any]:
    """The table of these seeds. logs: the predictions of each. chosen: the method, in words."""
    questions = [question for question in evaluation_tasks() if question.name in METRICS]
    return {
        "order": 10,
        "title": "Trained on feedback beside trained on gold, on simulated logs",
        "text": (
            "The same model, trained for as many steps from the same weights on the same dialogues; the targets alone differ. "
            "Goals are those of the truth for all, so outcomes are asked of true goals. Where feedback speaks of a dialogue, its "
            "evidence is hidden in half of the training, for gold too. Values, and the ratio that the aim is about, are with the "
            "evidence hidden on both sides; beside it the ratio with the evidence seen on both, and that of evidence hidden over "
            "gold that sees it. `reached`: the ratio is at least the aim; the interval says how surely. The F1 of a turn's and a "
            "dialogue's quality that counts is that of bad, as no feedback says fair."
        ),
        "command": command,
        "versions": evaluations[0]["versions"],
        "data": f"{_about(evaluations, logs)} {chosen}",
        "columns": [
            "question",
            "metric",
            "learned from",
            "value (95%)",
            "of gold's (95%)",
            "by seed",
            "both with evidence (95%)",
            "gold alone with evidence (95%)",
            "aim",
            "reached",
        ],
        "rows": [row for question in questions for row in rows_of(question, logs)],
    }


def rows_of(question: EvaluationTask, logs: Sequence[Sequence[Dialogue]]) -> list[list[Any]]:
    """A row for each metric and all that is judged by it. logs: the predictions of each seed."""
    whole = measured(question, [dialogue for log in logs for dialogue in log], SETTING)
    if not whole:
        return []
    apart = [measured(question, log, structs.replace(SETTING, resamples=0)) for log in logs]
    found: list[list[Any]] = []
    for metric in METRICS[question.name]:
        for name in (GOLD, *AIMS, *RULES):
            own, seen = seen_as(question.units[0], name)
            if own not in whole:
                continue
            value = to_builtins(whole[own][metric].estimate())
            aim = AIMS.get(name) if metric == METRICS[question.name][0] else None
            if name == GOLD:
                found.append([question.name, metric, name, _short(value), None, None, None, None, None, None])
                continue
            gold, gold_seen = seen_as(question.units[0], GOLD)
            of_gold = _ratio(whole, own, gold, metric)
            single = [_ratio(one, own, gold, metric)["value"] for one in apart if own in one and gold in one]
            defined = [value for value in single if value is not None]
            found.append(
                [
                    question.name,
                    metric,
                    name,
                    _short(value),
                    _short(of_gold),
                    f"{min(defined):.3f} to {max(defined):.3f}" if defined else None,
                    _short(_ratio(whole, seen, gold_seen, metric)),
                    _short(_ratio(whole, own, gold_seen, metric)),
                    aim,
                    None if aim is None or of_gold["value"] is None else "yes" if of_gold["value"] >= aim else "no",
                ]
            )
    return found


def seen_as(unit: str, name: str) -> tuple[str, str]:
    """The annotator whose answers are those without evidence, and the one of those with it. A rule hides nothing."""
    asked_of = f"{name}{ON_GIVEN_GOALS if unit == 'goal' else ''}"
    if name in RULES:
        return asked_of, asked_of
    return f"{asked_of}{FEEDBACK_MASKED}", asked_of


def measured(
    question: EvaluationTask, dialogues: Sequence[Dialogue], setting: Setting
) -> dict[str, dict[str, Measured]]:
    """annotator -> metric -> what it comes to, of all annotators that answer anything; all are drawn together."""
    trials = Protocol(dialogues, (question,), setting).judgments(question).all
    names = [name for arm in (GOLD, *AIMS, *RULES) for name in dict.fromkeys(seen_as(question.units[0], arm))]
    items = {name: items_of(trials, dialogues, question, name) for name in names}
    answering = [name for name in names if any(item.predicted for item in items[name])]
    return {name: measure_all(METRICS[question.name], items[name], trials, setting) for name in answering}


def _ratio(found: Mapping[str, Mapping[str, Measured]], name: str, over: str, metric: str) -> dict[str, Any]:
    found_ratio: dict[str, Any] = to_builtins(
        ratio(name, over, metric, found[name][metric], found[over][metric], SETTING.level)
    )
    return found_ratio


def _short(estimate: Mapping[str, Any]) -> dict[str, float | None] | None:
    """Four decimals are more than the intervals support."""
    if estimate["value"] is None:
        return None
    return {key: None if estimate[key] is None else round(estimate[key], 4) for key in ("value", "low", "high")}


def _about(evaluations: Sequence[Mapping[str, Any]], logs: Sequence[Sequence[Dialogue]]) -> str:
    """What was judged, and what each arm learned from, over all seeds."""
    told = []
    for arm in (GOLD, *AIMS):
        cards = [evaluation["model"][arm] for evaluation in evaluations]
        counts: Counter[str] = Counter()
        for card in cards:
            counts.update(card["targets"])
        targets = ", ".join(f"{count:,} of {task}" for task, count in sorted(counts.items()))
        told.append(f"{arm}: {sum(card['dialogues'] for card in cards):,} dialogues, targets {targets}")
    steps = evaluations[0]["model"][GOLD]["steps"]
    judged = sum(len(log) for log in logs)
    turns = sum(len(dialogue.turns) for log in logs for dialogue in log)
    hidden = sum(evaluation["data"]["with_feedback"] for evaluation in evaluations)
    return (
        f"{len(logs)} seeds; {judged:,} dialogues judged, {turns:,} turns; {hidden:,} of them carry evidence. {steps:,} steps. "
        f"Learned from: {'; '.join(told)}."
    )


def _chosen(run: Path, method: str) -> str:
    """How the method was chosen, in words."""
    path = run / "choice.json"
    if not path.exists():
        return f"Targets by {method}."
    choice = json.loads(path.read_text(encoding="utf-8"))
    means = {name: sum(scores.values()) / len(scores) for name, scores in choice["f1"].items()}
    compared = ", ".join(f"{name} {mean:.3f}" for name, mean in means.items())
    return f"Targets by {method}, chosen on seed {choice['seeds'][0]}, which is not reported (mean F1: {compared})."


if __name__ == "__main__":
    sys.exit(main())
