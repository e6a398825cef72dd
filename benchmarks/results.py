"""Long-format results: one number a row, in CSV files of one schema.

A row says what was measured (`table`, `corpus`, `split`, `task`), on whom (`system`, and `baseline` where the number compares the
system with another one), how (`setting`, `reference`, `metric`, `seed`), the number with its interval, and what made it
(`versions`, `command`). Empty cells mean: does not apply.
"""

import csv
import io
import platform
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median
from typing import Any

import msgspec
import yaml
from scipy.stats import binomtest

from labelgen.base.errors import InputError
from labelgen.base.files import write_text

FOLDER = Path(__file__).resolve().parent
ROOT = FOLDER.parent
INTERVALS = ("", "bootstrap", "range", "exact")
"""Kinds of intervals: none; 95% bootstrap; least to greatest of trainings or rounds; 95% exact (binomial)."""


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """One number.

    Attributes:
        table: name of the group of rows that one measurement writes; a new measurement replaces all of them. The runner fills it.
        baseline: the system compared with; the value is then the paired difference system minus baseline, and the ratio
            of the two if the metric ends with `_ratio`.
        reference: whose labels the system is judged against.
        seed: training seeds, separated by spaces; empty if nothing was trained.
        interval: kind of `low` and `high`, one of INTERVALS.
        n: number of items judged.
    """

    table: str = ""
    corpus: str = ""
    metric: str
    system: str
    split: str = ""
    task: str = ""
    baseline: str = ""
    setting: str = ""
    reference: str = ""
    seed: str = ""
    value: float | None = None
    low: float | None = None
    high: float | None = None
    interval: str = ""
    n: int | None = None
    versions: str = ""
    command: str = ""

    def __post_init__(self) -> None:
        if self.interval not in INTERVALS:
            raise ValueError(f"unknown kind of interval {self.interval!r}; one of {', '.join(INTERVALS[1:])}")
        if (self.low is None) != (self.high is None) or (self.low is None) == bool(self.interval):
            raise ValueError("low, high and interval are given together or not at all")
        if self.value is None and self.low is None:
            raise ValueError("a result needs a value or an interval")


FIELDS = (
    "table", "corpus", "split", "task", "system", "baseline", "setting", "reference", "metric", "seed",
    "value", "low", "high", "interval", "n", "versions", "command",
)  # fmt: skip
"""Columns of the CSV files, in their order."""
KEYS = FIELDS[:10]
"""Fields that together with `interval` name a row."""


def read_results(path: Path) -> list[Result]:
    """The rows of one CSV file. Raises InputError for an unknown column, a cell of the wrong type or two rows with one key."""
    results: list[Result] = []
    with path.open(encoding="utf-8", newline="") as file:
        for number, row in enumerate(csv.DictReader(file), start=2):
            try:
                cells = {name: cell for name, cell in row.items() if cell or name in ("metric", "system")}
                results.append(msgspec.convert(cells, Result, strict=False))
            except (msgspec.ValidationError, ValueError) as error:
                raise InputError(str(error), f"{path}, line {number}", f"columns are {', '.join(FIELDS)}") from error
    check_keys(results, str(path))
    return results


def read_all(folder: Path) -> dict[str, list[Result]]:
    """Name of each CSV file in the folder, without its suffix -> its rows."""
    return {path.stem: read_results(path) for path in sorted(folder.glob("*.csv"))}


def check_keys(results: Iterable[Result], where: str) -> None:
    """Raises InputError if two rows have the same key."""
    seen: set[tuple[str, ...]] = set()
    for result in results:
        key = (*(getattr(result, name) for name in KEYS), result.interval)
        if key in seen:
            raise InputError(f"two results for {', '.join(k for k in key if k)}", where, "remove one of the rows")
        seen.add(key)


def write_results(path: Path, results: Sequence[Result]) -> None:
    """Write rows to a CSV file; rows of the same tables that are there already are replaced, rows of other tables stay."""
    replaced = {result.table for result in results}
    kept = [old for old in read_results(path) if old.table not in replaced] if path.is_file() else []
    rows = [*kept, *results]
    check_keys(rows, str(path))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(FIELDS)
    writer.writerows([_cell(getattr(row, name)) for name in FIELDS] for row in rows)
    write_text(path, text.getvalue())


def _cell(value: str | float | None) -> str:
    if value is None:
        return ""
    if not isinstance(value, float):
        return str(value)
    return str(int(value)) if value.is_integer() else f"{value:.6g}"


def page_of(table: str) -> str:
    """Name of the page, and of the CSV file, that a table belongs to. Raises InputError if pages.yaml has no such table."""
    pages = load_yaml(FOLDER / "pages.yaml")["pages"]
    for name, page in pages.items():
        for declared in page["tables"]:
            if table in as_list(declared["query"]["table"]):
                return str(name)
    raise InputError(f"no page shows the table {table}", "benchmarks/pages.yaml", "add an entry with a query for it")


def slug(text: str) -> str:
    """The text as part of a path."""
    return re.sub(r"[^\w.-]+", "_", text)


def load_yaml(path: Path) -> Any:
    """The content of a YAML file. Raises InputError where a key of the outermost level stands twice."""
    text = path.read_text(encoding="utf-8")
    keys = Counter(re.findall(r"(?m)^([\w.-]+):", text))
    if doubled := sorted(key for key, count in keys.items() if count > 1):
        raise InputError(f"{', '.join(doubled)} twice", str(path), "join the two")
    return yaml.safe_load(text)


def as_list(value: Any) -> list[Any]:
    """The value itself if it is a list, else a list of it."""
    return value if isinstance(value, list) else [value]


def versions(*packages: str) -> str:
    """Versions of labelgen, Python and the packages named, as the column `versions` has them."""
    numbers: Mapping[str, str] = {"labelgen": _version("labelgen"), "python": platform.python_version()} | {
        name: _version(name) for name in packages
    }
    return "; ".join(f"{name} {number}" for name, number in sorted(numbers.items()))


def _version(package: str) -> str:
    if package == "labelgen":
        from labelgen import __version__

        return __version__
    try:
        return version(package)
    except PackageNotFoundError:
        return "unknown"


Cell = dict[str, Any]
"""value, low, high and interval of a result."""


def binomial(count: int, total: int) -> Cell:
    """A share with its exact 95% interval (Clopper-Pearson)."""
    low, high = binomtest(count, total).proportion_ci()
    return {"value": round(count / total, 4), "low": round(low, 4), "high": round(high, 4), "interval": "exact"}


def ranged(values: Sequence[float], digits: int = 3) -> Cell:
    """The median of several rounds with the smallest and largest."""
    rounded = [round(x, digits) for x in (median(values), min(values), max(values))]
    return {"value": rounded[0], "low": rounded[1], "high": rounded[2], "interval": "range"}


def bootstrap(shown: dict[str, float | None]) -> Cell:
    """An interval of labelgen as cells of a result."""
    return {k: v for k, v in shown.items() if v is not None} | (
        {"interval": "bootstrap"} if shown["low"] is not None else {}
    )
