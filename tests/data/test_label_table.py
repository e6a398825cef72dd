"""The flat table of labels: as CSV, as Parquet, and from Python."""

import csv
from pathlib import Path

import pandas
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from labeled import LABELS, labeled_dialogue
from strategies import dialogues

import labelgen
from labelgen.cli.main import main
from labelgen.data.dialogue import Dialogue
from labelgen.data.labels import AtSpan
from labelgen.data.log import Log, write_log
from labelgen.data.tables import COLUMNS, arrow_table_schema, label_rows, open_table_writer


def rows_of(log: list[Dialogue]) -> list[dict[str, object]]:
    return [row for one in log for annotation in one.annotations for row in label_rows(one, annotation)]


def test_table_of_a_folder_of_shards_is_the_same_in_both_forms_and_in_python(tmp_path: Path, capsys):
    log = [labeled_dialogue(seed) for seed in range(12)]
    write_log(tmp_path / "labeled" / "a" / "one.jsonl", log[:5], LABELS)
    write_log(tmp_path / "labeled" / "b" / "two.parquet", log[5:], LABELS)
    for name in ("labels.csv", "labels.parquet"):
        assert main(["data", "labels", str(tmp_path / "labeled"), str(tmp_path / name)]) == 0
    expected = rows_of([*Log([tmp_path / "labeled"])])
    assert f"{len(expected):,} rows from 12 dialogues" in capsys.readouterr().out
    assert pq.read_table(tmp_path / "labels.parquet").to_pylist() == expected
    with (tmp_path / "labels.csv").open(encoding="utf-8", newline="") as file:
        read = list(csv.DictReader(file))
    words = {"None": "", "True": "true", "False": "false"}
    assert read == [{name: words.get(str(cell), str(cell)) for name, cell in row.items()} for row in expected]
    frame = labelgen.labels(tmp_path / "labeled").to_pandas()
    assert list(frame.columns) == list(COLUMNS)
    assert frame.astype(object).where(frame.notna(), None).to_dict("records") == expected
    assert pandas.read_csv(tmp_path / "labels.csv")["abstained"].tolist() == [row["abstained"] for row in expected]


def test_only_the_named_annotator_is_written_and_an_unknown_name_is_refused(tmp_path: Path, capsys):
    write_log(tmp_path / "log.jsonl", [labeled_dialogue(seed) for seed in range(6)], LABELS)
    log = [*Log([tmp_path / "log.jsonl"])]
    who = log[0].annotations[0].annotator
    out = tmp_path / "labels.parquet"
    assert main(["data", "labels", str(tmp_path / "log.jsonl"), str(out), "--annotator", who]) == 0
    assert pq.read_table(out).to_pylist() == [row for row in rows_of(log) if row["annotator"] == who]
    assert labelgen.labels(log, annotator=who).save(tmp_path / "again.parquet") == pq.read_table(out).num_rows
    words = ["data", "labels", str(tmp_path / "log.jsonl"), str(tmp_path / "other.csv"), "--annotator", "nobody"]
    assert main(words) == 2
    assert not (tmp_path / "other.csv").exists()
    with pytest.raises(labelgen.LabelgenError, match="nobody"):
        labelgen.labels(log, annotator="nobody").to_pandas()


@given(st.lists(dialogues(), max_size=3, unique_by=lambda one: one.id))
def test_any_labels_survive_parquet_and_mark_the_words_of_their_spans(tmp_path_factory, log):
    path = tmp_path_factory.mktemp("table") / "labels.parquet"
    with open_table_writer(path) as write:
        for row in rows_of(log):
            write(row)
    table = pq.read_table(path)
    assert table.schema.equals(arrow_table_schema())
    assert table.to_pylist() == rows_of(log)
    labels = [label for one in log for annotation in one.annotations for label in annotation.labels]
    spans = [row for row in table.to_pylist() if row["start"] is not None and not row["abstained"]]
    assert len(spans) == sum(isinstance(label.at, AtSpan) for label in labels)
    requests = {one.id: [turn.request for turn in one.turns] for one in log}
    for row in spans:
        assert row["text"] == requests[row["dialogue"]][row["turn"]][row["start"] : row["end"]]
