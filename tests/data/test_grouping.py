"""Grouping on disk gives what grouping in memory gives, whatever fits into memory."""

import gc
import resource
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labelgen.base.errors import StorageError
from labelgen.data import reader
from labelgen.data.reader import Groups

ITEMS = st.lists(st.tuples(st.text(max_size=2), st.text(max_size=40)), max_size=60)


def add_many(groups: Groups[str]) -> None:
    for place in range(5000):
        groups.add(str(-place % 2500), "x" * 200)


def test_groups_that_are_left_early_end_in_silence(monkeypatch):
    failed: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", failed.append)
    with Groups[str](str) as groups:
        add_many(groups)
        left = iter(groups)
        next(left)
    del left
    gc.collect()
    assert failed == []


@given(items=ITEMS, batch=st.sampled_from([1, 7, 1000]))
def test_groups_equal_those_in_memory(items, batch):
    expected: dict[str, list[str]] = {}
    with pytest.MonkeyPatch.context() as patch, Groups[str](str) as groups:
        patch.setattr(reader, "_BATCH", batch)
        for key, value in items:
            groups.add(key, value)
            expected.setdefault(key, []).append(value)
        assert list(groups) == list(expected.items())


def test_groups_of_more_than_the_cache_are_complete(monkeypatch):
    monkeypatch.setattr(reader, "_CACHE_KB", 16)
    with Groups[str](str) as groups:
        add_many(groups)
        assert [(key, len(values)) for key, values in groups] == [(str(-k % 2500), 2) for k in range(2500)]


def test_groups_without_room_raise_storage_error(monkeypatch):
    monkeypatch.setattr(reader, "_CACHE_KB", 16)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, hard))
    try:
        with Groups[str](str) as groups, pytest.raises(StorageError, match="cannot sort on disk"):
            add_many(groups)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
