"""Render RESULTS.md and docs/results/*.md from results/*.csv, results/notes.yaml and benchmarks/pages.yaml.

A table is a query and a caption. The renderer selects the rows, puts one field across (`columns`, by default the systems), and
uses the fields that vary as row labels; fields that do not vary stand in the line below the table.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from scipy.stats import norm

from labelgen.base.errors import InputError
from labelgen.base.files import write_text
from labelgen.confidence.resampling import holm

from . import results
from .curves import curves
from .results import KEYS, Result, as_list, load_yaml

ABSENT = "–"
RATIO = "_ratio"
"""End of the name of a metric whose values are ratios of two systems."""
KINDS = {
    "bootstrap": "(low to high): 95% bootstrap interval",
    "exact": "(low to high): 95% exact interval",
    "range": "[low to high]: smallest and largest of the trainings or rounds",
}
Rows = Sequence[Result]


def select(rows: Iterable[Result], query: Mapping[str, Any]) -> list[Result]:
    """Rows whose fields have the queried values; a list means any of its values.

    Rows of a single training are left out where a row of several trainings has the same key, unless the query names seeds."""
    unknown = set(query) - set(KEYS) - {"interval"}
    if unknown:
        raise InputError(
            f"unknown field {', '.join(sorted(unknown))} in a query",
            "benchmarks/pages.yaml",
            f"fields: {', '.join(KEYS)}",
        )
    chosen = [
        r for r in rows if all(getattr(r, name) in [str(v) for v in as_list(value)] for name, value in query.items())
    ]
    if "seed" in query:
        return chosen
    seeds: dict[tuple[str, ...], set[str]] = {}
    for row in chosen:
        seeds.setdefault(_key(row, "seed"), set()).add(row.seed)

    def is_part(row: Result) -> bool:
        return any(
            row.seed != other and set(row.seed.split()) <= set(other.split()) for other in seeds[_key(row, "seed")]
        )

    return [row for row in chosen if not row.seed or not is_part(row)]


def _key(row: Result, *without: str) -> tuple[str, ...]:
    return tuple(getattr(row, name) for name in KEYS if name not in without)


def number(value: float) -> str:
    """A number with three decimals, fewer if it is large."""
    if float(value).is_integer() and abs(value) > 1:
        return f"{value:,.0f}"
    if 0 < abs(value) < 0.0005:
        return f"{value:.4f}" if abs(value) >= 0.00005 else f"{value:.1e}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.3f}"


def certain(rows: Iterable[Result]) -> frozenset[tuple[str, ...]]:
    """Keys of the comparisons of one table that are certain: the 95% interval excludes zero, for a ratio one, and Holm's method over all comparisons
    of the table rejects equality at 5%. p-values are of the normal distribution whose interval has the same width; a range is no
    comparison, and neither is an interval of no width, as of a system that never predicts the class."""
    keys, p_values = [], []
    excluded = set()
    for row in {_key(row): row for row in rows if row.baseline and row.interval != "range"}.values():
        if row.value is None or row.low is None or row.high is None or row.low >= row.high:
            continue
        keys.append(_key(row))
        p_values.append(2 * norm.sf(abs(row.value - _equal(row)) / (row.high - row.low) * 2 * norm.isf(0.025)))
        if not row.low <= _equal(row) <= row.high:
            excluded.add(_key(row))
    return frozenset(key for key, p in zip(keys, holm(p_values), strict=True) if p <= 0.05 and key in excluded)


def certain_on_pages(declared: Mapping[str, Any], rows: Mapping[str, Rows]) -> frozenset[tuple[str, ...]]:
    """Keys of the comparisons that are certain in a table of some page, so that the first page says what the pages say."""
    tables = [(name, one) for name, page in declared.get("pages", {}).items() for one in page["tables"]]
    return frozenset(key for name, one in tables for key in certain(select(rows[name], one["query"])))


def _equal(row: Result) -> float:
    return 1.0 if is_ratio(row) else 0.0


def show(rows: Rows, bold: Collection[tuple[str, ...]] = ()) -> str:
    """One cell: the value and all of its intervals. bold: keys of certain comparisons."""
    if not rows:
        return ABSENT
    parts = [number(row.value) for row in rows if row.value is not None][:1]
    for row in rows:
        if row.low is not None and row.high is not None:
            ends = f"{number(row.low)} to {number(row.high)}"
            parts.append(f"[{ends}]" if row.interval == "range" else f"({ends})")
    if parts and _key(rows[0]) in bold:
        parts[0] = f"**{parts[0]}**"
    return " ".join(parts)


def system(row: Result) -> str:
    """What a number belongs to: a system, or two that are compared."""
    if not row.baseline:
        return row.system
    return f"{row.system} {'divided by' if is_ratio(row) else 'minus'} {row.baseline}"


def is_ratio(row: Result) -> bool:
    """Whether a number is the ratio of two systems' values."""
    return bool(row.baseline) and row.metric.endswith(RATIO)


