"""Long-format results: what is written is read again, and wrong rows are refused."""

from pathlib import Path

import pytest

from benchmarks.results import FIELDS, Result, page_of, read_results, write_results
from labelgen.base.errors import InputError


def row(**fields) -> Result:
    return Result(**{"table": "t", "corpus": "C", "metric": "macro_f1", "system": "model", "value": 0.5, **fields})


def test_results_after_a_round_trip_are_equal(tmp_path: Path):
    rows = [
        row(value=0.8125, low=0.7, high=0.9, interval="bootstrap", n=1200, seed="0 1 2", command="a, b\nc"),
        row(system='quoted "model"', value=None, low=-1.0, high=2.0, interval="range"),
        row(system="é", value=3.0, baseline="bag of words", reference="other annotators"),
        row(system="small", value=1.1e-07),
    ]
    path = tmp_path / "t.csv"
    write_results(path, rows)
    assert read_results(path) == rows
    before = path.read_bytes()
    write_results(path, read_results(path))
    assert path.read_bytes() == before


def test_writing_a_table_replaces_its_rows_and_keeps_others(tmp_path: Path):
    path = tmp_path / "t.csv"
    write_results(path, [row(), row(system="gone"), row(table="other")])
    write_results(path, [row(value=0.75)])
    assert [(r.table, r.system, r.value) for r in read_results(path)] == [("other", "model", 0.5), ("t", "model", 0.75)]


def test_two_rows_with_one_key_are_refused(tmp_path: Path):
    with pytest.raises(InputError, match="two results for t, C, model, macro_f1"):
        write_results(tmp_path / "t.csv", [row(), row(value=0.6)])


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        ({"value": "many"}, "float"),
        ({"low": "0.1"}, "given together"),
        ({"low": "0.1", "high": "0.2", "interval": "sure"}, "unknown kind of interval"),
        ({"value": ""}, "needs a value"),
    ],
)
def test_a_wrong_cell_is_refused_with_its_line(tmp_path: Path, cells, message: str):
    cells = {"table": "t", "corpus": "C", "metric": "m", "system": "s", "value": "1", **cells}
    path = tmp_path / "t.csv"
    path.write_text(",".join(FIELDS) + "\n" + ",".join(cells.get(name, "") for name in FIELDS) + "\n")
    with pytest.raises(InputError, match=message) as error:
        read_results(path)
    assert error.value.where.endswith("line 2")


def test_a_table_without_a_page_is_refused():
    assert page_of("answers_star") == "feedback"
    with pytest.raises(InputError, match="no page shows the table nothing"):
        page_of("nothing")
