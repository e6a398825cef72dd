"""How many records list the domains on offer is counted, and a log in which none does is refused before work begins."""

import json

import pytest
from fake_annotator import FakeAnnotator
from msgspec.structs import replace
from some_logs import record, tree, write_lines

from labelgen.base.errors import UsageError
from labelgen.labeling.dry_run import dry_run
from labelgen.labeling.engines import local_engine
from labelgen.labeling.manifest import read_manifest, summary
from labelgen.labeling.run import label
from labelgen.labeling.verify import verify


class Asks(FakeAnnotator):
    """For the domains in `skills`."""

    def __init__(self) -> None:
        super().__init__()
        self.provenance = replace(self.provenance, domains_from="skills")


def some(folder, *fields):
    write_lines(folder / "a.jsonl", [record(f"d{k}", **own) for k, own in enumerate(fields)])
    return folder


def test_records_with_the_field_are_counted_however_the_work_is_shared(tmp_path):
    source = some(tmp_path / "in", {}, {"skills": ["a"]}, {"skills": None}, {"skills": []}, {})
    for name, workers, size in (("one", 1, 1024), ("two", 2, 2)):
        with local_engine(Asks, workers) as engine:
            sums = label(source, tmp_path / name, engine, "model", {}, size)
        assert sums.domain_lists == {"skills": 2}
        assert read_manifest(tmp_path / name / "manifest.json").counts == sums
        assert list(verify(tmp_path / name, source)) == []
        assert any("2 of 5 dialogues list the available domains in 'skills'" in line for line in summary(sums))
    assert tree(tmp_path / "one")["a.jsonl"] == tree(tmp_path / "two")["a.jsonl"]


def test_what_should_list_domains_and_does_not_is_set_aside(tmp_path):
    """It would be taken for a record that lists none, of which every label may be given."""
    lists = {"a": ["Banks"], "b": "Banks", "c": ["Banks", None], "d": None}
    source, out = tmp_path / "in", tmp_path / "out"
    write_lines(source / "a.jsonl", [*(record(k, skills=found) for k, found in lists.items()), record("e")])
    with local_engine(Asks, 1) as engine:
        sums = label(source, out, engine, "model", {})
    assert (sums.labeled, sums.quarantined) == (3, {"bad_domains": 2})
    bad = [json.loads(text) for text in (out / "a.jsonl.quarantine.jsonl").read_text().splitlines()]
    assert [(b["dialogue"], b["field"]) for b in bad] == [("b", "skills"), ("c", "skills")]


def test_nothing_is_counted_that_was_not_asked(tmp_path):
    with local_engine(FakeAnnotator, 1) as engine:
        sums = label(some(tmp_path / "in", {"skills": ["a"]}), tmp_path / "out", engine, "model", {})
    assert sums.domain_lists == {}
    assert not any("on offer" in line for line in summary(sums))


def test_a_log_without_the_field_is_refused_and_nothing_written(tmp_path):
    source = some(tmp_path / "in", {}, {"services": ["a"]})
    with (
        local_engine(Asks, 1) as engine,
        pytest.raises(UsageError, match="none of 2 records lists domains in 'skills'") as told,
    ):
        label(source, tmp_path / "out", engine, "model", {})
    assert "fields that do: services" in told.value.hint
    assert not (tmp_path / "out").exists()
    with pytest.raises(UsageError, match="none of 2 records"):
        dry_run(source, tmp_path / "out", Asks(), {}, 2)
