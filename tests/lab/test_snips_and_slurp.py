"""SNIPS and SLURP: single requests, whose slots are cut where the corpora mark them."""

import json
import re
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benchmarks.readers import slurp, snips
from labelgen.base.errors import UsageError
from labelgen.data.dialogue import Dialogue
from labelgen.data.labels import AtSpan, AtTurn, answers
from labelgen.data.log import Log
from labelgen.data.reader import Remark
from labelgen.data.record import Rejected
from labelgen.data.stats import log_stats

SAMPLES = Path(__file__).parent / "samples"
INTENTS = [
    "AddToPlaylist",
    "BookRestaurant",
    "GetWeather",
    "PlayMusic",
    "RateBook",
    "SearchCreativeWork",
    "SearchScreeningEvent",
]


def slots(dialogue: Dialogue) -> list[tuple[str, str]]:
    """Each slot with the words that its span cuts."""
    (turn,), (annotation,) = dialogue.turns, dialogue.annotations
    spans = [(x.name, x.at) for x in annotation.labels if isinstance(x.at, AtSpan)]
    return [(name, turn.request[at.start : at.end]) for name, at in spans]


def intent(dialogue: Dialogue) -> str:
    (found,) = answers(dialogue.annotations[0], "intents")[AtTurn(0)]
    return found.name


def test_snips_utterance_keeps_text_and_slot_spans():
    weather, broken_line, music, emoji = snips.READER.read(SAMPLES / "snips", {})
    assert isinstance(weather, Dialogue)
    assert isinstance(broken_line, Dialogue)
    assert isinstance(music, Dialogue)
    assert isinstance(emoji, Dialogue)
    assert (weather.id, weather.source, intent(weather)) == ("snips/train/GetWeather/0", "snips/train", "GetWeather")
    assert slots(weather) == [("city", "Flint Hill"), ("timeRange", "in 9 years")]
    assert broken_line.turns[0].request.endswith("\n")
    assert slots(music)[0] == ("album", "Música Da Série De Filmes O Hobbit")
    assert ("playlist", "Pop Punk Perfection 🍕") in slots(emoji)


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


def test_slurp_slots_align_to_sentence():
    found = [d for d in slurp.READER.read(SAMPLES / "slurp", {}) if isinstance(d, Dialogue)]
    assert [slots(d) for d in found] == [
        [("person", "robert")],
        [("place_name", "orlando florida")],
        [("food_type", "thai"), ("order_type", "takeaways"), ("place_name", "grass market")],
        [],
        [("person", "jean's")],
    ]
    assert answers(found[3].annotations[0], "slots") == {AtTurn(0): ()}
    assert json.loads(found[3].extra or "") == {"scenario": "email", "action": "query"}


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


@pytest.mark.corpora
def test_snips_full_corpus_has_published_counts(corpora: Path):
    dialogues = list(Log([corpora / "snips"], "snips", max_bad_rate=0))
    cut: list[tuple[str, str]] = []
    for name in INTENTS:
        file = corpora / "snips" / "2017-06-custom-intent-engines" / name / f"train_{name}_full.json"
        plain = json.loads(file.read_bytes().decode("utf-8", "surrogatepass"))[name]
        cut += [(p["entity"], p["text"].strip()) for u in plain for p in u["data"] if "entity" in p]
    same = [(name, text.encode("utf-16", "surrogatepass").decode("utf-16")) for name, text in cut]
    assert [slot for d in dialogues if d.source == "snips/train" for slot in slots(d)] == same
    train = Counter(intent(d) for d in dialogues if d.source == "snips/train")
    assert [train[name] for name in INTENTS] == [1942, 1973, 2000, 2000, 1956, 1954, 1959]


@pytest.mark.corpora
def test_slurp_full_devel_part_has_published_counts(corpora: Path):
    file = corpora / "slurp" / "dataset" / "slurp" / "devel.jsonl"
    plain = [json.loads(line) for line in file.read_text().splitlines()]
    dialogues = list(Log([file], "slurp", max_bad_rate=0))
    found = log_stats(dialogues).tasks["person", "slots"]
    assert (len(dialogues), found.fields, found.none, found.labels.total()) == (2033, 2033, 646, 2022)
    differ = 0
    for told, dialogue in zip(plain, dialogues, strict=True):
        surface = [token["surface"].lower() for token in told["tokens"]]
        by_token = sorted((e["type"], "".join(surface[k] for k in e["span"])) for e in told["entities"])
        by_span = sorted((name, re.sub(r"\s", "", words).lower()) for name, words in slots(dialogue))
        differ += by_token != by_span
    assert differ == 4, "orlando florida, rihanna and obama were fixed after the tokens were cut; robert lost a comma"


def test_snips_part_option_gives_published_part(tmp_path: Path):
    for name in ("train_PlayMusic_full", "train_PlayMusic", "validate_PlayMusic"):
        (tmp_path / f"{name}.json").write_text(json.dumps({"PlayMusic": [{"data": [{"text": name}]}]}))
    said = {
        part: [d.turns[0].request for d in Log([tmp_path], "snips", {"part": part})] for part in ("train", "validate")
    }
    assert said == {"train": ["train_PlayMusic_full"], "validate": ["validate_PlayMusic"]}
    with pytest.raises(UsageError, match="--part is 'test'"):
        list(Log([tmp_path], "snips", {"part": "test"}))