def metric(row: Result) -> str:
    """The metric of a number, or the one whose ratio it is."""
    return row.metric.removesuffix(RATIO) if is_ratio(row) else row.metric


def _field(row: Result, name: str) -> str:
    return system(row) if name == "system" else metric(row) if name == "metric" else str(getattr(row, name))


def table(declared: Mapping[str, Any], rows: Rows, notes: Mapping[str, Any]) -> str:
    """One table with heading and caption, as Markdown."""
    chosen = select(rows, declared["query"])
    if not chosen:
        raise InputError(
            f"the query of {declared['title']!r} finds no rows", "benchmarks/pages.yaml", "correct the query or measure"
        )
    across = declared.get("columns", "system")
    fields = [
        name for name in ("corpus", "split", "task", "setting", "reference", "system", "metric") if name != across
    ]
    varying = [name for name in declared.get("rows", fields) if len({_field(row, name) for row in chosen}) > 1]
    values = {name: {_field(row, name) for row in chosen} for name in fields if name not in varying}
    fixed = {name: min(of) for name, of in values.items() if len(of) == 1}
    columns = list(dict.fromkeys(_field(row, across) for row in chosen))
    lines: dict[tuple[str, ...], dict[str, list[Result]]] = {}
    for row in chosen:
        line = lines.setdefault(tuple(_field(row, name) for name in varying), {})
        cell = line.setdefault(_field(row, across), [])
        if any(_key(other) != _key(row) for other in cell):
            raise InputError(
                f"two numbers in one cell of {declared['title']!r}: {_key(row)}",
                "benchmarks/pages.yaml",
                "narrow the query or name more fields in rows",
            )
        cell.append(row)
    counts = {key: {r.n for cell in line.values() for r in cell if r.n is not None} for key, line in lines.items()}
    counted = any(counts.values())
    header = [*varying, *columns, *(["n"] if counted else [])]
    text = [f"## {heading(declared)}", "", declared["caption"].strip(), "", _line(header), "|" + " --- |" * len(header)]
    bold = certain(chosen)
    for key, line in lines.items():
        # Numbers of one line may count different items.
        ends = sorted({*counts[key]} and {min(counts[key]), max(counts[key])})
        count = [" to ".join(f"{n:,}" for n in ends) or ABSENT] if counted else []
        text.append(_line([*(k or ABSENT for k in key), *(show(line.get(c, []), bold) for c in columns), *count]))
    return "\n".join([*text, "", *_about(declared, chosen, fixed), *_notes(declared, notes)]) + "\n"


def heading(declared: Mapping[str, Any]) -> str:
    """The title of a table; simulated tables say so."""
    return f"Simulation only: {declared['title']}" if declared.get("simulated") else str(declared["title"])


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _about(declared: Mapping[str, Any], rows: Rows, fixed: Mapping[str, str]) -> list[str]:
    """What does not vary, what the intervals are, and what made the numbers."""
    same = "; ".join(f"{name}: {value}" for name, value in fixed.items() if value)
    seeds = sorted({row.seed for row in rows if row.seed})
    if seeds:
        same += ("; " if same else "") + "training seeds: " + " or ".join(seeds)
    kinds = [text for kind, text in KINDS.items() if any(row.interval == kind for row in rows)]
    about = [" ".join(part + "." for part in (same[:1].upper() + same[1:], "; ".join(kinds)) if part)]
    for made in dict.fromkeys((row.command, row.versions) for row in rows if row.command):
        about.append(f"Made by `{made[0]}`" + (f" with {made[1]}." if made[1] else "."))
    if declared.get("recipe"):
        about.append(f"To measure again: `python -m benchmarks run {declared['recipe']}`.")
    return ["\n\n".join(part for part in about if part)]


