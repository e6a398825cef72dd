"""scripts/train_ablations.py and measure_ablations.py: every variant trains, differs by what it says, and has its row."""

import json
from contextlib import nullcontext
from pathlib import Path

import ablation_variants as variants
import measure_ablations as measure
import pytest
import torch
import train_ablations as trainings
import trainings_here as here
from hypothesis import given
from hypothesis import strategies as st
from labeled import labeled_dialogue
from small_training import CONFIGS, SMALL, labeled_log
from tiny import write_tiny_encoder

from labelgen.base.options import read_options
from labelgen.data.labels import AtSpan
from labelgen.data.log import Log
from labelgen.nn import embedding_cache, turn_encoder
from labelgen.nn.embedding_cache import EmbeddingCache
from labelgen.training.options import FinetuneOptions

ROOT = Path(__file__).parents[2]


def slots_of(dialogue) -> list[tuple[int, str, str]]:
    spans = [(x.at, x.name) for x in dialogue.annotations[0].labels if isinstance(x.at, AtSpan)]
    return [(at.turn, dialogue.turns[at.turn].request[at.start : at.end], name) for at, name in spans]


@given(st.integers(0, 500))
def test_another_text_keeps_every_span_on_its_words(seed: int):
    dialogue = labeled_dialogue(seed)
    for text in (variants.request_alone, variants.one_text, variants.after_response):
        changed = text(dialogue)
        assert slots_of(changed) == slots_of(dialogue)
        assert len(changed.turns) == len(dialogue.turns)
    said = [word for t in dialogue.turns for word in f"{t.request} {t.response}".split()]
    assert [word for t in variants.one_text(dialogue).turns for word in t.request.split()] == said


def test_exchanged_parts_are_put_back():
    used = [vars(module) for module in (embedding_cache, turn_encoder)]
    states = torch.randn(2, 3, 4)
    with variants.first_token():
        assert all(module["mean_pool"](states).equal(states[:, 0]) for module in used)
    assert all(module["mean_pool"](states).allclose(states.mean(1)) for module in used)


class Counting(EmbeddingCache):
    """How many texts were encoded."""

    encoded = 0

    def embed(self, passages, encode, with_tokens):
        def counted(groups):
            self.encoded += sum(len(ids) for ids in groups)
            return encode(groups)

        return super().embed(passages, counted, with_tokens)


def test_trainings_that_share_an_encoder_encode_a_text_once(tiny_encoder: Path, tmp_path: Path):
    log, memory = labeled_log(tmp_path / "log" / "log.jsonl", range(8), 3), Counting()
    dialogues = list(Log([log]))
    words = [f"--config={CONFIGS / name}.yaml" for name in ("public_cpu", "label_curves")]
    words += [f"--data.train=[{log}]", "--targets.annotators=[anna]", *SMALL]
    encoded = []
    for run in ("a", "b"):
        own = [
            f"--out={tmp_path / run}",
            f"--model.encoder={tiny_encoder}",
            "--model.encoder_frozen=true",
            "--length.max_steps=3",
        ]
        model = here.trained(read_options(FinetuneOptions, words, own), memory)
        encoded.append(memory.encoded)
        assert model.turn_encoder.embedding_cache is memory
        said = here.signed(model, dialogues, "anna")
        assert [d.annotations[:-1] for d in said] == [d.annotations for d in dialogues]
    assert 0 < encoded[0] == encoded[1] == memory.encoded


