"""`labelgen label --normalize` and `--catalogue`, with a tiny untrained model."""

import json
from pathlib import Path

import pytest
import torch
from labeled import LABELS, labeled_dialogue
from msgspec.structs import replace

from labelgen.base.files import digest_file
from labelgen.cli.main import main
from labelgen.data.catalogue import read_catalogue
from labelgen.data.labels import AtSpan
from labelgen.data.log import Log, write_log
from labelgen.data.values import normalize
from labelgen.model.folder import load_model, save_model
from labelgen.tasks.slots import SlotsHead

START = "2026-03-02T08:00:00Z"


@pytest.fixture(scope="module")
def folders(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    """A log, a catalogue of some of its words, and the model."""
    folder = tmp_path_factory.mktemp("values")
    dialogues = [replace(labeled_dialogue(seed, 5), start=START) for seed in range(6)]
    (folder / "in").mkdir()
    write_log(folder / "in" / "log.jsonl", dialogues, LABELS)
    words = sorted({word for d in dialogues for turn in d.turns for word in turn.request.split()})
    slots = [label.name for label in LABELS["toy"]["slots"]]
    catalogue = folder / "catalogue.yaml"
    catalogue.write_text(
        json.dumps({slot: {word.upper(): [] for word in words[::2]} for slot in slots}), encoding="utf-8"
    )
    # Untrained, it finds no slots; so tokens outside of slots get a low score.
    model = load_model(tiny_model)
    head = model.heads["slots"]
    assert isinstance(head, SlotsHead)
    with torch.no_grad():
        head.outside.bias.sub_(3.0)
    save_model(model, folder / "model", {})
    return folder / "in", catalogue, folder / "model"


def run(*words: object) -> int:
    return main(list(map(str, words)))


def test_label_with_catalogue_writes_values_with_origin_and_verifies(
    folders: tuple[Path, Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    source, path, model = folders
    out = tmp_path / "out"
    assert run("label", source, out, "--model", model, "--workers", "1", "--catalogue", path) == 0
    catalogue = read_catalogue(path)
    found = set()
    for dialogue in Log([out / "log.jsonl"]):
        annotation = dialogue.annotations[-1]
        assert annotation.provenance is not None
        assert annotation.provenance.values == f"1 {digest_file(path)}"
        for label in annotation.labels:
            if isinstance(label.at, AtSpan):
                text = dialogue.turns[label.at.turn].request[label.at.start : label.at.end]
                expected = normalize(text, label.name, catalogue, START)
                assert (label.value, label.origin) == (expected.text, expected.origin)
                found.add(label.origin)
            else:
                assert label.origin is None
    assert {"catalogue", "text"} <= found
    again = ("verify", out, "--sample", "2", "--model", model)
    assert run(*again, "--catalogue", path) == 0
    assert run(*again) == 2
    other = tmp_path / "other.yaml"
    other.write_text("song: [one]\n", encoding="utf-8")
    assert run(*again, "--catalogue", other) == 2
    assert "catalogue of digest" in capsys.readouterr().err


def test_label_without_normalization_writes_no_origin(folders: tuple[Path, Path, Path], tmp_path: Path):
    source, _, model = folders
    assert run("label", source, tmp_path / "plain", "--model", model, "--workers", "1") == 0
    assert run("label", source, tmp_path / "rules", "--model", model, "--workers", "1", "--normalize") == 0
    plain, rules = (tmp_path / name / "log.jsonl" for name in ("plain", "rules"))
    assert '"origin"' not in plain.read_text(encoding="utf-8")
    assert '"values"' not in plain.read_text(encoding="utf-8")
    for first, second in zip(Log([plain]), Log([rules]), strict=True):
        # Normalization changes values alone.
        bare = [replace(x, value=None, origin=None) for x in second.annotations[-1].labels]
        assert [replace(x, value=None) if isinstance(x.at, AtSpan) else x for x in first.annotations[-1].labels] == [
            x if isinstance(y.at, AtSpan) else y for x, y in zip(bare, second.annotations[-1].labels, strict=True)
        ]


def test_label_with_a_bad_catalogue_is_refused_before_the_model_is_loaded(
    folders: tuple[Path, Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    bad = tmp_path / "bad.yaml"
    bad.write_text("song: 3\n", encoding="utf-8")
    assert run("label", folders[0], tmp_path / "out", "--model", tmp_path / "no-model", "--catalogue", bad) == 3
    assert "no catalogue" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
