"""Quality by a model beside plain rivals and single annotators: `python scripts/beside_rivals.py --labeled RUN... --split TRAIN,...=JUDGED,...`.

--labeled: for each training the folder of the logs that its model labeled. Each --split names logs that rivals learn from and logs that they
answer. Items and references are those of scripts/measure_quality.py."""

import sys
from collections.abc import Sequence
from pathlib import Path

from command import tells_errors
from measure_quality import beside, judge
from rated import of_a_table, write_table

from labelgen.agreement.vote import CONSENSUS
from labelgen.data.dialogue import Dialogue
from labelgen.data.log import Log
from labelgen.evaluation.baselines import fit_baselines
from labelgen.evaluation.tasks import tasks_of_units
from labelgen.metrics.results import Setting
from labelgen.tasks.quality import Quality

COLUMNS = ["log", "reference", "metric", "system", "value (95%)", "model minus it (95%)", "items"]
METRICS = ("macro_f1", "accuracy", "bad_f1")
RIVALS = ("baseline: bag of words", "baseline: constant per source")
ASKED = tasks_of_units(Quality.name, Quality.units, Quality.metrics, Quality.names)
TOLD = "Bootstrap over dialogues and trainings, seed 0, 1,000 resamples; trainings: {}."


@tells_errors
def main(argv: Sequence[str] | None = None) -> int:
    parser = of_a_table(__doc__)
    parser.add_argument("--labeled", type=Path, nargs="+", required=True)
    parser.add_argument("--split", nargs="+", required=True, metavar="TRAIN,...=JUDGED,...")
    parser.add_argument("--text", default="")
    args = parser.parse_args(argv)
    answered: list[Dialogue] = []
    for split in args.split:
        train, judged = (Log([Path(name) for name in part.split(",")]) for part in split.split("="))
        answered += fit_baselines(train, ASKED, Setting(ratings=args.ratings)).annotate(list(judged), CONSENSUS)
    logs = {"model": [list(Log([folder])) for folder in args.labeled]} | {name: [answered] for name in RIVALS}
    systems = {
        name: [judge(sorted(one, key=lambda d: d.id), name, args.ratings, args.first_turn) for one in own]
        for name, own in logs.items()
    }
    rows = list(beside(systems, METRICS))
    write_table(args, "beside_rivals", args.text, COLUMNS, rows, data=TOLD.format(len(args.labeled)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
