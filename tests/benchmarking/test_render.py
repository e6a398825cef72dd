"""Tables by query: which rows are taken, how cells are shown, and what is refused."""

import json
from pathlib import Path

import pytest

from benchmarks.render import by_task, certain, check, pages, render, select, show, table
from benchmarks.results import Result, write_results
from labelgen.base.errors import InputError


def row(**fields) -> Result:
    return Result(**{"table": "t", "corpus": "C", "metric": "macro_f1", "system": "model", "value": 0.5, **fields})


ROWS = [
    row(value=0.81249, low=0.7, high=0.9, interval="bootstrap", n=1200, seed="0 1 2", command="labelgen evaluate"),
    row(value=None, low=0.6, high=0.95, interval="range", n=1200, seed="0 1 2"),
    row(value=0.6, seed="1", n=1200),
    row(system="one annotator", value=0.7, n=1200),
    row(baseline="one annotator", value=0.11, low=0.01, high=0.2, interval="bootstrap", n=1200, seed="0 1 2"),
    row(corpus="D", value=0.4, n=7),
]
BY_TASK = {
    "task": "quality",
    "page": "p",
    "query": {"table": "t"},
    "against": ["one annotator"],
    "expect": "Less.",
}
DECLARED = {"title": "T|able", "query": {"table": "t"}, "caption": "What was asked."}


def test_a_table_shows_systems_across_and_varying_fields_as_rows():
    lines = table(DECLARED, ROWS, {}).splitlines()
    assert lines[0] == "## T|able"
    assert lines[4] == "| corpus | model | one annotator | model minus one annotator | n |"
    assert lines[6] == "| C | 0.812 (0.700 to 0.900) [0.600 to 0.950] | 0.700 | **0.110** (0.010 to 0.200) | 1,200 |"
    assert lines[7] == "| D | 0.400 | – | – | 7 |"
    assert "Metric: macro_f1; training seeds: 0 1 2." in table(DECLARED, ROWS, {})
    assert "Made by `labelgen evaluate`." in table(DECLARED, ROWS, {})


def test_table_names_no_field_that_differs_below_it_and_shows_the_range_of_n():
    mixed = [row(setting="measured", n=10), row(setting="assumed", system="one annotator", n=1200)]
    text = table({**DECLARED, "rows": ["corpus"]}, mixed, {})
    assert "measured" not in text
    assert "assumed" not in text
    assert text.splitlines()[4:7:2] == ["| model | one annotator | n |", "| 0.500 | 0.500 | 10 to 1,200 |"]


def test_single_trainings_are_left_out_unless_their_seed_is_queried():
    assert not any(r.seed == "1" for r in select(ROWS, {"table": "t"}))
    assert [r.value for r in select(ROWS, {"seed": [1]})] == [0.6]


def difference(value: float, low: float, high: float, **fields) -> Result:
    return row(**{"baseline": "b", "interval": "bootstrap", **fields}, value=value, low=low, high=high)


def bold_of(*rows: Result) -> list[bool]:
    sure = certain(rows)
    return [show([one], sure).startswith("**") for one in rows]


def test_differences_are_bold_only_if_their_interval_excludes_zero_and_ratios_one():
    assert bold_of(difference(-0.2, -0.3, -0.1)) == [True]
    assert bold_of(difference(-0.2, -0.5, 0.1)) == [False]
    assert bold_of(difference(-0.2, -0.3, -0.1, interval="range")) == [False]
    assert bold_of(difference(0.2, 0.1, 0.3, baseline="")) == [False]
    assert bold_of(difference(0.8, 0.7, 0.9, metric="f1_ratio")) == [True]
    assert bold_of(difference(0.9, 0.7, 1.1, metric="f1_ratio")) == [False]
    assert bold_of(difference(0.0, 0.0, 0.0, metric="f1_ratio")) == [False]


def test_more_comparisons_in_a_table_ask_for_more_of_each():
    narrow, clear = difference(0.2, 0.005, 0.395, corpus="narrow"), difference(0.2, 0.1, 0.3, corpus="clear")
    others = [difference(0.0, -0.1, 0.1, corpus=f"C{k}") for k in range(9)]
    assert bold_of(narrow) == [True]
    assert bold_of(narrow, clear, *others) == [False, True, *[False] * 9]


def test_table_ratio_stands_under_its_metric_and_says_divided_by():
    ratio = row(baseline="one annotator", metric="macro_f1_ratio", value=0.8, low=0.7, high=0.9, interval="bootstrap")
    lines = table(DECLARED, [row(), ratio], {}).splitlines()
    assert lines[4:7:2] == ["| model | model divided by one annotator |", "| 0.500 | **0.800** (0.700 to 0.900) |"]


def test_a_query_with_an_unknown_field_or_without_rows_is_refused():
    with pytest.raises(InputError, match="unknown field colour"):
        select(ROWS, {"colour": "red"})
    with pytest.raises(InputError, match="finds no rows"):
        table({**DECLARED, "query": {"table": "none"}}, ROWS, {})


