"""Hugging Face datasets: logs and labels to and from them, in flat memory."""

import json
from pathlib import Path
from tracemalloc import get_traced_memory, start, stop

import datasets
import pytest
from labeled import LABELS, labeled_dialogue

import labelgen
from labelgen.data.dialogue import Dialogue, Turn
from labelgen.data.log import write_log
from labelgen.data.record import features


def records(count: int) -> list[Dialogue]:
    # As a record has them: labels are in its order.
    return [Dialogue.from_dict(labeled_dialogue(seed).to_dict()) for seed in range(count)]


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    labelgen.load_log(records(6)).to_dataset().save_to_disk(str(tmp_path / "saved"))
    return tmp_path / "saved"


def test_saved_dataset_of_records_is_a_log(saved: Path):
    log = labelgen.load_log(saved)
    assert list(log) == list(log) == records(6)
    assert len(log) == 6
    assert str(saved) in repr(log)
    assert len(labelgen.labels(saved).to_pandas()) == len(labelgen.labels(records(6)).to_pandas())


def test_saved_splits_are_read_one_after_the_other(tmp_path: Path):
    parts = {name: labelgen.load_log(records(6)[k::2]).to_dataset() for k, name in enumerate(("train", "test"))}
    datasets.DatasetDict(parts).save_to_disk(str(tmp_path / "both"))
    assert list(labelgen.load_log(tmp_path / "both")) == [*records(6)[::2], *records(6)[1::2]]


@pytest.mark.parametrize("ending", ["jsonl", "parquet"])
def test_hub_dataset_of_records_is_streamed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str):
    write_log(tmp_path / "hub" / f"train.{ending}", records(6))
    # `datasets` reads a local folder by the same call as a repository of the hub.
    log = labelgen.load_log(f"hub:{tmp_path / 'hub'}")
    assert list(log) == list(log) == records(6)


def test_stream_of_records_is_a_log():
    stream = labelgen.load_log(records(4)).to_dataset().to_iterable_dataset()
    log = labelgen.load_log(stream)
    assert list(log) == list(log) == records(4)


def test_dataset_of_other_columns_is_refused_with_a_mapping_as_the_hint(tmp_path: Path):
    datasets.Dataset.from_dict({"asked": ["a"], "answered": ["b"]}).save_to_disk(str(tmp_path / "table"))
    with pytest.raises(labelgen.LabelgenError, match="no columns id and turns, but asked, answered") as refused:
        labelgen.load_log(tmp_path / "table")
    assert "mapping=" in refused.value.hint


def test_memory_does_not_grow_with_a_dataset(tmp_path: Path):
    peaks = []
    for count in (100, 600):
        plain = [
            Dialogue(id=str(k), turns=(Turn(request="x" * 500, response="y" * 500),)).to_dict() for k in range(count)
        ]
        path = tmp_path / str(count)
        datasets.Dataset.from_list(plain, features=features()).save_to_disk(str(path))
        log = labelgen.load_log(path)
        sum(1 for _ in log)  # imports and caches of the first pass
        start()
        assert sum(1 for _ in log) == count
        peaks.append(get_traced_memory()[1])
        stop()
    assert peaks[1] < peaks[0] + 64 * 500


def test_labels_of_a_task_have_its_classes(tmp_path: Path):
    write_log(tmp_path / "log.jsonl", records(6), LABELS)
    table = labelgen.labels(tmp_path / "log.jsonl")
    everything = table.to_dataset()
    assert json.loads(json.dumps(everything.to_list())) == json.loads(json.dumps(list(table.rows())))
    for task, some in (("quality", ["good", "fair", "bad"]), ("intents", [n.name for n in LABELS["toy"]["intents"]])):
        rows = table.to_dataset(task)
        classes = rows.features["label"]
        assert isinstance(classes, datasets.ClassLabel)
        assert set(some) <= set(classes.names)
        expected = [row["label"] for row in table.rows() if row["task"] == task]
        assert [None if k is None else classes.int2str(k) for k in rows["label"]] == expected
    with pytest.raises(labelgen.LabelgenError, match="nonsense"):
        table.to_dataset("nonsense")
