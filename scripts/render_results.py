"""Render RESULTS.md from the small JSON files in results/: `python scripts/render_results.py [--check]`.

A file holds `order`, `title`, `text`, `command`, `versions`, `data`, `columns` and `rows`; a cell is a text, a number, or an
estimate `{"value", "low", "high"}`, of several trainings with `"least", "greatest"` too. Nothing in RESULTS.md is typed by hand."""

import argparse
import json
import re
import sys
from pathlib import Path
from typing import Any

import yaml

HEAD = """# Results

Every table is rendered by `python scripts/render_results.py` from a file in `results/`, which the command above the table
writes. Intervals are 95% bootstrap intervals over dialogues, where the table does not say otherwise; in brackets behind them stand the
least and the greatest figure of several trainings. Nothing was tuned on a test part, unless the words below a table say so. First the rows that `results/summary.yaml` names.
"""


def render(folder: Path) -> str:
    """The text of RESULTS.md."""
    tables = sorted(
        (json.loads(p.read_text(encoding="utf-8")) for p in folder.glob("*.json")),
        key=lambda t: (t["order"], t["title"]),
    )
    listed = "".join(f"- [{table['title']}](#{anchor(table['title'])})\n" for table in tables)
    return HEAD + summary(folder) + "\n" + listed + "".join(_table(table) for table in tables)


def summary(folder: Path) -> str:
    """The rows that summary.yaml names, as a table of their own; empty where there is no such file."""
    named = folder / "summary.yaml"
    if not named.is_file():
        return ""
    lines = ["", "| what | measured | beside | table |", "| --- | --- | --- | --- |"]
    for entry in yaml.safe_load(named.read_text(encoding="utf-8")):
        table = json.loads((folder / f"{entry['table']}.json").read_text(encoding="utf-8"))
        rows = [dict(zip(table["columns"], row, strict=True)) for row in table["rows"]]
        found = [row for row in rows if all(row[column] == value for column, value in entry["row"].items())]
        if len(found) != 1:
            raise SystemExit(f"{named}: {len(found)} rows of {entry['table']}.json are {entry['row']}; name one")
        beside = entry["beside"]
        if isinstance(beside, dict):
            beside = f"{beside['words']}: {cell(found[0][beside['column']])}"
        told = [entry["what"], cell(found[0][entry["figure"]]), beside, f"[table](#{anchor(table['title'])})"]
        lines.append("| " + " | ".join(told) + " |")
    return "\n".join(lines) + "\n"


def anchor(title: str) -> str:
    """The name of a heading in a link, as GitHub and other readers of Markdown make it."""
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")


def _table(table: dict[str, Any]) -> str:
    lines = [f"\n## {table['title']}\n"]
    if table.get("text"):
        lines.append(f"{table['text']}\n")
    lines.append(f"`{table['command']}`\n")
    lines.append("| " + " | ".join(table["columns"]) + " |")
    lines.append("|" + " --- |" * len(table["columns"]))
    lines += ["| " + " | ".join(cell(value) for value in row) + " |" for row in table["rows"]]
    about = "; ".join(f"{name} {value}" for name, value in sorted(table.get("versions", {}).items()))
    lines.append("\n" + " ".join(part for part in (table.get("data"), about and f"Made with {about}.") if part))
    return "\n".join(lines) + "\n"


def cell(value: Any) -> str:
    """A cell as it stands in the table."""
    if value is None:
        return "–"
    if isinstance(value, dict):
        if value.get("value") is None:
            return "–"
        shown = f"{value['value']:.3f}"
        if value.get("low") is not None:
            shown += f" ({value['low']:.3f} to {value['high']:.3f})"
        if value.get("least") is not None:
            shown += f" [{value['least']:.3f} to {value['greatest']:.3f}]"
        return shown
    if isinstance(value, float):
        return f"{value:.3f}"
    return str(value).replace("|", "\\|")


def main() -> int:
    parser = argparse.ArgumentParser(description="Render RESULTS.md from results/*.json.")
    parser.add_argument("--check", action="store_true", help="only say whether RESULTS.md agrees; exit 1 if not")
    args = parser.parse_args()
    root = Path(__file__).resolve().parent.parent
    text = render(root / "results")
    page = root / "RESULTS.md"
    if args.check:
        agrees = page.is_file() and page.read_text(encoding="utf-8") == text
        print(
            "RESULTS.md agrees with results/" if agrees else "RESULTS.md differs: run python scripts/render_results.py"
        )
        return 0 if agrees else 1
    page.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
