"""Model folders that somebody made to harm: each is exit code 4, runs no code, and has nothing read outside of it."""

import json
import math
import os
import pickle
import random
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from changed_folders import Change, name_all, put, text
from labeled import labeled_dialogue
from safetensors.torch import load_file, save_file
from some_logs import record, write_lines

from labelgen.base.errors import IntegrityError
from labelgen.base.files import digest_file
from labelgen.cli.main import main
from labelgen.model.annotator import Annotator


class RunsCode:
    def __reduce__(self):
        return (Path.touch, (Path("canary"),))


def half(name: str) -> Change:
    return lambda folder: text(name, (folder / name).read_bytes()[: (folder / name).stat().st_size // 2])(folder)


def gone(name: str) -> Change:
    return lambda folder: (folder / name).unlink()


def without(name: str, key: str) -> Change:
    def change(folder: Path) -> None:
        held = json.loads((folder / name).read_text(encoding="utf-8"))
        del held[key]
        text(name, json.dumps(held))(folder)

    return change


def weights(alter: Callable[[dict[str, torch.Tensor]], object]) -> Change:
    def change(folder: Path) -> None:
        path = folder / "weights.safetensors"
        held = {name: tensor.clone() for name, tensor in load_file(path).items()}
        alter(held)
        path.unlink()
        save_file({name: tensor.contiguous() for name, tensor in held.items()}, path)

    return change


def one_number(value: float) -> Change:
    def alter(held: dict[str, torch.Tensor]) -> None:
        held["dialogue_encoder.norm.weight"][0] = value

    return weights(alter)


def header(content: bytes, size: int | None = None) -> Change:
    return text("weights.safetensors", (len(content) if size is None else size).to_bytes(8, "little") + content)


def named(name: str) -> Change:
    """With a digest of the file that it does not have."""

    def change(folder: Path) -> None:
        held = json.loads((folder / "digests.json").read_text(encoding="utf-8"))
        text("digests.json", json.dumps({**held, name: "0" * 64}))(folder)

    return change


def link(name: str, to: str) -> Change:
    def change(folder: Path) -> None:
        (folder / name).unlink(missing_ok=True)
        (folder / name).symlink_to(to)

    return change


def link_folder(folder: Path) -> None:
    (folder / "tokenizer").rename(folder.parent / "elsewhere")
    (folder / "tokenizer").symlink_to(folder.parent / "elsewhere")


def calibration(**changed: Any) -> Change:
    scaling = {"kind": "none"}
    one = {
        "task": "quality",
        "unit": "turn",
        "labels": scaling,
        "none": scaling,
        "certificate": {"threshold": 0.5},
        "measured": {},
    }
    held = {
        "version": "0",
        "model_digest": "",
        "data_digest": "",
        "against": "",
        "max_error": 0.1,
        "confidence": 0.9,
        "command": "",
        "tasks": [one],
    }
    for key, value in changed.items():
        (one if key in one else held)[key] = value
    return text("calibration.json", json.dumps(held))


def more_tokens(folder: Path) -> None:
    path = folder / "tokenizer" / "tokenizer.json"
    held = json.loads(path.read_text(encoding="utf-8"))
    held["added_tokens"].append({**held["added_tokens"][0], "id": 70_000, "content": "zzz", "special": False})
    text("tokenizer/tokenizer.json", json.dumps(held))(folder)


M, E, T = "config.json", "encoder.json", "tokenizer/tokenizer.json"
DEEP = "[" * 100_000 + "]" * 100_000
EVERY = ("config.json", "encoder.json", "card.json", "weights.safetensors", T)

LISTED: dict[str, Change] = {
    **{f"half {name}": half(name) for name in EVERY},
    **{f"empty {name}": text(name, "") for name in EVERY},
    **{f"deep {name}": text(name, DEEP) for name in (*EVERY, "calibration.json")},
    **{f"a list as {name}": text(name, "[]") for name in (*EVERY, "calibration.json")},
    **{f"no {name}": gone(name) for name in EVERY},
    **{f"not UTF-8 {name}": text(name, b'{"a": "\xff\xfe"}') for name in ("config.json", "encoder.json", "card.json")},
    "another form": put(M, "form", 10**6),
    "form 0": put(M, "form", 0),
    "form as text": put(M, "form", "4"),
    "no options": without(M, "options"),
    "no task": put(M, "tasks", {}),
    "a task that is code": put(M, "tasks", {"os:system": {"options": {}, "labels": {}}}),
    "an unknown task": lambda folder: put(
        M, "tasks.sums", json.loads((folder / M).read_text())["tasks"]["quality"] | {}
    )(folder),
    "a task's labels of another": put(M, "tasks.quality.labels.task", "intents"),
    "other names of a task": put(M, "tasks.quality.labels.names.0.name", "awful"),
    "no labels": put(M, "tasks.intents.labels.names", []),
    "a label more": put(M, "tasks.slots.labels.names", [{"name": f"s{k}"} for k in range(4)]),
    **{f"width {n}": put(M, "options.dialogue_width", n) for n in (-32, 0, 64, 2**40, 10**30)},
    **{f"heads {n}": put(M, "options.dialogue_heads", n) for n in (-1, 0, 5)},
    **{f"layers {n}": put(M, "options.dialogue_layers", n) for n in (-1, 2, 900_000)},
    **{f"{n} tokens of a text": put(M, "options.max_tokens", n) for n in (-1, 0, 100_000, 2**63)},
    "sound without weights": put(M, "options.sound", True),
    "a million values": put(M, "features.categories.0.values", [str(k) for k in range(1_000_000)]),
    "words without weights": put(M, "features.words", {"request": ["play"], "response": []}),
    "auto_map": put(E, "auto_map", {"AutoModel": "evil.Evil", "AutoConfig": "evil.Evil"}),
    "a kernel of a hub": put(E, "_attn_implementation", "someone/kernel"),
    "a kernel of a hub, in public": put(E, "attn_implementation", "someone/kernel@main:attend"),
    "a kernel, within": put(E, "_attn_implementation_internal", "someone/kernel"),
    "experts": put(E, "_experts_implementation", "someone/kernel"),
    "a nested kernel": put(E, "text_config", {"_attn_implementation": "someone/kernel"}),
    "a kernel in a list": put(E, "layers", [{"experts_implementation": "someone/kernel"}]),
    "quantization": put(E, "quantization_config", {"quant_method": "awq"}),
    "compression": put(E, "compression_config", {"quant_method": "compressed-tensors"}),
    "pipelines": put(E, "custom_pipelines", {"x": {"impl": "evil.Evil"}}),
    "kernels wanted": put(E, "use_hub_kernels", True),
    "no architecture": without(E, "model_type"),
    "an unknown architecture": put(E, "model_type", "evil"),
    "an architecture that is no name": put(E, "model_type", ["roberta"]),
    "an architecture of files": put(E, "model_type", "rag"),
    "an architecture of images": put(E, "model_type", "vit"),
    "an architecture with parts": put(E, "model_type", "clip"),
    "another architecture": put(E, "model_type", "deberta-v2"),
    **{f"encoder width {n}": put(E, "hidden_size", n) for n in (-32, 0, 30, 64, 2**31, 2**80, "32", None)},
    **{f"encoder heads {n}": put(E, "num_attention_heads", n) for n in (-2, 0, 3)},
    **{f"encoder layers {n}": put(E, "num_hidden_layers", n) for n in (-1, 0, 1, 10**9, 10**30)},
    **{f"vocabulary {n}": put(E, "vocab_size", n) for n in (-1, 0, 10, 10**12)},
    **{f"places {n}": put(E, "max_position_embeddings", n) for n in (-1, 4, 10**12)},
    "an activation that is code": put(E, "hidden_act", "os.system"),
    "an activation of nothing": put(E, "hidden_act", None),
    "a token of padding beyond": put(E, "pad_token_id", 10**6),
    "a decoder": put(E, "add_cross_attention", True),
    "a weight that is no number": one_number(math.nan),
    "an endless weight": one_number(math.inf),
    "weights that overflow": weights(lambda held: held["turn_encoder.encoder.embeddings.LayerNorm.weight"].fill_(3e38)),
    "a weight too many": weights(lambda held: held.update(evil=torch.zeros(3))),
    "a weight missing": weights(lambda held: held.pop("dialogue_encoder.norm.weight")),
    "a weight of another size": weights(lambda held: held.update({"dialogue_encoder.norm.weight": torch.zeros(33)})),
    "a weight of another type": weights(
        lambda held: held.update({"dialogue_encoder.norm.weight": torch.zeros(32, dtype=torch.int64)})
    ),
    "no weights at all": weights(lambda held: held.clear()),
    "weights that are pickled": text("weights.safetensors", pickle.dumps(RunsCode())),
    "a header of 2^60 bytes": header(b"{}", 2**60),
    "a header that ends early": header(b'{"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4'),
    "a tensor of 2^60 numbers": header(
        b'{"a": {"dtype": "F32", "shape": [1152921504606846976], "data_offsets": [0, 4]}}    '
    ),
    "a negative shape": header(b'{"a": {"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]}}    '),
    "a token that the encoder does not know": more_tokens,
    "a tokenizer of nothing": text(T, "{}"),
    "a special token beyond": put(T, "post_processor.cls", ["<s>", 10**6]),
    "a negative token": put(T, "post_processor.cls", ["<s>", -1]),
    "a normalizer that is code": put(T, "normalizer", {"type": "os.system"}),
    "a vocabulary of text": put(T, "model.vocab", "/etc/passwd"),
    "a side that is none": put("tokenizer/tokenizer_config.json", "truncation_side", "up"),
    "tokenizer settings of a list": text("tokenizer/tokenizer_config.json", "[]"),
    "half tokenizer settings": half("tokenizer/tokenizer_config.json"),
    "a digest that is a number": put("card.json", "data_digest", 7),
    "feedback as text": put("card.json", "learned_from_feedback", "no"),
    "half a calibration": text("calibration.json", '{"form": 1, "ver'),
    "a kind of scaling that is code": calibration(labels={"kind": "os.system"}),
    "weights of too few names": calibration(labels={"weights": [1.0]}),
    "a threshold of 2": calibration(certificate={"threshold": 2.0}),
    "a threshold as text": calibration(certificate={"threshold": "high"}),
    "a calibrated task that is unknown": calibration(task="sums"),
    "a calibrated unit that is unknown": calibration(unit="word"),
    "a calibration of another form": calibration(form=99),
}
"""What stands in the files, with digests that agree."""

UNLISTED: dict[str, Change] = {
    "no digests": gone("digests.json"),
    "half the digests": half("digests.json"),
    "empty digests": text("digests.json", "{}"),
    "digests of a list": text("digests.json", "[]"),
    "deep digests": text("digests.json", DEEP),
    "digests of numbers": text("digests.json", '{"config.json": 1}'),
    **{f"{name} not named": without("digests.json", name) for name in EVERY},
    **{f"another digest of {name}": named(name) for name in EVERY},
    "a digest outside": named("../canary.txt"),
    "a digest of the root": named("/etc/passwd"),
    "a digest of a folder": named("tokenizer"),
    "a file of nobody": text("evil.py", "open('canary', 'w')"),
    "tokens added": text("tokenizer/added_tokens.json", '{"play": 3}'),
    "a config beside the tokenizer": text("tokenizer/config.json", '{"auto_map": {"AutoTokenizer": "evil.Evil"}}'),
    "a hidden file": text("tokenizer/.hidden", ""),
    "a README within": text("tokenizer/README.md", ""),
    "a calibration of nobody": calibration(),
    "a linked file": link("card.json", "../secret.json"),
    "a linked README": link("README.md", "/etc/passwd"),
    "linked digests": lambda folder: (
        shutil.copy(folder / "digests.json", folder.parent / "d.json"),
        link("digests.json", "../d.json")(folder),
    ),
    "a linked folder": link_folder,
    "a link to nothing": link("more", "/nowhere"),
    "a pipe": lambda folder: os.mkfifo(folder / ".gitattributes"),
}
"""What the digests do not cover."""

HOSTILE = {**LISTED, **UNLISTED}


def hostile(name: str, model: Path, place: Path) -> Path:
    (place / "canary.txt").write_text("not to be read", encoding="utf-8")
    folder = place / "m"
    shutil.copytree(model, folder)
    HOSTILE[name](folder)
    if name in LISTED:
        name_all(folder)
    return folder


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_model_is_refused_without_code(tiny_model, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    folder = hostile(name, tiny_model, tmp_path)
    opened: list[str] = []
    monkeypatch.setattr(sys, "_opened_by_test", opened, raising=False)
    with pytest.raises(IntegrityError) as refused:
        Annotator(folder)
    error = refused.value
    assert error.what
    assert error.hint
    assert str(folder) in error.where
    assert not (tmp_path / "canary").exists()
    outside = [path for path in opened if Path(path).name in ("canary.txt", "passwd", "secret.json")]
    assert not outside


def _record(event: str, args: tuple[Any, ...]) -> None:
    opened = getattr(sys, "_opened_by_test", None)
    if event == "open" and opened is not None:
        opened.append(str(args[0]))


sys.addaudithook(_record)


@pytest.mark.parametrize(
    "name", ["half config.json", "auto_map", "a weight that is no number", "empty digests", "tokens added", "heads -1"]
)
def test_hostile_model_exits_4(tiny_model, tmp_path, monkeypatch, capsys, name):
    monkeypatch.chdir(tmp_path)
    folder = hostile(name, tiny_model, tmp_path)
    write_lines(tmp_path / "in" / "a.jsonl", [record("d1")])
    words = ["label", str(tmp_path / "in"), str(tmp_path / "out"), "--model", str(folder), "--workers", "1"]
    assert main(words) == IntegrityError.exit_code == 4
    told = capsys.readouterr().err
    assert "Traceback" not in told
    assert "where:" in told
    assert not (tmp_path / "canary").exists()
    assert not list((tmp_path / "out").rglob("*.jsonl"))


def test_hostile_model_in_workers_exits_4(tiny_model, tmp_path, capfd):
    folder = hostile("encoder layers 1000000000", tiny_model, tmp_path)
    write_lines(tmp_path / "in" / "a.jsonl", [record("d1")])
    words = ["label", str(tmp_path / "in"), str(tmp_path / "out"), "--model", str(folder), "--workers", "2"]
    assert main(words) == 4
    assert "Traceback" not in capfd.readouterr().err


def test_model_extra_hub_files_are_ignored(tiny_model, tmp_path):
    folder = Path(shutil.copytree(tiny_model, tmp_path / "m"))
    for name in ("README.md", ".gitattributes"):
        text(name, "what a hub writes")(folder)
    assert Annotator(folder).provenance.model_digest == digest_file(tiny_model / "digests.json")


@pytest.mark.parametrize("part", ["heads", "dialogue_encoder", "fusion"])
def test_model_with_nan_labels_ends_run(tiny_model, tmp_path, capsys, part):
    folder = Path(shutil.copytree(tiny_model, tmp_path / "m"))
    weights(lambda held: [w.fill_(3e38) for name, w in held.items() if name.startswith(part)])(folder)
    name_all(folder)
    write_lines(tmp_path / "in" / "a.jsonl", [record("d1")])
    words = ["label", str(tmp_path / "in"), str(tmp_path / "out"), "--model", str(folder), "--workers", "1"]
    assert main(words) == 4
    assert "probabilities that are not finite" in capsys.readouterr().err
    assert not (tmp_path / "out" / "a.jsonl").exists()


def test_training_from_hostile_model_is_refused(tiny_model, tmp_path):
    """Training from it, calibrating it and reading its card refuse it alike."""
    from labelgen.model.calibration import read_calibration
    from labelgen.model.folder import load_model, read_card

    for name, read in (
        ("auto_map", load_model),
        ("a list as card.json", read_card),
        ("a threshold of 2", read_calibration),
    ):
        place = tmp_path / name.replace(" ", "_")
        place.mkdir()
        with pytest.raises(IntegrityError):
            read(hostile(name, tiny_model, place))


ODD: tuple[Any, ...] = (None, -1, 0, 1, 3, 2**40, 2**70, -0.5, 1e300, "x", "", [], {}, [1], {"a": 1}, True)


def places(held: Any, within: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Paths of the values in a JSON value; of long objects and lists the first ones."""
    keys = list(held)[:12] if isinstance(held, dict) else range(min(2, len(held))) if isinstance(held, list) else ()
    for key in keys:
        yield (*within, key)
        yield from places(held[key], (*within, key))


@pytest.mark.parametrize("name", ["encoder.json", T])
def test_model_odd_value_is_refused_or_labels(tiny_model, tmp_path, name):
    """Drawn by a seed: nothing but IntegrityError, at loading or at labeling."""
    rng = random.Random(name)
    whole = Path(shutil.copytree(tiny_model, tmp_path / "whole"))
    calibration()(whole)
    held = json.loads((whole / name).read_text(encoding="utf-8"))
    found = list(places(held))
    refused = 0
    for _ in range(12):
        folder = Path(shutil.copytree(whole, tmp_path / "m", dirs_exist_ok=True))
        changed = json.loads(json.dumps(held))
        *way, last = rng.choice(found)
        at = changed
        for key in way:
            at = at[key]
        at[last] = rng.choice(ODD)
        text(name, json.dumps(changed))(folder)
        name_all(folder)
        try:
            Annotator(folder).annotate([labeled_dialogue(1, turns=3)])
        except IntegrityError:
            refused += 1
    assert refused
