"""The demo's model beside annotators, plain rivals and trees on the log's own fields: `python scripts/simulated_rivals.py [RUN] --out FILE`.

RUN: the folder of scripts/demo.sh. Rivals learn from its training part; all are judged on its test part, in the main metric of each question."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from against_gold import FRAMES, measured
from command import arguments, parsed, tells_errors, write_table

from labelgen import __version__
from labelgen.agreement.vote import CONSENSUS
from labelgen.confidence.resampling import paired_difference
from labelgen.data.labels import ON_GIVEN_GOALS
from labelgen.data.log import Log
from labelgen.evaluation.baselines import ConstantPerSource, MajorityClass, Rule, fit_baselines
from labelgen.evaluation.classifiers import BagOfWords, FieldTrees
from labelgen.evaluation.tasks import answered, evaluation_tasks
from labelgen.metrics.results import HUMAN, Setting

COMMAND = "make demo && python scripts/simulated_rivals.py --out results/simulated_rivals.json"
DATA = "Bootstrap over dialogues, seed 0, 1,000 resamples, differences paired; one training."
COLUMNS = ["question", "metric", "candidate", "value (95%)", "model minus it (95%)", "answers"]


@tells_errors
def main(argv: Sequence[str] | None = None) -> int:
    parser = arguments(__doc__)
    parser.add_argument("run", type=Path, nargs="?", default=Path("runs/demo"))
    given = parsed(parser, argv)
    rows: list[list[Any]] = []
    plain = (BagOfWords(), FieldTrees(), Rule(), ConstantPerSource(), MajorityClass())
    rivals = fit_baselines(Log([given.run / "parts/train.jsonl"]), evaluation_tasks(FRAMES), Setting(), plain)
    dialogues = rivals.annotate(list(Log([given.run / "evaluation/predictions.jsonl"])), CONSENSUS, "model")
    known = {question.name: question for question in evaluation_tasks(FRAMES)}
    for task, measure in measured(dialogues, Setting(), {name: one.metrics[:1] for name, one in known.items()}):
        metric = known[task].metrics[0]
        for at in ("", ON_GIVEN_GOALS) if task == "outcome" else ("",):
            model = measure(f"model{at}")[metric]
            for name in (f"model{at}", HUMAN, *(rival.name + at for rival in plain)):
                if name == HUMAN or any(answered(dialogue.annotation(name), known[task]) for dialogue in dialogues):
                    one = measure(name)[metric]
                    gain = paired_difference(model.interval, one.interval, (model.draws, one.draws)).rounded()
                    rows.append(
                        [task, metric, name, one.interval.rounded(), None if name[:5] == "model" else gain, one.items]
                    )
    rows = [row for row in rows if row[-1]]
    about = {"order": 1, "title": "The demo's model beside plain rivals", "text": "", "command": COMMAND, "data": DATA}
    write_table(given.out, {**about, "versions": {"labelgen": __version__}, "columns": COLUMNS, "rows": rows})
    return 0


if __name__ == "__main__":
    sys.exit(main())