@pytest.mark.parametrize("variant", [v for table in variants.TABLES.values() for v in table], ids=lambda v: v.name)
def test_every_variant_has_options_of_its_own_and_one_to_stand_beside(variant, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(ROOT)
    words = [word for config in here.CONFIGS for word in ("--config", config)]
    words += ["--out", "run", "--data.train", "[log.jsonl]", *trainings.FROZEN]
    plain, own = (read_options(FinetuneOptions, words, more) for more in ((), variant.words))
    changed = [own != plain, variant.text is not None, variant.part is not nullcontext, variant.mixture is not None]
    changed.append(variant.online)
    assert any(changed) == (variant.beside is not None)
    table = next(table for table in variants.TABLES.values() if variant in table)
    assert variant.beside is None or variant.beside in [v.name for v in table]
    assert len({v.name for v in table}) == len({(v.group, v.what) for v in table}) == len(table)


def test_a_model_that_is_kept_judges_another_log_without_a_training(
    tiny_encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(ROOT)
    train = labeled_log(tmp_path / "train" / "log.jsonl", range(12), 3)
    one, two = (labeled_log(tmp_path / str(k) / "log.jsonl", range(k, k + 6), 3) for k in (20, 30))
    words = ["--table", "context", "--only", "request", "--train", str(train), "--against", "anna"]
    words += ["--encoder", str(tiny_encoder), "--dialogues", "8", "--judged", "6", "--models", str(tmp_path / "models")]
    assert trainings.main([str(tmp_path / "a"), *words, "--test", str(one), "--", *SMALL]) == 0
    monkeypatch.setattr(trainings, "trained", None)
    for run, test in (("b", one), ("c", two)):
        assert trainings.main([str(tmp_path / run), *words, "--test", str(test), "--", *SMALL]) == 0
    first, again, other = ((tmp_path / run / "request-1.jsonl").read_bytes() for run in "abc")
    assert first == again != other
    assert {d.id for d in Log([tmp_path / "c" / "request-1.jsonl"])} == {d.id for d in Log([two])}


CHOSEN = (
    "reference",
    "pretrained",
    "no-splice",
    "after-response",
    "first-token",
    "tokens-alone",
    "in-dialogue",
    "goals",
)
"""One of each kind; the others differ in their options alone."""


def test_a_variant_is_trained_once_and_has_its_row(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(ROOT)
    # Where response and request are one text, more of it is read.
    encoder = write_tiny_encoder(tmp_path / "encoder", most_tokens=160)
    train = labeled_log(tmp_path / "train" / "log.jsonl", range(12), 3)
    test, run = labeled_log(tmp_path / "test" / "log.jsonl", range(20, 32), 3), tmp_path / "run"
    words = [str(run), "--table", "public", "--train", str(train), "--test", str(test), "--against", "anna"]
    words += ["--encoder", str(encoder), "--dialogues", "8", "--judged", "6", "--unlabeled", "10"]
    words += ["--pretraining-steps", "1"]
    assert trainings.main([*words, "--only", *CHOSEN, "--minutes", "0", "--", *SMALL]) == 0
    assert f"{len(CHOSEN)} of {len(CHOSEN)} trainings are left" in capsys.readouterr().out
    assert trainings.main([*words, "--only", *CHOSEN, "--", *SMALL]) == 0
    assert trainings.main([*words, "--only", "reference", "--seeds", "1", "2", "--", *SMALL]) == 0
    made = {path: path.stat().st_mtime_ns for path in run.glob("*.jsonl")}
    assert len(made) == len(CHOSEN) + 1
    assert trainings.main([*words, "--only", *CHOSEN, "--", *SMALL]) == 0
    assert made == {path: path.stat().st_mtime_ns for path in run.glob("*.jsonl")}
    assert len({tuple(d.id for d in Log([path])) for path in made}) == 1
    assert trainings.main([*words, "--only", "nothing", "--", *SMALL]) == 2

    asked = [str(run), "--table", "public", "--against", "anna", "--judged", "6", "--resamples", "20"]
    assert measure.main([*asked, "--out", str(tmp_path / "table.json")]) == 0
    table = json.loads((tmp_path / "table.json").read_text())
    assert {len(row) for row in table["rows"]} == {len(table["columns"])}
    rows = {row[1]: row for row in table["rows"]}
    named = {v.name: v for v in variants.PUBLIC}
    assert set(rows) == {"seed 2 beside seed 1", *(named[name].what for name in CHOSEN)}
    row, beside = rows[named["no-splice"].what], rows[named["pretrained"].what]
    for value, difference, theirs in zip(row[3::2], row[4::2], beside[3::2], strict=True):
        assert difference["value"] == pytest.approx(value - theirs, abs=3e-4)
    assert rows["goals"][5:] == [None] * len(rows["goals"][5:])
    other = [word.replace("public", "context") for word in asked]
    assert measure.main([*other, "--out", str(tmp_path / "context.json")]) == 0
    context = json.loads((tmp_path / "context.json").read_text())
    assert [name.rpartition(", ")[0] for name in context["columns"][3::2]] == list(
        measure.ABOUT["context"].columns.values()
    )
    assert context["rows"][0][4::2] == [None] * 3
    (run / "reference-1.jsonl").unlink()
    assert measure.main([*asked, "--out", str(tmp_path / "other.json")]) == 3


def test_one_training_is_judged_with_all_turns_and_online(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(ROOT)
    encoder = write_tiny_encoder(tmp_path / "encoder")
    train = labeled_log(tmp_path / "train" / "log.jsonl", range(12), 3)
    test, run = labeled_log(tmp_path / "test" / "log.jsonl", range(20, 32), 3), tmp_path / "run"
    words = [str(run), "--table", "masks", "--train", str(train), "--test", str(test), "--against", "anna"]
    words += ["--encoder", str(encoder), "--dialogues", "8", "--judged", "6", "--", *SMALL]
    assert trainings.main(words) == 0
    said = {v.name: [d.annotations[-1] for d in Log([run / f"{v.name}-1.jsonl"])] for v in variants.MASKS}
    assert all(said[name] != said[f"{name}-online"] for name in ("reference", "half", "online"))
    asked = [str(run), "--table", "masks", "--against", "anna", "--judged", "6", "--resamples", "20"]
    assert measure.main([*asked, "--out", str(tmp_path / "table.json")]) == 0
    assert len(json.loads((tmp_path / "table.json").read_text())["rows"]) == len(variants.MASKS)
