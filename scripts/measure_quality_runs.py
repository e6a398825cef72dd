"""Quality of several trainings beside each other: `python scripts/measure_quality_runs.py RUN... --out FILE`.

A RUN is a folder of logs that one training labeled, or NAME=FOLDER; runs of one name (seeds) make one row for each log: the mean of
their figures, the least and the greatest. Where a name has one run, its interval stands in their place. Items and references are
those of `scripts/measure_quality.py`."""

import argparse
import sys
from pathlib import Path
from typing import Any

from command import tells_errors, write_table
from measure_quality import METRIC_NAMES, judge, rows_of
from rated import of_a_table

from labelgen.data.log import Log

COLUMNS = ["log", "judged on", "reference", "metric", "model", "least", "greatest", "runs", "single annotator", "items"]


@tells_errors
def main() -> int:
    parser = of_a_table(__doc__)
    parser.add_argument("runs", nargs="+", metavar="NAME=FOLDER")
    parser.add_argument("--text", default="")
    args = parser.parse_args()
    names: dict[str, list[Path]] = {}
    for run in args.runs:
        name, _, folder = run.rpartition("=")
        names.setdefault(name, []).append(Path(folder))
    rows = [row for name, runs in names.items() for row in _rows(name, runs, args)]
    table = {
        "order": args.order,
        "title": args.title,
        "text": args.text,
        "command": args.command,
        "data": "Bootstrap over dialogues, seed 0, 1,000 resamples, where there is one run; of several, their mean.",
        "columns": COLUMNS,
        "rows": rows,
    }
    write_table(args.out, table)
    for row in rows:
        print(*row, sep="  ")
    return 0


def _rows(name: str, runs: list[Path], args: argparse.Namespace) -> list[list[Any]]:
    judged = [judge(Log([run]), "model", args.ratings, args.first_turn) for run in runs]
    rows = []
    for log in sorted(judged[0]):
        together = [{(row[1], row[2]): row for row in rows_of(log, one[log])} for one in judged]
        for key in [(reference, m) for m in METRIC_NAMES for reference in ("of all", "of the others")]:
            if key in together[0]:
                rows.append([log, name, *key, *summary([one[key][3] for one in together]), *together[0][key][4::3]])
    return rows


def summary(found: list[dict[str, float | None]]) -> list[Any]:
    """The figure, the least and the greatest of several runs, and how many there are; without those where it is not defined."""
    if len(found) == 1:
        return [found[0], None, None, 1]
    values = [value for one in found if (value := one["value"]) is not None]
    if not values:
        return [None, None, None, 0]
    return [round(sum(values) / len(values), 4), min(values), max(values), len(values)]


if __name__ == "__main__":
    sys.exit(main())