def _notes(declared: Mapping[str, Any], notes: Mapping[str, Any]) -> list[str]:
    seen = dict.fromkeys(notes[name] for name in as_list(declared["query"]["table"]) if name in notes)
    return [f"\n**Seen while choosing.** {text.strip()}" for text in seen]


def page(
    name: str, declared: Mapping[str, Any], rows: Rows, metrics: Mapping[str, str], notes: Mapping[str, Any]
) -> str:
    """One page of docs/results, as Markdown."""
    text = [
        f"# {declared['title']}",
        "",
        declared["intro"].strip(),
        "",
        f"All numbers of this page: `results/{name}.csv`.",
        "",
        *([f"![{declared['title']}]({name}.svg)", ""] if "picture" in declared else []),
    ]
    text += [table(one, rows, notes) + "\n" for one in declared["tables"]]
    used = {metric(row) for one in declared["tables"] for row in select(rows, one["query"])}
    text += ["## Metrics", "", *(f"- `{name}`: {text}." for name, text in metrics.items() if name in used), ""]
    return "\n".join(text)


def summary(declared: Mapping[str, Any], rows: Mapping[str, Rows], bold: Collection[tuple[str, ...]]) -> str:
    """The table of the first page. A cell is a text, the query of one number, or a list of these.

    Each row is a claim with the best published figure, one person and the target that was missed."""
    header = [
        "what",
        "model",
        "best published",
        "one person",
        "model minus person",
        "model minus simple baseline",
        "target missed",
        "page",
    ]
    found = [
        [
            [
                part
                if isinstance(part, str)
                else _one(rows[part.get("page", row["page"])], {**row.get("of", {}), **part}, row["what"], name)
                for part in as_list(row.get(name, ABSENT))
            ]
            for name in ("model", "published", "person", "difference", "baseline", "missed")
        ]
        for row in declared["summary"]
    ]
    lines = [_line(header), "|" + " --- |" * len(header)]
    for row, cells in zip(declared["summary"], found, strict=True):
        shown = ["; ".join(p if isinstance(p, str) else p[0] + show(p[1], bold) for p in cell) for cell in cells]
        lines.append(_line([row["what"], *shown, f"[{row['page']}](docs/results/{row['page']}.md)"]))
    return "\n".join(lines) + "\n"


VERDICTS = ("certainly better", "no certain difference", "certainly worse")


def by_task(declared: Mapping[str, Any], rows: Mapping[str, Rows], bold: Collection[tuple[str, ...]]) -> str:
    """The table of verdicts: for each task and baseline, the data on which the model is better, equal and worse.

    The data are named by the fields `of`. lower: lower values are better. A difference without an interval has no verdict and is left out."""
    header = ["task", "next to", *VERDICTS, "on a log of your own"]
    lines = [_line(header), "|" + " --- |" * len(header)]
    compared = {
        (k, baseline): select(rows[one["page"]], {**one["query"], "baseline": baseline})
        for k, one in enumerate(declared["tasks"])
        for baseline in one["against"]
    }
    for k, one in enumerate(declared["tasks"]):
        what = f"{one['task']}; simulation only" if one.get("simulated") else one["task"]
        task = f"{what} ([{one['page']}](docs/results/{one['page']}.md))"
        expect = one["expect"].strip()
        for baseline in one["against"]:
            sides: dict[str, list[str]] = {name: [] for name in VERDICTS}
            for row in compared[k, baseline]:
                if row.low is not None and row.high is not None and row.interval != "range":
                    better = (row.low > _equal(row)) != one.get("lower", False)
                    side = 1 if _key(row) not in bold else 0 if better else 2
                    names = dict.fromkeys(str(getattr(row, name)) for name in one.get("of", ["corpus"]))
                    sides[VERDICTS[side]].append(", ".join(name for name in names if name))
            if not any(sides.values()):
                raise InputError(
                    f"no difference of {task!r} to {baseline!r}", "benchmarks/pages.yaml", "correct the query"
                )
            lines.append(
                _line(
                    [task, baseline, *("; ".join(dict.fromkeys(names)) or ABSENT for names in sides.values()), expect]
                )
            )
            task, expect = "", ""
    return "\n".join(["## Better, equal, worse", "", declared["intro"].strip(), "", *lines]) + "\n"


