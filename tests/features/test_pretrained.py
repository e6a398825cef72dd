import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from stub_hub import stub_hub

from labelgen.base.errors import IntegrityError, UsageError
from labelgen.features.pretrained import (
    encoder_from_config,
    load_encoder,
    load_tokenizer,
)


def test_load_encoder_folder_gives_encoder_and_tokenizer(tiny_encoder: Path):
    encoder, tokenizer = load_encoder(str(tiny_encoder)), load_tokenizer(str(tiny_encoder))
    text = "play 紫の煙 for ten minutes 🎵!"
    found = tokenizer([text], return_offsets_mapping=True)
    ids, spans = found["input_ids"][0], found["offset_mapping"][0]
    assert tokenizer.decode(ids, skip_special_tokens=True) == text
    assert (ids[0], ids[-1], spans[0], spans[-1]) == (0, 2, (0, 0), (0, 0))
    assert {character for start, end in spans for character in range(start, end)} == {
        k for k, character in enumerate(text) if character != " "
    }
    states = encoder(input_ids=torch.tensor([ids])).last_hidden_state
    assert states.shape == (1, len(ids), 32)
    assert states.dtype == torch.float32
    assert encoder.pooler is None


def test_encoder_from_config_json_gives_same_architecture(tiny_encoder: Path, tmp_path: Path):
    encoder: Any = load_encoder(str(tiny_encoder), attention_dropout=0.0)
    written = tmp_path / "encoder.json"
    written.write_text(encoder.config.to_json_string(use_diff=False))
    assert str(tiny_encoder) not in written.read_text()
    made: Any = encoder_from_config(written)
    assert made.config.attention_probs_dropout_prob == 0.0
    made.load_state_dict(encoder.state_dict())
    ids = torch.tensor([[0, 9, 10, 11, 2]])
    torch.testing.assert_close(
        made.eval()(input_ids=ids).last_hidden_state, encoder.eval()(input_ids=ids).last_hidden_state, rtol=0, atol=0
    )


def test_load_encoder_without_hub_hints_at_encoder_command():
    with pytest.raises(UsageError, match="labelgen doctor --encoder OUT"):
        load_encoder("FacebookAI/roberta-base")
    with pytest.raises(UsageError, match="labelgen doctor --encoder OUT"):
        load_tokenizer("no/such-model")


def test_encoder_of_a_pinned_commit_loads_also_from_the_cache_when_the_hub_is_gone(tiny_encoder: Path, tmp_path: Path):
    code = (
        "import sys; from labelgen.features.pretrained import load_encoder, load_tokenizer\n"
        "from labelgen.base.errors import UsageError\n"
        "for name in sys.argv[1:]:\n"
        "    try: print(load_encoder(name).config.hidden_size, load_tokenizer(name).is_fast)\n"
        "    except UsageError as error: print(error.what)"
    )

    def load(url: str, *names: str) -> list[str]:
        own = {"HF_ENDPOINT": url, "HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "0", "NO_PROXY": "*"}
        words = [sys.executable, "-c", code, *names]
        done = subprocess.run(words, capture_output=True, text=True, check=True, env={**os.environ, **own})
        assert "Retry" not in done.stderr
        return done.stdout.splitlines()

    files = {path.name: path.read_bytes() for path in tiny_encoder.iterdir()}
    with stub_hub() as hub:
        hub.branches["someone/encoder"] = {}
        pinned = f"someone/encoder@{hub.commit('someone/encoder', 'main', files)}"
        hub.commit("someone/encoder", "main", {"config.json": b"{}"})
        found, *refused = load(hub.url, pinned, "someone/encoder")
        assert found.endswith(" True")
        assert "does not provide it" in "".join(refused)
    again, *refused = load(hub.url, pinned, "someone/other")
    assert again == found
    assert "it does not answer, and the cache lacks the files" in "".join(refused)


def test_load_encoder_missing_weights_raises_integrity_error(tiny_encoder: Path, tmp_path: Path):
    from safetensors.torch import load_file, save_file

    weights = load_file(tiny_encoder / "model.safetensors")
    del weights["encoder.layer.1.output.dense.weight"]
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    (tmp_path / "config.json").write_bytes((tiny_encoder / "config.json").read_bytes())
    with pytest.raises(
        IntegrityError, match=r"lacks 1 of its weights, such as encoder\.layer\.1\.output\.dense\.weight"
    ):
        load_encoder(str(tmp_path))


def test_load_encoder_folder_with_code_does_not_run_it(tiny_encoder: Path, tmp_path: Path):
    for path in tiny_encoder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    config = json.loads((tmp_path / "config.json").read_text())
    config["auto_map"] = {"AutoModel": "evil.Evil", "AutoConfig": "evil.Evil"}
    config["attn_implementation"] = "someone/kernel"
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w').close()\nclass Evil: pass\n")
    load_encoder(str(tmp_path))
    assert not (tmp_path / "ran").exists()


def test_prepare_torchaudio_then_torchaudio_and_transformers_import():
    code = (
        "import labelgen, sys\n"
        "assert not {'torch', 'torchaudio', 'transformers'} & set(sys.modules)\n"
        "import torchaudio.functional, transformers\n"
        "import torch\n"
        "print(len(torchaudio.functional.resample(torch.zeros(8000), 8000, 16000)))\n"
        "transformers.RobertaModel\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout == "16000\n", done.stderr


def test_torchaudio_that_cannot_be_loaded_leaves_text(tiny_encoder: Path, tmp_path: Path):
    (tmp_path / "torchaudio").mkdir()
    (tmp_path / "torchaudio/__init__.py").write_text("raise OSError('libtorchaudio.so: undefined symbol')\n")
    code = f"from labelgen.features.pretrained import load_encoder\nprint(load_encoder({str(tiny_encoder)!r}).config.model_type)\n"
    env = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, env=env)
    assert done.stdout == "roberta\n", done.stderr
