"""Render RESULTS.md from the small JSON files in results/: `python scripts/render_results.py [--check]`.

A file holds `order`, `title`, `text`, `command`, `versions`, `data`, `columns` and `rows`; a cell is a text, a number, or an
estimate `{"value", "low", "high"}`, of several trainings with `"least", "greatest"` too. `results/notes.yaml` says of a table what no
script knows: `simulated: true` heads it "Simulation only", and `seen` tells which reported data had been looked at while choices were
made. Nothing in RESULTS.md is typed by hand."""

import argparse
import json
import re
import sys
from pathlib import Path
from typing import Any

import yaml

from labelgen import __version__

HEAD = """# Results

Every table is rendered by `python scripts/render_results.py` from a file in `results/`, which the command above the table
writes. Intervals are 95% bootstrap intervals. For one training they are over dialogues, and say nothing of what another training would give.
For several trainings they are over dialogues and trainings where the predictions are kept; otherwise a cell holds the mean of the trainings
and, in brackets, the least and the greatest, without an interval.

Not everything was chosen without a look at the data it is reported on. Where reported data was seen, the paragraph "Seen while choosing"
below the table says what was chosen and on which data; a table without that paragraph is of a recipe that was fixed before. Tables headed
"Simulation only" say nothing about people. A table that an older version of labelgen made says so.

**Where people judged, a bag of words (TF-IDF and logistic regression) is about as good as the network.** On USS's four corpora (one training), on AB-ReDial, on three of DBDC3's
four bots and on STAR no difference is certain; on DBDC3's IRIS the network is ahead; on BETOLD the mean of five trainings is behind (.651 and .748, no paired
interval). With the wizard's actions STAR's model is ahead of a bag of words that does not read them, but not certainly of a rate table of the last action. It is certainly
better than one annotator on two of USS's corpora and two of DBDC3's bots, certainly worse on AB-ReDial, and on the rest no difference is
certain. `em`, which wins on simulated logs, is at chance on both real logs. In the demo's simulated log the
model is behind one annotator on quality, ahead on intents, and not certainly different on goals, outcomes and slots; a bag of words or trees on the
log's own fields equal it on quality, the trees on outcomes too (one training).

First the rows that `results/summary.yaml` names. Several trainings whose predictions are gone (SGD with all training dialogues, requests of four corpora) stand in
their tables alone, until they are measured again.
"""


def render(folder: Path) -> str:
    """The text of RESULTS.md."""
    tables = sorted(
        (_with_notes(json.loads(p.read_text(encoding="utf-8")), p.stem, notes(folder)) for p in folder.glob("*.json")),
        key=lambda t: (t["order"], t["title"]),
    )
    listed = "".join(f"- [{table['title']}](#{anchor(table['title'])})\n" for table in tables)
    return HEAD + summary(folder) + "\n" + listed + "".join(_table(table) for table in tables)


def summary(folder: Path) -> str:
    """The rows that summary.yaml names, as a table of their own; empty where there is no such file. What a figure stands beside is a text, or
    one or several cells with words: of the same row, or of the one where the cells that `row` names differ."""
    named = folder / "summary.yaml"
    if not named.is_file():
        return ""
    lines = ["", "| what | measured | beside | table |", "| --- | --- | --- | --- |"]
    for entry in yaml.safe_load(named.read_text(encoding="utf-8")):
        path = folder / f"{entry['table']}.json"
        table = _with_notes(json.loads(path.read_text(encoding="utf-8")), path.stem, notes(folder))
        found = _found(entry["row"], table, path)
        beside = entry["beside"]
        if not isinstance(beside, str):
            shown = []
            for one in beside if isinstance(beside, list) else [beside]:
                row = _found({**entry["row"], **one.get("row", {})}, table, path)
                shown.append(f"{one['words']}: {cell(row[one['column']])}")
            beside = "; ".join(shown)
        told = [entry["what"], cell(found[entry["figure"]]), beside, f"[table](#{anchor(table['title'])})"]
        lines.append("| " + " | ".join(told) + " |")
    return "\n".join(lines) + "\n"


def _found(wanted: dict[str, Any], table: dict[str, Any], path: Path) -> dict[str, Any]:
    """The one row of a table whose cells are these."""
    rows = [dict(zip(table["columns"], row, strict=True)) for row in table["rows"]]
    found = [row for row in rows if all(row[column] == value for column, value in wanted.items())]
    if len(found) != 1:
        raise SystemExit(f"{path.parent / 'summary.yaml'}: {len(found)} rows of {path.name} are {wanted}; name one")
    return found[0]


def notes(folder: Path) -> dict[str, dict[str, Any]]:
    """table -> what notes.yaml says of it; nothing where there is no such file."""
    path = folder / "notes.yaml"
    found: dict[str, dict[str, Any]] = yaml.safe_load(path.read_text(encoding="utf-8")) if path.is_file() else {}
    unknown = {name for name in found if not (folder / f"{name}.json").is_file()}
    if unknown:
        raise SystemExit(f"{path}: there is no table {', '.join(sorted(unknown))}")
    return found


def _with_notes(table: dict[str, Any], name: str, of_all: dict[str, dict[str, Any]]) -> dict[str, Any]:
    noted = of_all.get(name, {})
    title = f"Simulation only: {table['title']}" if noted.get("simulated") else table["title"]
    return {**table, "title": title, "seen": noted.get("seen")}


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
    made = table.get("versions", {}).get("labelgen")
    older = (
        f"Made with an older version than {__version__}: not measured again since."
        if made and made != __version__
        else ""
    )
    lines.append("\n" + " ".join(part for part in (table.get("data"), about and f"Made with {about}.", older) if part))
    if table.get("seen"):
        lines.append(f"\n**Seen while choosing.** {table['seen']}")
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
