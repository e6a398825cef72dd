"""SNIPS and SLURP: single requests, whose slots are cut where the corpora mark them."""

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benchmarks.readers import slurp, snips
from labelgen.base.errors import UsageError
from labelgen.data.dialogue import Dialogue
from labelgen.data.labels import AtSpan
from labelgen.data.log import Log
from labelgen.data.reader import Remark
from labelgen.data.record import Rejected


def slots(dialogue: Dialogue) -> list[tuple[str, str]]:
    """Each slot with the words that its span cuts."""
    (turn,), (annotation,) = dialogue.turns, dialogue.annotations
    spans = [(x.name, x.at) for x in annotation.labels if isinstance(x.at, AtSpan)]
    return [(name, turn.request[at.start : at.end]) for name, at in spans]


pieces = st.lists(st.tuples(st.text("aé 🍕\n", max_size=4), st.none() | st.sampled_from(["city", "state"])), max_size=6)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(utterances=st.lists(pieces, max_size=4))
def test_snips_spans_cut_marked_pieces(utterances: list[list[tuple[str, str | None]]], tmp_path: Path):
    told = [[{"text": t} if name is None else {"text": t, "entity": name} for t, name in data] for data in utterances]
    file = tmp_path / "validate_GetWeather.json"
    file.write_text(json.dumps({"GetWeather": [{"data": data} for data in told]}))
    found = list(snips.READER.read(file, {}))
    assert len(found) == len(utterances)
    for data, item in zip(utterances, found, strict=True):
        text = "".join(piece for piece, _ in data)
        if isinstance(item, Rejected):
            assert (not text.strip(), item.field, item.reason) == (True, "data", "empty_text")
            continue
        assert isinstance(item, Dialogue)
        assert (item.source, item.turns[0].request, item.turns[0].response) == ("snips/validate", text, "")
        assert slots(item) == [(name, piece.strip()) for piece, name in data if name is not None and piece.strip()]


def test_snips_small_file_with_full_file_is_skipped(tmp_path: Path):
    for name in ("train_RateBook", "train_RateBook_full", "validate_RateBook", "train_PlayMusic"):
        (tmp_path / f"{name}.json").write_text(json.dumps({name.split("_")[1]: [{"data": [{"text": name}]}]}))
    texts = [d.turns[0].request for d in Log([tmp_path], "snips", max_bad_rate=0)]
    assert texts == ["train_PlayMusic", "train_RateBook_full", "validate_RateBook"]


def slurp_line(sentence: str, annotation: str, folder: Path) -> Dialogue | Rejected:
    about = {"slurp_id": 7, "intent": "a_b", "scenario": "a", "action": "b"}
    (folder / "train.jsonl").write_text(
        json.dumps({**about, "sentence": sentence, "sentence_annotation": annotation}) + "\n"
    )
    (found,) = slurp.READER.read(folder, {})
    assert not isinstance(found, Remark)
    return found


@pytest.mark.parametrize(
    ("sentence", "annotation", "expected"),
    [
        ("Call Bob's dad", "call [person : bob's] [relation : dad]", [("person", "Bob's"), ("relation", "dad")]),
        ("tell me about rihanna now", "tell me about [artist : rihana] now", [("artist", "rihanna")]),
        ("call my bob", "call [person : bob]", [("person", "bob")]),
        ("call bob please", "call [person : bob]", [("person", "bob")]),
        ("in orlando florida", "in [place : orlando fl]", [("place", "orlando florida")]),
        ("call bo", "call [person : bob] [relation : dad]", "'bob' is not in the sentence"),
        ("call bob", "call [person : bob", "not marked as"),
    ],
)
def test_slurp_corrected_sentence_gives_slots(
    sentence: str, annotation: str, expected: list[tuple[str, str]] | str, tmp_path: Path
):
    found = slurp_line(sentence, annotation, tmp_path)
    if isinstance(found, Rejected):
        assert (found.field, found.line) == ("sentence_annotation", 1)
        assert str(expected) in found.reason
    else:
        assert slots(found) == expected


words = st.lists(
    st.tuples(st.text("abéß🍕", min_size=1, max_size=4), st.none() | st.sampled_from(["date", "person"])), min_size=1
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(words=words)
def test_slurp_spans_cut_marked_words(words: list[tuple[str, str | None]], tmp_path: Path):
    annotation = " ".join(word if name is None else f"[{name} : {word}]" for word, name in words)
    found = slurp_line(" ".join(word for word, _ in words), annotation, tmp_path)
    assert isinstance(found, Dialogue)
    assert slots(found) == [(name, word) for word, name in words if name is not None]


def test_snips_part_option_gives_published_part(tmp_path: Path):
    for name in ("train_PlayMusic_full", "train_PlayMusic", "validate_PlayMusic"):
        (tmp_path / f"{name}.json").write_text(json.dumps({"PlayMusic": [{"data": [{"text": name}]}]}))
    said = {
        part: [d.turns[0].request for d in Log([tmp_path], "snips", {"part": part})] for part in ("train", "validate")
    }
    assert said == {"train": ["train_PlayMusic_full"], "validate": ["validate_PlayMusic"]}
    with pytest.raises(UsageError, match="--part is 'test'"):
        list(Log([tmp_path], "snips", {"part": "test"}))
