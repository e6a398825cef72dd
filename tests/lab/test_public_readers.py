"""Readers of public corpora: what they make of small samples, and what holds for each of them."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

import pytest
from reader_laws import Samples, check_rejected

from labelgen.base.errors import UsageError
from labelgen.base.registry import resolve
from labelgen.data.dialogue import Dialogue
from labelgen.data.reader import READERS, Reader

HERE = Path(__file__).parent
SAMPLES = HERE / "samples"
CASES: dict[str, tuple[str, str, Mapping[str, str]]] = {
    "sgd": ("sgd", "sgd", {}),
    "star": ("star", "star", {}),
    "getgoing": ("getgoing", "getgoing", {}),
    "betold": ("betold", "betold", {}),
    "uss": ("uss", "uss", {}),
    "snips": ("snips", "snips", {}),
    "slurp": ("slurp", "slurp", {}),
    "multiwoz": ("multiwoz", "multiwoz", {}),
    "dbdc3": ("dbdc3", "dbdc3", {}),
    "abredial": ("abredial", "abredial", {}),
    "stc3": ("stc3", "stc3", {}),
    "dstc10": ("dstc10", "dstc10", {}),
    "multidogo": ("multidogo", "multidogo", {}),
    "irc": ("irc", "irc", {"context": "2"}),
    "taskmaster": ("taskmaster", "taskmaster/TM-3-2020", {}),
    "taskmaster_coffee": ("taskmaster", "taskmaster/TM-4-2024", {}),
}
"""name -> (format, sample, options)."""


LAWS = Samples(HERE, CASES)


def test_readers_all_have_samples():
    assert {name for name, _, _ in CASES.values()} == set(READERS) - set(READERS.builtin)


@pytest.mark.parametrize("case", CASES)
def test_reader_output_equals_golden_file(case: str):
    LAWS.check_golden(case)


@pytest.mark.parametrize("case", CASES)
def test_reader_records_have_unique_ids_and_are_valid(case: str):
    LAWS.check_records(case)


@pytest.mark.parametrize("case", CASES)
def test_published_label_names_include_annotated_names(case: str):
    name, sample, options = CASES[case]
    sources = resolve(READERS, name, "format").labels(SAMPLES / sample, options)
    for dialogue in LAWS.dialogues(case).values():
        for annotation in dialogue.annotations:
            for label in annotation.labels:
                names = sources.get(dialogue.source or "*", {}).get(label.task)
                assert names is None or label.name in {n.name for n in names}


@pytest.mark.parametrize("case", CASES)
def test_reader_unknown_option_or_missing_path_raises(case: str, tmp_path: Path):
    LAWS.check_refusals(case, tmp_path)


def test_sgd_schema_gives_descriptions_of_intents_and_span_slots():
    reader: Reader = resolve(READERS, "sgd", "format")
    assert reader.labels(SAMPLES / "sgd", {}) == reader.labels(SAMPLES / "sgd" / "dev", {})
    tasks = reader.labels(SAMPLES / "sgd", {})["sgd/dev"]
    intents = {x.name: x.description for x in tasks["intents"]}
    assert intents["Events_1.FindEvents"] == "Find events in a given city"
    assert "Events_1.city_of_event" in {x.name for x in tasks["slots"]}
    assert "Events_1.category" not in {x.name for x in tasks["slots"]}, "chosen from a list, never said in a span"


def test_star_turn_with_several_replies_has_last_wizard_action(tmp_path: Path):
    """Of several replies to one request, the action of the last one that has a name."""
    actions = ("ask_name", "bank_inform_balance", "anything_else")
    events = [{"Agent": "User", "Action": "utter", "Text": "What is my balance?"}]
    events += [{"Agent": "Wizard", "Action": "pick_suggestion", "Text": x, "ActionLabel": x} for x in actions]
    events += [
        {"Agent": "Wizard", "Action": "utter", "Text": "Bye."},
        {"Agent": "User", "Action": "utter", "Text": "Bye"},
    ]
    scenario = {"Happy": True, "MultiTask": False, "WizardCapabilities": [{"Task": "bank_balance"}]}
    plain = {"DialogueID": 1, "Scenario": scenario, "Events": events, "CompletionLevel": "Complete"}
    (tmp_path / "1.json").write_text(json.dumps(plain), encoding="utf-8")
    reader: Reader = resolve(READERS, "star", "format")
    [found] = reader.read(tmp_path, {})
    assert isinstance(found, Dialogue)
    assert [[(c.name, c.value) for c in turn.categories] for turn in found.turns] == [
        [("wizard_action", "anything_else")],
        [],
    ]


def test_uss_part_option_gives_published_part():
    reader: Reader = resolve(READERS, "uss", "format")
    ids = {
        part: [d.id for d in reader.read(SAMPLES / "uss", {"part": part}) if isinstance(d, Dialogue)]
        for part in ("train", "valid")
    }
    assert ids == {"train": ["uss/SGD/0"], "valid": ["uss/SGD/1"]}
    with pytest.raises(UsageError, match="--part is 'test'"):
        list(reader.read(SAMPLES / "uss", {"part": "test"}))


def test_uss_part_without_ratings_is_skipped(tmp_path):
    folder = tmp_path / "uss"
    shutil.copytree(SAMPLES / "uss", folder)
    [rated] = (folder / "dataset").glob("*.txt")
    shutil.copy(rated, rated.with_name("Acts-action.txt"))
    reader: Reader = resolve(READERS, "uss", "format")
    sources = {d.source for d in reader.read(folder, {"part": "train"}) if isinstance(d, Dialogue)}
    assert sources == {"uss/SGD"}
    with pytest.raises(UsageError, match="no parts are known"):
        list(reader.read(rated.with_name("Acts-action.txt"), {"part": "train"}))


BAD = [
    ("sgd", "dev/dialogues_001.json", b'[{"dialogue_id":"1_1","services":[],"turns":[{"speaker":"BOT"}]}]', "bad_type", "[0].turns[0].speaker"),
    ("sgd", "dev/dialogues_001.json", b"[{]", "bad_json", None),
    ("sgd", "dev/dialogues_001.json", b'[{"dialogue_id":"1_1","services":[],"turns":[{"speaker":"USER","utterance":"hi","frames":[{"service":"A_1","slots":[{"slot":"x","start":0,"exclusive_end":3}]}]}]}]', "bad_span", "annotations[0].turns[0].slots[0].end"),
    ("star", "dialogues/1.json", b"{}", "bad_type", None),
    ("star", "dialogues/1.json", b"\xff", "bad_json", None),
    ("getgoing", "logs/a/log.json", b'{"uuid":"a","history":["TTS Hi.","ROBOT hi"]}', "bad_line", "history[1]"),
    ("getgoing", "logs/a/log.json", b'{"uuid":"a"}', "bad_type", None),
    ("betold", "BETOLD_valid.json", b'[{"LUHF":"maybe","utterances_annotations":[]}]', "bad_type", "LUHF"),
    ("betold", "BETOLD_valid.json", b'[{"LUHF":"luhf","utterances_annotations":[{"caller_name":"asr","intent":"x"}]}]', "bad_type", "utterances_annotations[0].caller_name"),
    ("betold", "BETOLD_valid.json", b'{"LUHF":"luhf"}', "bad_type", None),
    ("betold", "BETOLD_valid.json", b'[{"LUHF":', "bad_json", None),
    ("uss", "SGD.txt", b"\nUSER\thello\n", "bad_line", None),
    ("uss", "SGD.txt", b"\nUSER\thello\tx\t3,3\nUSER\tOVERALL\t\t3\n", "bad_ratings", None),
    ("uss", "SGD.txt", b"\nUSER\thello\tx\t3,9\n", "bad_rating", None),
    ("uss", "SGD.txt", b"\nUSER\thel\xfflo\tx\t3\n", "bad_text", None),
]  # fmt: skip


@pytest.mark.parametrize(("name", "path", "data", "reason", "field"), BAD)
def test_reader_bad_record_is_rejected_with_reason_and_field(
    name: str, path: str, data: bytes, reason: str, field: str | None, tmp_path: Path
):
    assert check_rejected(tmp_path, path, name, {}, data) == (reason, field)


@pytest.mark.parametrize("case", CASES)
def test_reader_damaged_file_raises_usage_error_only(case: str, tmp_path: Path):
    LAWS.check_damaged(case, tmp_path)
