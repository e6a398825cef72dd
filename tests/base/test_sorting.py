"""Sorting on disk gives what sorting in memory gives, whatever fits into memory."""

import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labelgen.base import sorting
from labelgen.base.errors import StorageError
from labelgen.base.sorting import DiskSort

ITEMS = st.lists(st.tuples(st.text(st.characters(codec="utf-8"), max_size=3), st.binary(max_size=40)), max_size=60)


@given(items=ITEMS, memory=st.sampled_from([1, 600, 4000, None]))
def test_disk_sort_equals_sorting_in_memory(items, memory):
    expected = sorted((key, place, payload) for place, (key, payload) in enumerate(items))
    with DiskSort[str](memory) as sort:
        for place, (key, payload) in enumerate(items):
            sort.add(key, place, payload)
        assert [tuple(item) for item in sort] == expected


def test_disk_sort_of_more_runs_than_are_merged_at_once_is_complete(monkeypatch):
    monkeypatch.setattr(sorting, "_MOST_RUNS", 3)
    with DiskSort[int](1) as sort:
        for place in range(50):
            sort.add(-place, place, b"x" * place)
        assert [key for key, _, _ in sort] == sorted(-place for place in range(50))


def test_disk_sort_removes_its_files(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with DiskSort[int](1) as sort:
        sort.add(1, 0, b"a")
        assert any(tmp_path.iterdir())
    assert not any(tmp_path.iterdir())


def test_disk_sort_without_a_place_to_write_raises_storage_error(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    with DiskSort[int](1) as sort, pytest.raises(StorageError, match="cannot sort on disk"):
        sort.add(1, 0, b"a")