def _one(rows: Rows, query: Mapping[str, Any], what: str, column: str) -> tuple[str, Rows]:
    """The words of a query, and the rows of the one number that it finds."""
    chosen = select(
        rows, {"baseline": "", **{name: value for name, value in query.items() if name not in ("words", "page")}}
    )
    if len({_key(row) for row in chosen}) != 1:
        raise InputError(
            f"{column} of {what!r} finds {len(chosen)} numbers: {dict(query)}", "benchmarks/pages.yaml", "name one"
        )
    return f"{query['words']}: " if "words" in query else "", chosen


def first_page(declared: Mapping[str, Any], rows: Mapping[str, Rows]) -> str:
    """RESULTS.md, as Markdown."""
    bold = certain_on_pages(declared, rows)
    links = [f"- [{one['title']}](docs/results/{name}.md)" for name, one in declared["pages"].items()]
    return "\n".join(
        [
            f"# {declared['title']}",
            "",
            declared["intro"].strip(),
            "",
            by_task(declared["by_task"], rows, bold),
            "## Each claim",
            "",
            summary(declared, rows, bold),
            declared["after"].strip(),
            "",
            "## Pages",
            "",
            *links,
            "",
        ]
    )


def pages(root: Path) -> dict[Path, str]:
    """Path of each rendered page, relative to the root of the repository -> its text."""
    declared = load_yaml(root / "benchmarks" / "pages.yaml")
    metrics = load_yaml(root / "benchmarks" / "metrics.yaml")
    notes = load_yaml(root / "results" / "notes.yaml")
    rows = results.read_all(root / "results")
    check(declared, rows, metrics, notes)
    texts = {Path("RESULTS.md"): first_page(declared, rows)}
    for name, one in declared["pages"].items():
        texts[Path("docs/results") / f"{name}.md"] = page(name, one, rows[name], metrics, notes)
        if "picture" in one:
            texts[Path("docs/results") / f"{name}.svg"] = curves(rows[name], one["picture"])
    return texts


def check(
    declared: Mapping[str, Any], rows: Mapping[str, Rows], metrics: Mapping[str, str], notes: Mapping[str, Any]
) -> None:
    """Raises InputError if a page has no numbers, or numbers have no page; if a metric is not described; if a note has no table."""
    shown = {
        name: {t for one in p["tables"] for t in as_list(one["query"]["table"])}
        for name, p in declared["pages"].items()
    }
    tables = {name: {row.table for row in page} for name, page in rows.items()}
    used = {metric(row) for page in rows.values() for row in page}
    for what, names in (
        ("tables without a query", {t for name, page in tables.items() for t in page - shown.get(name, set())}),
        ("queries without a table", {t for name, page in shown.items() for t in page - tables.get(name, set())}),
        ("metrics without a description", used - set(metrics)),
        ("notes without a table", set(notes) - {t for page in tables.values() for t in page}),
    ):
        if names:
            raise InputError(
                f"{what}: {', '.join(sorted(names))}",
                "benchmarks/pages.yaml",
                "add what is missing, or remove the rest",
            )


def render(root: Path, only_check: bool = False) -> list[Path]:
    """Write all pages; returns those that differed from their rendering. only_check: write nothing."""
    texts = pages(root)
    stale = sorted(set((root / "docs" / "results").glob("*.md")) - {root / path for path in texts})
    differing = [
        path
        for path, text in texts.items()
        if not (root / path).is_file() or (root / path).read_text(encoding="utf-8") != text
    ]
    if not only_check:
        for path in differing:
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            write_text(root / path, texts[path])
        for path in stale:
            path.unlink()
    return [*differing, *(path.relative_to(root) for path in stale)]
