"""What was labeled is read by the tools that people use, as the README shows; each where it is installed."""

from pathlib import Path

import pytest
from fake_annotator import FakeAnnotator
from some_logs import record, write_rows

from labelgen.labeling.engines import InlineEngine
from labelgen.labeling.run import label


@pytest.fixture(scope="module")
def parquet(tmp_path_factory) -> str:
    base: Path = tmp_path_factory.mktemp("parquet")
    write_rows(base / "in" / "a.parquet", [record(f"d{k}") for k in range(7)])
    label(base / "in", base / "labeled", InlineEngine(FakeAnnotator), "model", {}, 3)
    return str(base / "labeled" / "a.parquet")


def test_output_datasets_loads_records(parquet, tmp_path):
    datasets = pytest.importorskip("datasets")
    rows = datasets.load_dataset("parquet", data_files=parquet, split="train", cache_dir=str(tmp_path))
    assert rows["id"] == [f"d{k}" for k in range(7)]
    assert rows[0]["annotations"][0]["kind"] == "model"


def test_output_pandas_loads_records(parquet):
    pandas = pytest.importorskip("pandas")
    frame = pandas.read_parquet(parquet)
    assert list(frame["id"]) == [f"d{k}" for k in range(7)]
    assert frame["annotations"][0][0]["annotator"] == "model"


def test_output_duckdb_reads_records(parquet):
    duckdb = pytest.importorskip("duckdb")
    query = f"SELECT count(*), sum(len(turns)) FROM '{parquet}' WHERE annotations[1].kind = 'model'"
    assert duckdb.sql(query).fetchall() == [(7, 14)]
