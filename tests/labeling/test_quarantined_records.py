"""Records that cannot be labeled: unknown sources, annotator names in use, invalid domain lists; and counts of domain lists."""

import json

import pytest
from fake_annotator import FakeAnnotator
from msgspec.structs import replace
from some_logs import record, tree, write_lines

from labelgen.base.errors import UsageError
from labelgen.labeling.engines import local_engine
from labelgen.labeling.manifest import read_manifest, summary
from labelgen.labeling.run import label
from labelgen.labeling.verify import verify

LOG = [record("a"), record("b", source="martian"), record("c", source="toy"), record("d", source="martian")]


@pytest.mark.parametrize("workers", [1, 2])
def test_unknown_source_record_is_quarantined_with_hint(tmp_path, workers):
    source, out = tmp_path / "in", tmp_path / "out"
    # The first shard holds nothing that can be labeled.
    write_lines(source / "a.jsonl", [record(f"m{k}", source="martian") for k in range(2)])
    write_lines(source / "b.jsonl", LOG)
    with local_engine(FakeAnnotator, workers) as engine:
        sums = label(source, out, engine, "model", {}, 2)
    assert (sums.seen, sums.labeled, sums.quarantined) == (6, 2, {"unknown_source": 4})
    bad = [json.loads(text) for text in (out / "b.jsonl.quarantine.jsonl").read_text().splitlines()]
    assert [(b["dialogue"], b["field"]) for b in bad] == [("b", "source"), ("d", "source")]
    assert "known: toy; set the source" in bad[0]["reason"]
    assert json.loads(bad[0]["raw"])["id"] == "b"
    assert list(verify(out, source)) == []


@pytest.mark.parametrize("workers", [1, 2])
def test_unknown_source_whole_log_is_refused(tmp_path, workers):
    write_lines(tmp_path / "in" / "a.jsonl", ["not json", *(record(f"m{k}", source="martian") for k in range(3))])
    with local_engine(FakeAnnotator, workers) as engine, pytest.raises(UsageError, match="the source 'martian'"):
        label(tmp_path / "in", tmp_path / "out", engine, "model", {})
    assert not (tmp_path / "out").exists()


def signed(identity: str, kind: str) -> dict[str, object]:
    own = {"annotator": "model", "kind": kind, "labels": [{"task": "intents", "turn": 0, "value": "Play"}]}
    return record(identity, annotations=[own])


@pytest.mark.parametrize("workers", [1, 2])
def test_annotator_name_of_person_is_refused(tmp_path, workers):
    """A person's labels would stand beside a model's under one name. An earlier model's give way."""
    source, out = tmp_path / "in", tmp_path / "out"
    write_lines(source / "a.jsonl", [signed("a", "person"), signed("b", "model"), record("c")])
    with local_engine(FakeAnnotator, workers) as engine:
        sums = label(source, out, engine, "model", {}, 2)
    assert (sums.labeled, sums.quarantined) == (2, {"name_taken": 1})
    [bad] = [json.loads(text) for text in (out / "a.jsonl.quarantine.jsonl").read_text().splitlines()]
    assert (bad["dialogue"], bad["field"]) == ("a", "annotations")
    assert "give another name" in bad["reason"]
    assert list(verify(out, source)) == []
    write_lines(source / "a.jsonl", [signed("a", "person")])
    with local_engine(FakeAnnotator, workers) as engine, pytest.raises(UsageError, match="of kind person"):
        label(source, tmp_path / "none", engine, "model", {})
    assert not (tmp_path / "none").exists()


class Asks(FakeAnnotator):
    """For the domains in `skills`."""

    def __init__(self) -> None:
        super().__init__()
        self.provenance = replace(self.provenance, domains_from="skills")


def some(folder, *fields):
    write_lines(folder / "a.jsonl", [record(f"d{k}", **own) for k, own in enumerate(fields)])
    return folder


def test_domain_lists_any_sharding_same_counts(tmp_path):
    source = some(tmp_path / "in", {}, {"skills": ["a"]}, {"skills": None}, {"skills": []}, {})
    for name, workers, size in (("one", 1, 1024), ("two", 2, 2)):
        with local_engine(Asks, workers) as engine:
            sums = label(source, tmp_path / name, engine, "model", {}, size)
        assert sums.domain_lists == {"skills": 2}
        assert read_manifest(tmp_path / name / "manifest.json").counts == sums
        assert list(verify(tmp_path / name, source)) == []
        assert any("2 of 5 dialogues list the available domains in 'skills'" in line for line in summary(sums))
    assert tree(tmp_path / "one")["a.jsonl"] == tree(tmp_path / "two")["a.jsonl"]


def test_domain_list_invalid_is_quarantined(tmp_path):
    """It would be taken for a record that lists none, of which every label may be given."""
    lists = {"a": ["Banks"], "b": "Banks", "c": ["Banks", None], "d": None}
    source, out = tmp_path / "in", tmp_path / "out"
    write_lines(source / "a.jsonl", [*(record(k, skills=found) for k, found in lists.items()), record("e")])
    with local_engine(Asks, 1) as engine:
        sums = label(source, out, engine, "model", {})
    assert (sums.labeled, sums.quarantined) == (3, {"bad_domains": 2})
    bad = [json.loads(text) for text in (out / "a.jsonl.quarantine.jsonl").read_text().splitlines()]
    assert [(b["dialogue"], b["field"]) for b in bad] == [("b", "skills"), ("c", "skills")]


def test_domains_from_missing_field_is_refused(tmp_path):
    source = some(tmp_path / "in", {}, {"services": ["a"]})
    with (
        local_engine(Asks, 1) as engine,
        pytest.raises(UsageError, match="none of 2 records lists domains in 'skills'") as told,
    ):
        label(source, tmp_path / "out", engine, "model", {})
    assert "fields that do: services" in told.value.hint
    assert not (tmp_path / "out").exists()
