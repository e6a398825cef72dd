"""Odd dialogues, odd features and models that were tampered with: finite labels or a refusal, never a crash."""

import json
import math

import msgspec
import pytest
from some_logs import write_lines

from labelgen.cli.main import main
from labelgen.data.dialogue import Category, Dialogue, Number, Turn
from labelgen.data.labels import Annotation, AtTurn, Label
from labelgen.data.log import write_log
from labelgen.model.annotator import Annotator


def turn(request="play the red lamp", response="ok", **more) -> Turn:
    return Turn(request=request, response=response, **more)


ODD = [
    Dialogue(id="empty", turns=(), source="toy"),
    Dialogue(id="silent", turns=(turn("", ""), turn("", "")), source="toy"),
    Dialogue(id="one_sided", turns=tuple(turn(response="") for _ in range(5)), source="toy"),
    Dialogue(id="assistant_alone", turns=(turn(request=""),), source="toy"),
    Dialogue(id="long_turn", turns=(turn("rain in paris " * 2000),), source="toy"),
    Dialogue(id="strange", turns=(turn("\u202e\U0001f600\x00\ufeff" * 9),), source="toy"),
    Dialogue(
        id="unseen",
        turns=(turn(domain="never", status="heard", categories=(Category(name="screen", value="of"),)),),
        device="toaster",
        locale="xx",
        source="toy",
    ),
    Dialogue(
        id="huge",
        turns=tuple(turn(time_s=t * 1e300, numbers=(Number(name="volume", value=1.7e308),)) for t in range(3)),
        source="toy",
    ),
    Dialogue(
        id="foreign_labels",
        turns=(turn(),),
        source="toy",
        annotations=(Annotation("anna", "person", (Label("intents", AtTurn(0), "NoSuchIntent"),)),),
    ),
]


def test_odd_dialogues_have_finite_labels(tiny_model):
    said = Annotator(tiny_model).annotate(ODD)
    assert said[0].labels == ()
    for annotation in said[1:]:
        assert annotation.labels or annotation.none
        for label in annotation.labels:
            assert label.probability is None or 0.0 <= label.probability <= 1.0
            assert all(math.isfinite(p) for _, p in label.distribution or ())


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"time_s": math.nan}, "time_s"),
        ({"asr_confidence": math.inf}, "asr_confidence"),
        ({"numbers": (Number(name="volume", value=math.nan),)}, "numbers"),
    ],
)
def test_nan_numbers_are_quarantined(tiny_model, tmp_path, capsys, given, field):
    """In Parquet, where they can stand, as in JSON, where they cannot; the others get their labels."""
    dialogues = [
        Dialogue(id="good", turns=(turn(),), source="toy"),
        Dialogue(id="bad", turns=(turn(**given),), source="toy"),
    ]
    plain = [json.dumps(msgspec.to_builtins(d) | {"annotations": []}) for d in dialogues]
    write_lines(tmp_path / "in" / "a.jsonl", plain)
    write_log(tmp_path / "in" / "b.parquet", dialogues)
    words = ["label", str(tmp_path / "in"), str(tmp_path / "out"), "--model", str(tiny_model), "--workers", "1"]
    assert main([*words, "--max-bad-rate", "1"]) == 0
    told = capsys.readouterr().out
    assert "2 of 4 dialogues labeled" in told
    assert "not_finite 2" in told
    for name in ("a.jsonl", "b.parquet"):
        (line,) = (tmp_path / "out" / f"{name}.quarantine.jsonl").read_text().splitlines()
        assert field in json.loads(line)["field"]
