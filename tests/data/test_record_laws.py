"""A record is read as it was written, in JSON and in Parquet; or it is rejected, with what is wrong and where."""

import json
import os
from inspect import cleandoc
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from strategies import dialogues

from labelgen.data.dialogue import Dialogue
from labelgen.data.groups import Record
from labelgen.data.labels import AtGoal, AtTurn, NoLabel, answers
from labelgen.data.log import Log, write_log
from labelgen.data.record import Rejected, arrow_schema, convert, decode, encode, features, to_plain

ROOT = Path(__file__).parents[2]


def json_schema() -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of one record. Fields that labelgen does not know are allowed."""
    schema = msgspec.json.schema(Record)
    definitions = schema["$defs"]
    record = {**definitions.pop(schema["$ref"].rpartition("/")[2]), "title": "Record"}
    schema = {"$ref": "#/$defs/Record", "$defs": {"Record": record, **definitions}}
    for definition in schema["$defs"].values():
        del definition["additionalProperties"]
        if "description" in definition:
            # Python 3.13 strips the indentation of docstrings, earlier versions keep it.
            definition["description"] = cleandoc(definition["description"])
        for field in definition["properties"].values():
            if isinstance(field.get("default"), dict):
                del field["default"]
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "labelgen record", **schema}


VALIDATOR = jsonschema.Draft202012Validator(json_schema())


@given(dialogues())
def test_json_round_trip_gives_equal_dialogue(dialogue: Dialogue):
    text = encode(dialogue)
    again = decode(text, "log")
    assert again == dialogue
    assert isinstance(again, Dialogue)
    assert [a.provenance for a in again.annotations] == [a.provenance for a in dialogue.annotations]
    assert encode(again) == text
    assert msgspec.json.encode(to_plain(dialogue)) == text


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(dialogues(), max_size=4, unique_by=lambda d: d.id))
def test_parquet_round_trip_gives_equal_log(tmp_path: Path, log: list[Dialogue]):
    path = tmp_path / "log.parquet"
    assert write_log(path, log, force=True) == len(log)
    assert pq.read_schema(path).equals(arrow_schema())
    again = list(Log([path], max_bad_rate=0))
    assert again == log
    assert [encode(d) for d in again] == [encode(d) for d in log]


@given(dialogues())
def test_encoded_record_has_every_field_and_fits_schema(dialogue: Dialogue):
    plain = json.loads(encode(dialogue))
    VALIDATOR.validate(plain)
    assert list(plain) == [f.name for f in arrow_schema()]


@given(dialogues())
def test_record_null_fields_equal_absent_fields(dialogue: Dialogue):
    def bare(plain: object) -> object:
        if isinstance(plain, dict):
            return {key: bare(value) for key, value in plain.items() if value is not None}
        return [bare(value) for value in plain] if isinstance(plain, (list, tuple)) else plain

    assert convert(bare(to_plain(dialogue)), "log") == dialogue


@pytest.mark.parametrize("suffix", [".jsonl", ".parquet"])
def test_record_rating_scale_and_unknown_outcome_round_trip(tmp_path: Path, suffix: str):
    turns = '"turns":[{"turn":1,"quality":{"rating":6,"scale":[0,10]},"intents":[],"slots":[]}]'
    sure = '"labels":[{"task":"intents","at":{"turn":1},"probability":0.75}]'
    goals = '"goals":[{"turns":[0],"outcome":"unknown"},{"turns":[1]}]'
    found = decode(ANNOTATED % ",".join([goals, turns, sure]), "log")
    assert isinstance(found, Dialogue)
    (said,) = found.annotations
    assert [(x.name, x.value) for x in said.labels if x.task == "quality"] == [("good", 3.4)]
    assert answers(said, "outcome") == {AtGoal((0,)): ()}
    assert said.none == (
        NoLabel("outcome", AtGoal((0,))),
        NoLabel("intents", AtTurn(1), 0.75),
        NoLabel("slots", AtTurn(1)),
    )
    write_log(tmp_path / f"log{suffix}", [found])
    (again,) = Log([tmp_path])
    assert again == found
    (plain,) = to_plain(again)["annotations"]
    assert [goal["outcome"] for goal in plain["goals"]] == ["unknown", None]
    quality = plain["turns"][0]["quality"]
    assert (quality["rating"], list(quality["scale"])) == (6.0, [0.0, 10.0])
    assert [(label["task"], label["name"], label["probability"]) for label in plain["labels"]] == [
        ("intents", None, 0.75)
    ]


@pytest.mark.parametrize("suffix", [".jsonl", ".parquet"])
def test_record_label_without_group_keeps_distribution(tmp_path: Path, suffix: str):
    label = '{"task":"mood","at":{"turn":1},"name":"calm","distribution":[{"name":"calm","probability":0.75},{"name":"angry","probability":0.25},{"name":"sad"}]}'
    found = decode(ANNOTATED % f'"labels":[{label}]', "log")
    assert isinstance(found, Dialogue)
    assert found.annotations[0].labels[0].distribution == (("calm", 0.75), ("angry", 0.25), ("sad", 0.0))
    write_log(tmp_path / f"log{suffix}", [found])
    assert list(Log([tmp_path])) == [found]


def test_record_unknown_fields_are_kept():
    found = decode(
        '{"id":"d","color":"red","turns":[{"request":"a","response":"b","feedback":null,"skill":{"n":null}}]}', "log"
    )
    assert isinstance(found, Dialogue)
    assert json.loads(found.extra or "") == {"color": "red"}
    assert json.loads(found.turns[0].extra or "") == {"skill": {"n": None}}
    assert decode(encode(found), "log") == found


TURN = '{"request":"play it","response":""}'
TURNS = f'"turns":[{TURN},{TURN}]'
ANNOTATED = '{"id":"d7",' + TURNS + ',"annotations":[{"annotator":"anna",%s}]}'

ANNOTATIONS = [
    ('"turns":[{"turn":2}]', "no_such_turn", "turns[0].turn"),
    ('"turns":[{"turn":1},{"turn":1}]', "doubled_turn", "turns[1].turn"),
    ('"turns":[{"turn":1,"slots":[{"name":"x","start":5,"end":8}]}]', "bad_span", "turns[0].slots[0].end"),
    ('"turns":[{"turn":1,"slots":[{"name":"x","start":5,"end":5}]}]', "bad_span", "turns[0].slots[0]"),
    ('"labels":[{"task":"x","name":"n","at":{"turn":1,"start":0}}]', "bad_span", "labels[0].at"),
    ('"labels":[{"task":"x","name":"n","at":{"start":0,"end":1}}]', "bad_span", "labels[0].at"),
    ('"labels":[{"task":"x","name":"n","at":{"turns":[1],"start":0,"end":1}}]', "bad_span", "labels[0].at"),
    ('"labels":[{"task":"x","name":"n","distribution":[{"name":"m","probability":2}]}]', "bad_probability", "labels[0].distribution[0].probability"),
    ('"abstained":[{"task":"x","turn":1,"best":[{"name":"n","end":1}]}]', "bad_span", "abstained[0].best[0]"),
    ('"abstained":[{"task":"x","best":[{"name":"n","turns":[7]}]}]', "no_such_turn", "abstained[0].best[0].turns"),
    ('"abstained":[{"task":"x","best":[{"name":"n","probability":2}]}]', "bad_probability", "abstained[0].best[0].probability"),
    ('"abstained":[{"task":"intents","turn":2}]', "no_such_turn", "abstained[0].turn"),
    ('"quality":{"rating":2,"probabilities":{"bad":7,"fair":0,"good":-1}}', "bad_probability", "quality.probabilities.bad"),
    ('"quality":{"rating":6}', "bad_rating", "quality.rating"),
    ('"goals":[{"turns":[0],"outcome":"success","outcome_probabilities":{"success":1,"failure":2}}]', "bad_probability", "goals[0].outcome_probabilities.failure"),
    ('"goals":[{"turns":[0,1]},{"turns":[1]}]', "goals_overlap", "goals[1].turns"),
    ('"goals":[{"turns":[1,0]}]', "bad_goal", "goals[0].turns"),
    ('"goals":[{"turns":[0],"outcome":"maybe"}]', "bad_outcome", "goals[0].outcome"),
]  # fmt: skip
"""What an annotation has, why it is rejected, and the field in it."""
FAULTS = [
    ('{"id":"d7","turns":[', "bad_json", None),
    ("[]", "bad_type", None),
    ('{"turns":[]}', "bad_type", None),
    ('{"id":7,"turns":[]}', "bad_type", "id"),
    ('{"id":"","turns":[]}', "empty_id", "id"),
    ('{"id":"d7","turns":[{"request":"a"}]}', "bad_type", "turns[0]"),
    ('{"id":"d7","turns":[{"request":"a","response":"b","time_s":NaN}]}', "not_finite", "turns[0].time_s"),
    ('{"id":"d7","turns":[{"request":"a","response":"\\ud800b"}]}', "lone_surrogate", "turns[0].response"),
    ('{"id":"d7","turns":[{"request":"","response":"","audio":{"path":"../a.wav"}}]}', "bad_path", "turns[0].audio.path"),
    ('{"id":"d7","feedback":[{"kind":"answer","about":2}],"turns":[]}', "no_such_turn", "feedback[0].about"),
    ('{"id":"d7","turns":[],"annotations":[{"annotator":"a"},{"annotator":"a"}]}', "doubled_annotator", "annotations[1].annotator"),
    ('{"id":"d7","turns":[],"targets":[{"task":"intents"}]}', "bad_target", "targets[0]"),
    ('{"id":"d7","turns":[],"targets":[{"task":"x","labels":[{"name":"x","probability":2}]}]}', "bad_probability", "targets[0].labels[0].probability"),
    ('{"id":"d7","turns":[],"targets":[{"task":"intents","not":[],"weight":-1}]}', "bad_probability", "targets[0].weight"),
    *((ANNOTATED % text, reason, f"annotations[0].{field}") for text, reason, field in ANNOTATIONS),
]  # fmt: skip


@pytest.mark.parametrize(("text", "reason", "field"), FAULTS)
def test_record_invalid_is_rejected_with_field(text: str, reason: str, field: str | None):
    found = decode(text.encode(), "logs/a.jsonl", 3)
    assert isinstance(found, Rejected)
    assert (found.reason.partition(":")[0], found.field) == (reason, field)
    assert (found.file, found.line, found.raw) == ("logs/a.jsonl", 3, text)
    assert msgspec.json.decode(msgspec.json.encode(found), type=Rejected) == found


@given(st.binary(max_size=40))
def test_decode_any_bytes_never_raises(data: bytes):
    found = decode(data, "log", 1)
    assert isinstance(found, Rejected)
    msgspec.json.encode(found)


def test_documented_json_schema_equals_code():
    path = ROOT / "docs" / "record.schema.json"
    schema = msgspec.json.format(msgspec.json.encode(json_schema()), indent=2) + b"\n"
    if os.environ.get("LABELGEN_GOLDEN") == "write":
        path.write_bytes(schema)
    assert path.read_bytes() == schema


@pytest.mark.filterwarnings("ignore")
def test_datasets_library_reads_written_log(tmp_path: Path):
    import datasets
    from labeled import labeled_dialogue

    log = [labeled_dialogue(seed) for seed in range(5)]
    # A field that is null in the first records must not spoil the type of the column.
    log.sort(key=lambda d: max((t.time_s or 0 for t in d.turns), default=0))
    write_log(tmp_path / "log.parquet", log)
    write_log(tmp_path / "log.jsonl", log)
    cache = str(tmp_path / "cache")
    columns = datasets.load_dataset("parquet", data_files=str(tmp_path / "log.parquet"), split="train", cache_dir=cache)
    lines = datasets.load_dataset(
        "json", data_files=str(tmp_path / "log.jsonl"), split="train", cache_dir=cache, features=features()
    )
    assert columns.features == lines.features == features()
    written = [json.loads(encode(d)) for d in log]
    assert [*columns] == [*lines] == written
