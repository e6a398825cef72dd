"""`labelgen label --normalizer` with an installed function and a tiny untrained model."""

from pathlib import Path

import pytest
import torch
from labeled import LABELS, labeled_dialogue
from plugins import install

from labelgen.cli.main import main
from labelgen.data.labels import AtSpan
from labelgen.data.log import Log, write_log
from labelgen.model.folder import load_model, save_model
from labelgen.tasks.slots import SlotsHead


def run(*words: object) -> int:
    return main(list(map(str, words)))


def test_label_with_a_normalizer_writes_values_with_origin_and_verifies(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    install(monkeypatch, tmp_path / "plugins", "labelgen.normalizers", "upper", "toy_normalizer:normalize")
    source, out, folder = tmp_path / "in", tmp_path / "out", tmp_path / "model"
    source.mkdir()
    write_log(source / "log.jsonl", [labeled_dialogue(seed, 5) for seed in range(6)], LABELS)
    # Untrained, it finds no slots; so tokens outside of slots get a low score.
    model = load_model(tiny_model)
    head = model.heads["slots"]
    assert isinstance(head, SlotsHead)
    with torch.no_grad():
        head.outside.bias.sub_(3.0)
    save_model(model, folder, {})
    assert run("label", source, out, "--model", folder, "--workers", "1", "--normalizer", "upper") == 0
    origins = set()
    for dialogue in Log([out / "log.jsonl"]):
        annotation = dialogue.annotations[-1]
        assert annotation.provenance is not None
        assert annotation.provenance.values == "upper"
        for label in annotation.labels:
            if isinstance(label.at, AtSpan):
                text = dialogue.turns[label.at.turn].request[label.at.start : label.at.end]
                known = len(text) == 4
                assert (label.value, label.origin) == (text.upper() if known else text, "upper" if known else "text")
                origins.add(label.origin)
            else:
                assert label.origin is None
    assert origins == {"upper", "text"}
    assert run("verify", out, "--input", source, "--sample", "1", "--model", folder) == 0
    assert run("label", source, tmp_path / "other", "--model", tmp_path / "none", "--normalizer", "lower") == 2
    assert "unknown normalizer" in capsys.readouterr().err