def test_two_numbers_in_one_cell_are_refused():
    with pytest.raises(InputError, match="two numbers in one cell"):
        table({**DECLARED, "rows": ["metric"]}, ROWS, {})


def test_notes_and_simulation_stand_with_their_table():
    text = table({**DECLARED, "simulated": True}, ROWS, {"t": "The rule saw these dialogues."})
    assert text.startswith("## Simulation only: T|able")
    assert "**Seen while choosing.** The rule saw these dialogues." in text


def test_tables_metrics_and_notes_that_do_not_match_are_refused():
    declared = {"pages": {"p": {"tables": [DECLARED]}}}
    metrics = {"macro_f1": "F1"}
    check(declared, {"p": ROWS}, metrics, {})
    with pytest.raises(InputError, match="tables without a query: extra"):
        check(declared, {"p": [*ROWS, row(table="extra")]}, metrics, {})
    with pytest.raises(InputError, match="metrics without a description: macro_f1"):
        check(declared, {"p": ROWS}, {}, {})
    with pytest.raises(InputError, match="notes without a table: gone"):
        check(declared, {"p": ROWS}, metrics, {"gone": "x"})


def test_verdicts_by_task_follow_the_side_of_the_interval():
    ends = {"better": (0.01, 0.2), "unclear": (-0.1, 0.2), "touching": (0.0, 0.2), "worse": (-0.3, -0.1)}
    rows = [
        row(corpus=name, baseline="person", low=low, high=high, interval="bootstrap")
        for name, (low, high) in ends.items()
    ]
    rows.append(row(corpus="worse", baseline="person", low=0.1, high=0.3, interval="range"))
    one = {**BY_TASK, "against": ["person"]}
    line = "| quality ([p](docs/results/p.md)) | person | better | unclear; touching | worse | Less. |"
    assert line in by_task({"intro": "", "tasks": [one]}, {"p": rows}, certain(rows))
    line = "| quality ([p](docs/results/p.md)) | person | worse | unclear; touching | better | Less. |"
    assert line in by_task({"intro": "", "tasks": [{**one, "lower": True}]}, {"p": rows}, certain(rows))
    ratio = [row(metric="word_error_rate_ratio", baseline="person", low=0.6, high=0.9, interval="bootstrap")]
    line = "| quality ([p](docs/results/p.md)) | person | C | – | – | Less. |"
    assert line in by_task({"intro": "", "tasks": [{**one, "lower": True}]}, {"p": ratio}, certain(ratio))


def test_a_task_without_any_interval_is_refused():
    with pytest.raises(InputError, match="no difference of"):
        by_task({"intro": "", "tasks": [BY_TASK]}, {"p": [row(baseline="one annotator")]}, ())


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A repository with one page, whose YAML is written as JSON."""
    for folder in ("benchmarks", "results"):
        (tmp_path / folder).mkdir()
    summary = {"what": "claim", "page": "p", "of": {"table": "t", "corpus": "C"}, "model": {"system": "model"}}
    summary |= {"person": {"system": "one annotator", "words": "one"}, "missed": "all"}
    pages = {"p": {"title": "P", "intro": "Page.", "tables": [DECLARED]}}
    declared = {
        "title": "Results",
        "intro": "Intro.",
        "after": "[p](docs/results/p.md)",
        "by_task": {"intro": "By task.", "tasks": [BY_TASK]},
        "summary": [summary],
        "pages": pages,
    }
    (tmp_path / "benchmarks" / "pages.yaml").write_text(json.dumps(declared))
    (tmp_path / "benchmarks" / "metrics.yaml").write_text(json.dumps({"macro_f1": "F1"}))
    (tmp_path / "results" / "notes.yaml").write_text("{}")
    write_results(tmp_path / "results" / "p.csv", ROWS)
    return tmp_path


def test_the_first_page_shows_the_one_number_that_a_query_finds(project: Path):
    texts = pages(project)
    first = texts[Path("RESULTS.md")]
    assert (
        "| claim | 0.812 (0.700 to 0.900) [0.600 to 0.950] | – | one: 0.700 | – | – | all | [p](docs/results/p.md) |"
        in first
    )
    assert "- `macro_f1`: F1." in texts[Path("docs/results/p.md")]


def test_pages_that_differ_or_are_left_over_are_named_until_rendered(project: Path):
    every = sorted(pages(project))
    assert sorted(render(project, only_check=True)) == every
    assert sorted(render(project)) == every
    assert render(project, only_check=True) == []
    (project / "docs" / "results" / "old.md").write_text("old")
    (project / "RESULTS.md").write_text("other")
    assert render(project, only_check=True) == [Path("RESULTS.md"), Path("docs/results/old.md")]
    render(project)
    assert not (project / "docs" / "results" / "old.md").exists()
