"""Tables that keep the figures of each training of a recipe, by its seed, and show them put together.

Where a table has trainings that a run lacks, of the same dialogues, they stay: trainings may be spread over days and machines. A
table of other dialogues is begun anew. After a change of the recipe, remove the table first."""

import hashlib
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

Row = list[Any]
"""Texts that name it, numbers that are the same for all trainings, estimates."""
TOLD = (
    "Trainings with seeds {seeds}: the mean of each figure; in brackets the least and the greatest. Figures that no training changes have "
    "bootstrap intervals over dialogues, seed 0, 1,000 resamples."
)
TOLD_ONE = "Bootstrap over dialogues, seed 0, 1,000 resamples. Training seed {seeds}."


def digest(logs: Sequence[Path]) -> str:
    """Of what was trained on and what is judged: SHA-256 of the files, in hexadecimal."""
    both = hashlib.sha256()
    for log in logs:
        both.update(log.read_bytes())
    return both.hexdigest()


def judged_trainings(run: Path, needed: Sequence[str], of_test: Path | None = None) -> dict[str, Path]:
    """The folders of the trainings of a run, RUN/seed0 and so on, of which all is there that is needed, by their seeds; of one that is
    not judged yet nothing is told. needed: files below such a folder. of_test: the run's folder for another test part, which may hold
    some of them in the place of the run's."""
    folders = {f.name.removeprefix("seed"): f for f in sorted(run.glob("seed*")) if f.name[4:].isdigit()}
    runs = [run] if of_test is None else [of_test, run]
    return {
        seed: folder
        for seed, folder in folders.items()
        if all(any((one / folder.name / name).is_file() for one in runs) for name in needed)
    }


def over_trainings(
    path: Path, judged: str, own: Mapping[str, Sequence[Row]], command: str, also: Sequence[Row] = ()
) -> dict[str, Any]:
    """What a table says of its trainings: `command`, `data`, `rows`, `judged` and `trainings`.

    path: where the table is to lie; own: seed -> rows of a training of this run, which take the place of those that the table there has
    of the same seed; also: rows that stand before, of no training. If the table there is of other dialogues, its trainings are left out
    and this is told."""
    trainings = _earlier(path, judged) | {seed: list(rows) for seed, rows in own.items()}
    seeds = sorted(trainings, key=int)
    told = TOLD if len(seeds) > 1 else TOLD_ONE
    return {
        "command": f'SEEDS="{" ".join(seeds)}" {command}',
        "data": told.format(seeds=", ".join(seeds)),
        "rows": [*also, *put_together([trainings[seed] for seed in seeds])],
        "judged": judged,
        "trainings": {seed: trainings[seed] for seed in seeds},
    }


def put_together(trainings: Sequence[Sequence[Row]]) -> Iterator[Row]:
    """Each row of the trainings, by the texts in it, its estimates put together."""
    together: dict[tuple[str, ...], list[Row]] = {}
    for rows in trainings:
        for row in rows:
            together.setdefault(tuple(cell for cell in row if isinstance(cell, str)), []).append(row)
    for same in together.values():
        yield [
            mean(cells) if all(isinstance(cell, dict) for cell in cells) else cells[0]
            for cells in zip(*same, strict=True)
        ]


def mean(figures: Sequence[Mapping[str, float | None]]) -> dict[str, float | None]:
    """The mean of several trainings' estimates with the least and the greatest figure, without an interval: the mean of intervals over
    dialogues is none over trainings (labelgen.confidence.resampling.over_trainings makes one, of the predictions). Estimates that are the
    same for all trainings, and that of a single one, stay as they are."""
    known = [one for one in figures if one.get("value") is not None]
    if not known or all(one == figures[0] for one in figures):
        return dict(figures[0])
    values = [one["value"] for one in known]
    least, greatest = min(values), max(values)  # type: ignore[type-var]
    return {"value": round(sum(values) / len(values), 4), "least": least, "greatest": greatest}  # type: ignore[arg-type]


def _earlier(path: Path, judged: str) -> dict[str, list[Row]]:
    if not path.is_file():
        return {}
    table = json.loads(path.read_text(encoding="utf-8"))
    if table.get("judged") != judged:
        print(f"{path} told of other dialogues than this run holds: the table is begun anew", file=sys.stderr)
        return {}
    found: dict[str, list[Row]] = table["trainings"]
    return found
