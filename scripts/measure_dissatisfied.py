"""Dissatisfied or not, of each turn and of each dialogue, beside single raters: `python scripts/measure_dissatisfied.py LOG... --out FILE`.

As scripts/measure_quality.py, with two names, bad and not bad, and with turns and dialogues apart."""

import sys
from collections.abc import Mapping

from command import tells_errors
from measure_quality import COLUMNS, View, judge, rows_of
from rated import arguments, write_table

from labelgen.data.labels import At, AtDialogue, AtTurn
from labelgen.data.log import Log

METRIC_NAMES = ("accuracy", "bad_f1", "cohen_kappa")
UNITS: dict[str, type[AtTurn] | type[AtDialogue]] = {"turns": AtTurn, "dialogues": AtDialogue}


@tells_errors
def main() -> int:
    parser = arguments(__doc__)
    args = parser.parse_args()
    rows = []
    for unit, kind in UNITS.items():
        found = judge(Log(args.log), args.annotator, args.ratings, args.first_turn, dissatisfied(kind))
        rows += [[name, unit, *row[1:]] for name in sorted(found) for row in rows_of(name, found[name], METRIC_NAMES)]
    text = "Two names: below 3, and all else. The model's is the one that it chose among three, for their macro F1."
    write_table(args, "measure_dissatisfied", text, [COLUMNS[0], "of", *COLUMNS[1:]], rows)
    return 0


def dissatisfied(kind: type[AtTurn] | type[AtDialogue]) -> View:
    """Whether items of this kind are bad."""

    def view(names: Mapping[At, str]) -> dict[At, str]:
        return {at: "bad" if name == "bad" else "not bad" for at, name in names.items() if isinstance(at, kind)}

    return view


if __name__ == "__main__":
    sys.exit(main())
