"""RESULTS.md and docs/results/ are what results/ renders to, and simulated tables say so."""

from pathlib import Path

from benchmarks.render import pages, render, select
from benchmarks.results import as_list, load_yaml, read_all

ROOT = Path(__file__).parents[2]
DECLARED = load_yaml(ROOT / "benchmarks" / "pages.yaml")["pages"]


def test_pages_in_the_repository_equal_their_rendering():
    assert render(ROOT, only_check=True) == []


def test_pages_of_every_csv_file_exist():
    assert set(read_all(ROOT / "results")) == set(DECLARED)
    assert {path.stem for path in pages(ROOT)} == {*DECLARED, "RESULTS"}


def test_simulated_tables_say_so():
    """Of every table whose rows name no corpus of people."""
    rows = read_all(ROOT / "results")
    for name, page in DECLARED.items():
        for table in page["tables"]:
            corpora = {row.corpus for row in select(rows[name], table["query"])}
            if corpora <= {"simulated"} and name not in ("speed", "robustness"):
                assert table.get("simulated"), table["title"]


def test_every_number_is_shown_on_a_page():
    rows = read_all(ROOT / "results")
    for name, page in DECLARED.items():
        queried = {table for one in page["tables"] for table in as_list(one["query"]["table"])}
        assert {row.table for row in rows[name]} == queried
