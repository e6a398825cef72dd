"""Sorting on disk gives what sorting in memory gives, whatever fits into memory."""

import resource

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labelgen.base import sorting
from labelgen.base.errors import StorageError
from labelgen.base.sorting import DiskSort

ITEMS = st.lists(st.tuples(st.text(max_size=3), st.binary(max_size=40)), max_size=60)


def add_many(sort: DiskSort[int]) -> None:
    for place in range(5000):
        sort.add(-place, place, b"x" * 200)


@given(items=ITEMS, batch=st.sampled_from([1, 7, 1000]))
def test_disk_sort_equals_sorting_in_memory(items, batch):
    expected = sorted((key, place, payload) for place, (key, payload) in enumerate(items))
    with pytest.MonkeyPatch.context() as patch, DiskSort[str]() as sort:
        patch.setattr(sorting, "_BATCH", batch)
        for place, (key, payload) in enumerate(items):
            sort.add(key, place, payload)
        assert list(sort) == expected


def test_disk_sort_of_more_than_the_cache_is_complete(monkeypatch):
    monkeypatch.setattr(sorting, "_CACHE_KB", 16)
    with DiskSort[int]() as sort:
        add_many(sort)
        assert [key for key, _, _ in sort] == list(range(-4999, 1))


def test_disk_sort_without_room_raises_storage_error(monkeypatch):
    monkeypatch.setattr(sorting, "_CACHE_KB", 16)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, hard))
    try:
        with DiskSort[int]() as sort, pytest.raises(StorageError, match="cannot sort on disk"):
            add_many(sort)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
