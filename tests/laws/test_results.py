"""RESULTS.md says what results/ holds, and nothing of it was typed by hand."""

import json
from pathlib import Path

import pytest
from render_results import notes, render

from labelgen import __version__

ROOT = Path(__file__).parents[2]


TABLE = {
    "order": 2,
    "title": "Second",
    "text": "What was asked.",
    "command": "labelgen evaluate a.jsonl --out b/",
    "versions": {"labelgen": "0.1.0"},
    "data": "10 dialogues.",
    "columns": ["candidate", "accuracy", "items"],
    "rows": [
        ["model", {"value": 0.81249, "low": 0.7, "high": 0.9}, 1200],
        ["a|b", {"value": None}, None],
        ["c", 0.5, 3],
    ],
}


def test_the_page_is_what_results_hold():
    page = (ROOT / "RESULTS.md").read_text(encoding="utf-8")
    assert page == render(ROOT / "results"), "run python scripts/render_results.py"


def test_a_table_is_rendered_with_its_intervals(tmp_path: Path):
    (tmp_path / "a.json").write_text(json.dumps(TABLE))
    (tmp_path / "b.json").write_text(json.dumps({**TABLE, "order": 1, "title": "First", "rows": []}))
    text = render(tmp_path)
    assert text.index("## First") < text.index("## Second")
    assert "| model | 0.812 (0.700 to 0.900) | 1200 |" in text
    assert "| a\\|b | – | – |" in text
    assert "| c | 0.500 | 3 |" in text
    assert "`labelgen evaluate a.jsonl --out b/`" in text
    assert "10 dialogues. Made with labelgen 0.1.0." in text


def test_without_results_the_page_is_its_head(tmp_path: Path):
    assert "##" not in render(tmp_path).replace("# Results", "")
    assert render(tmp_path).startswith("# Results")


def test_another_number_is_another_page(tmp_path: Path):
    (tmp_path / "a.json").write_text(json.dumps(TABLE))
    before = render(tmp_path)
    (tmp_path / "a.json").write_text(
        json.dumps({**TABLE, "rows": [["model", {"value": 0.9, "low": 0.7, "high": 1.0}, 1200]]})
    )
    assert render(tmp_path) != before


def test_the_summary_shows_the_row_that_its_cells_find_and_no_other(tmp_path: Path):
    (tmp_path / "a.json").write_text(json.dumps(TABLE))
    entry = "- {what: right, table: a, row: {candidate: %s}, figure: accuracy, beside: {column: items, words: items}}"
    (tmp_path / "summary.yaml").write_text(entry % "model")
    assert "| right | 0.812 (0.700 to 0.900) | items: 1200 | [table](#second) |" in render(tmp_path)
    several = "beside: [{column: items, words: items}, {row: {candidate: c}, column: accuracy, words: c}]}"
    (tmp_path / "summary.yaml").write_text((entry % "model").partition("beside")[0] + several)
    assert "| items: 1200; c: 0.500 | [table](#second) |" in render(tmp_path)
    (tmp_path / "summary.yaml").write_text(entry % "nobody")
    with pytest.raises(SystemExit, match=r"0 rows of a\.json"):
        render(tmp_path)


def test_notes_head_simulations_tell_what_was_seen_and_older_versions_say_so(tmp_path: Path):
    (tmp_path / "a.json").write_text(json.dumps(TABLE))
    (tmp_path / "b.json").write_text(json.dumps({**TABLE, "title": "New", "versions": {"labelgen": __version__}}))
    (tmp_path / "notes.yaml").write_text("a: {simulated: true, seen: The rule saw these dialogues.}")
    text = render(tmp_path)
    assert "[Simulation only: Second](#simulation-only-second)" in text
    assert "## Simulation only: Second" in text
    second = text[text.index("## Simulation only: Second") :]
    assert "**Seen while choosing.** The rule saw these dialogues." in second
    assert text.count("older version than") == 1 == second.count("older version than")
    (tmp_path / "notes.yaml").write_text("c: {simulated: true}")
    with pytest.raises(SystemExit, match="no table c"):
        render(tmp_path)


def test_every_table_made_from_simulated_logs_says_so():
    """Commands that read no corpus: they simulate, or read logs that were simulated."""
    noted = notes(ROOT / "results")
    made = {
        path.stem: json.loads(path.read_text(encoding="utf-8"))["command"] for path in (ROOT / "results").glob("*.json")
    }
    simulating = {name for name, command in made.items() if "runs/sim" in command or "simulated" in command}
    assert simulating
    assert {name for name in simulating if not noted.get(name, {}).get("simulated")} == set()
