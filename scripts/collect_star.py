"""The table of `scripts/star.sh`: `python scripts/collect_star.py RUN TRAIN`, the latter a log. Every number is computed from
RUN/evaluation-*/predictions.jsonl."""

import argparse
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from against_gold import measured
from command import tells_errors, write_table
from public_star import USER

from labelgen import __version__
from labelgen.base.errors import InputError
from labelgen.confidence.resampling import interval, over_trainings
from labelgen.data.dialogue import Dialogue
from labelgen.data.labels import ON_GIVEN_GOALS
from labelgen.data.log import Log
from labelgen.evaluation.baselines import fit_baselines
from labelgen.evaluation.tasks import about, evaluation_tasks
from labelgen.metrics.results import Setting

RESULTS = Path(__file__).resolve().parent.parent / "results" / "star.json"
METRICS = ("failure_auprc", "accuracy", "macro_f1", "log_loss", "ece")
MODELS = ("model", "model with actions")
RULES = ("the task's own failure rate", "the last action's failure rate", "implicit signals")
RIVALS = ("baseline: bag of words", "baseline: constant per source")
TEXT = (
    "Users are on one side only. `model` does not read the wizard's action labels, `model with actions` does. The rules are the share "
    "of failures among the training users' answers, of the same task, or of the same last action of the wizard but for words of "
    "parting; and the waterfall over implicit signals alone. The baselines learn from the training users' answers; the bag of words reads "
    "what `model` reads. The published layout asks only in completed single-task dialogues. Differences are paired."
)


@tells_errors
def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="the folder where scripts/star.sh wrote its evaluations")
    parser.add_argument("train", type=Path, help="the log that was trained on")
    parser.add_argument("--out", type=Path, default=RESULTS)
    args = parser.parse_args()
    folders = {
        made.parent.name.removeprefix("evaluation-seed"): made.parent
        for made in args.run.glob("evaluation-seed*/evaluation.json")
    }
    seeds = sorted(folders, key=int)
    judged = [list(Log([folders[seed] / "predictions.jsonl"])) for seed in seeds]
    table = {
        "order": 3,
        "title": "STAR: outcomes against users' own answers",
        "text": TEXT,
        "command": f'SEEDS="{" ".join(seeds)}" bash scripts/star.sh',
        "versions": {"labelgen": __version__},
        "data": f"Bootstrap over dialogues and trainings, seed 0, 1,000 resamples; trainings with seeds {', '.join(seeds)}.",
        "columns": ["candidate", "metric", "value (95%)", "trainings, least to greatest", "answers"],
        "rows": list(rows_of(judged, Log([args.train]))),
    }
    write_table(args.out, table)
    print(f"wrote {args.out}")
    return 0


def rows_of(judged: Sequence[Sequence[Dialogue]], training: Iterable[Dialogue]) -> Iterator[list[Any]]:
    """What each candidate is worth, then how far each model is above each rule and baseline. judged: the dialogues with the annotations
    of each training."""
    setting = Setting(USER, annotators=None)
    rivals = fit_baselines(training, about(evaluation_tasks(), ["outcome"]), setting)
    logs = [rivals.annotate(judged[0], USER), *judged[1:]]
    measures = [measure for log in logs for _, measure in measured(log, setting, {"outcome": METRICS})]
    beside = [*RULES, *(name + ON_GIVEN_GOALS for name in RIVALS)]
    missing = [name for name in (*MODELS, *beside) if not any(d.annotation(name) for d in logs[0])]
    if missing:
        raise InputError(
            f"nobody is called {missing[0]!r}", "the evaluations", "remove them and run scripts/star.sh again"
        )
    found = {name: [measure(name) for measure in measures] for name in MODELS} | {
        name: [measures[0](name)] for name in beside
    }
    for metric in METRICS:
        own = {name: [one[metric] for one in many] for name, many in found.items()}
        drawn = {
            n: over_trainings([m.interval.value or 0.0 for m in many], [m.draws for m in many], 0)
            for n, many in own.items()
        }
        for name, (value, draws) in drawn.items():
            values = [round(m.interval.value or 0.0, 3) for m in own[name]]
            spread = f"{min(values):.3f} to {max(values):.3f}" if len(values) > 1 else None
            yield [
                name.removesuffix(ON_GIVEN_GOALS),
                metric,
                interval(value, draws).rounded(),
                spread,
                own[name][0].items,
            ]
        for model in MODELS if metric in ("failure_auprc", "macro_f1", "accuracy") else ():
            for other in beside:
                gain = interval(drawn[model][0] - drawn[other][0], drawn[model][1] - drawn[other][1])
                yield [
                    f"{model} minus {other.removesuffix(ON_GIVEN_GOALS)}",
                    metric,
                    gain.rounded(),
                    None,
                    own[model][0].items,
                ]


if __name__ == "__main__":
    sys.exit(main())
