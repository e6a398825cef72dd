"""scripts/measure_pretraining.py: what is asked of a pretrained model, and that its table holds every answer."""

import json
from pathlib import Path

import measure_pretraining as measure
import numpy as np
import pretraining_probes as probes
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_training import labeled_log, pretrained

from labelgen.data.log import write_log
from labelgen.pretraining.corruption import NEGATIVES


@given(st.lists(st.tuples(st.integers(-3, 3), st.sampled_from("abc")), min_size=1, max_size=8), st.data())
def test_a_rank_counts_other_texts_that_score_more_each_once(row: list[tuple[int, str]], data: st.DataObject):
    own = data.draw(st.integers(0, len(row) - 1))
    scores, texts = np.array([float(score) for score, _ in row]), [text for _, text in row]
    better = {text for score, text in row if score > row[own][0]} - {texts[own]}
    assert probes.rank(scores, texts, own) == 1 + len(better)


def test_the_table_holds_every_question_and_judge(tiny_encoder: Path, tmp_path: Path):
    log = labeled_log(tmp_path / "log" / "log.jsonl", range(12), 4)
    model = pretrained(log, tiny_encoder, tmp_path / "run")
    asked = [f"--model=one={model}", f"--log=toy={log}", f"--encoder={tiny_encoder}"]
    asked += ["--dialogues=8", "--resamples=20"]
    assert measure.main([*asked, "--out", str(tmp_path / "table.json")]) == 0
    assert measure.main([*asked, "--out", str(tmp_path / "again.json")]) == 0
    table, again = (json.loads((tmp_path / f"{name}.json").read_text()) for name in ("table", "again"))
    assert table["rows"] == again["rows"]
    told = [(row[1], row[2]) for row in table["rows"]]
    assert told == [
        *(("swapped", kind) for kind in NEGATIVES),
        ("order", None),
        ("selection", None),
        ("selection", None),
        ("splices", None),
        ("splices", None),
    ]
    assert {len(row) for row in table["rows"]} == {len(table["columns"])}
    for row in table["rows"]:
        assert row[4]["low"] <= row[4]["value"] <= row[4]["high"]
        assert (row[5] is None) == (row[1] in ("order", "splices"))
        if row[5] is not None:
            best = max(row[5]["value"], row[6]["value"])
            assert row[7]["value"] == pytest.approx(row[4]["value"] - best, abs=2e-4)
    frozen = pretrained(log, tiny_encoder, tmp_path / "frozen", "pretrain_frozen")
    asked[0] = f"--model=one={frozen}"
    assert measure.main([*asked, "--out", str(tmp_path / "frozen.json")]) == 0
    same = json.loads((tmp_path / "frozen.json").read_text())
    assert [c for c in table["columns"] if c not in same["columns"]] == ["cosine, one (95%)"]
    assert measure.main([*asked, "--model", "nameless", "--out", str(tmp_path / "other.json")]) == 2


def test_a_cosine_finds_answers_that_repeat_their_request(tiny_encoder: Path, tmp_path: Path):
    from labelgen.data.dialogue import Dialogue, Turn
    from labelgen.features.pretrained import load_encoder, load_tokenizer
    from labelgen.features.text import Tokenizer
    from labelgen.nn.turn_encoder import TurnEncoder

    said = [
        [" ".join([word] * count) for count in (1, 2)] for word in ("rain", "timer", "lamp", "milk", "paris", "list")
    ]
    log = [
        Dialogue(id=f"d{k}", turns=tuple(Turn(request=text, response=text) for text in texts))
        for k, texts in enumerate(said)
    ]
    write_log(tmp_path / "log.jsonl", log)
    lines = probes.lines_of()
    made = probes.Corruptions(str(tmp_path / "log.jsonl"), len(log), 0)
    encoder = TurnEncoder(load_encoder(str(tiny_encoder), 0.0), 32, frozen=True).eval()
    cosine = probes.Cosine(encoder, Tokenizer(load_tokenizer(str(tiny_encoder)), 64))
    probes.judge_cosine("cosine", cosine, made, lines)
    for line in lines.values():
        for rows in line.rows.values():
            assert float(line.value(rows, np.ones((1, len(log))))[0]) == 1.0
