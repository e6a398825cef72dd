"""A model that hears: what it learns from voices, what its folder holds, and what it tells of sound that cannot be read."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from labeled import LABELS, labeled_dialogue
from msgspec.structs import replace

from labelgen.base.errors import IntegrityError
from labelgen.base.files import digest_file, read_json
from labelgen.data.dialogue import Audio, Dialogue, Turn
from labelgen.data.labels import AtTurn, Label, Target
from labelgen.features.voice import SpeechEncoder
from labelgen.model.annotate import annotate
from labelgen.model.annotator import Annotator
from labelgen.model.build import build_model
from labelgen.model.folder import DIGESTS, SOUND, SOUND_WEIGHTS, load_model, save_model, write_json
from labelgen.model.label_model import LabelModel
from labelgen.model.options import ModelOptions
from labelgen.tasks import TASKS, TaskOptions
from labelgen.verdicts.content import contents_of


def test_sound_that_cannot_be_read_is_told(tiny_encoder, tmp_path):
    torch.manual_seed(0)
    dialogues = [labeled_dialogue(seed) for seed in range(3)]
    options = ModelOptions(
        encoder=str(tiny_encoder), dialogue_width=32, dialogue_heads=2, dialogue_layers=1, sound=True
    )
    model = build_model(options, {name: TaskOptions() for name in TASKS}, LABELS, dialogues).eval()
    save_model(model, tmp_path / "model", {"data_digest": "abc"})
    soundfile.write(tmp_path / "a.wav", np.zeros(8000, dtype=np.float32), 16_000)

    def told(path: str) -> str:
        annotator = Annotator(tmp_path / "model")
        with_sound = [replace(d, turns=tuple(replace(t, audio=Audio(path=path)) for t in d.turns)) for d in dialogues]
        annotator.annotate(with_sound, root=tmp_path)
        return annotator.sound

    assert told("missing.wav").startswith("sound: NONE of ")
    assert "no_file" in told("missing.wav")
    assert "not read" not in told("a.wav")
    assert told("a.wav").endswith(" read")
    silent = Annotator(tmp_path / "model")
    silent.annotate(dialogues, root=tmp_path)
    assert silent.sound == ""


def shouted(root: Path, seed: int) -> Dialogue:
    """A dialogue of six turns of equal words; a turn is bad where the next request is loud."""
    rng = np.random.default_rng(seed)
    turns, targets = [Turn(request="hello", response="okay")], []
    for t in range(5):
        loud = bool(rng.random() < 0.5) if t > 1 else t == 0
        sound = rng.standard_normal(2000).astype(np.float32) * (0.4 if loud else 0.05)
        soundfile.write(root / f"{seed}-{t}.wav", sound, 16_000, subtype="FLOAT")
        turns.append(Turn(request="hello", response="okay", audio=Audio(path=f"{seed}-{t}.wav")))
        targets.append(Target("quality", AtTurn(t), (("bad" if loud else "good", 1.0),)))
    return Dialogue(id=f"d{seed}", user=f"u{seed}", turns=tuple(turns), targets=tuple(targets))


def hearing_model(tiny_encoder: Path, root: Path, feedback: bool = False, **options: object) -> LabelModel:
    torch.manual_seed(0)
    sizes = {"dialogue_width": 32, "dialogue_heads": 2, "dialogue_layers": 1}
    chosen = ModelOptions(encoder=str(tiny_encoder), sound=True, **sizes, **options)  # type: ignore[arg-type]
    tasks = {"quality": TaskOptions(ngrams=100, linear_share=1.0)}
    log = [shouted(root, seed) for seed in range(24)]
    return build_model(chosen, tasks, LABELS, log, feedback, lambda number: root).eval()


def known(dialogue: Dialogue) -> dict[int, str]:
    """Turn -> its name by the targets."""
    return {x.at.turn: x.distribution[0][0] for x in dialogue.targets if isinstance(x.at, AtTurn) and x.distribution}


def right(model: LabelModel, root: Path) -> float:
    """The share of turns of new dialogues that get the right name."""
    hits = []
    for seed in range(100, 108):
        dialogue = shouted(root, seed)
        (answers,) = annotate(model, [dialogue], root=root)
        names = {x.at.turn: x.name for x in answers if isinstance(x, Label) and isinstance(x.at, AtTurn)}
        hits += [names[t] == name for t, name in known(dialogue).items()]
    return float(np.mean(hits))


def test_linear_member_hears_how_the_next_request_sounds(tiny_encoder: Path, tmp_path: Path):
    model = hearing_model(tiny_encoder, tmp_path)
    assert right(model, tmp_path) > 0.95
    dialogue = shouted(tmp_path, 200)
    heard, silent = (annotate(model, [dialogue], root=root)[0] for root in (tmp_path, None))
    assert heard != silent


@pytest.mark.parametrize("later", [False, True])
def test_content_with_voices_reads_no_evidence(tiny_encoder: Path, tmp_path: Path, later: bool):
    source = hearing_model(tiny_encoder, tmp_path).collator().sound
    assert source is not None
    dialogue = shouted(tmp_path, 300)
    voices = source.voices(dialogue, tmp_path)
    other = replace(dialogue, turns=(*dialogue.turns[:3], *(replace(t, audio=None) for t in dialogue.turns[3:])))
    changed = source.voices(other, tmp_path)
    ours, theirs = (contents_of(dialogue, [AtTurn(2)], later, x)[0].voice for x in (voices, changed))
    assert ours is not None
    if later:
        assert voices[3] is not None
        assert np.array_equal(ours, voices[3].whole)
        assert theirs is None
    else:
        assert theirs is not None
        assert np.array_equal(ours, theirs)


def test_from_feedback_later_voices_are_no_content(tiny_encoder: Path, tmp_path: Path):
    model = hearing_model(tiny_encoder, tmp_path, feedback=True)
    assert 0.2 < right(model, tmp_path) < 0.8


@pytest.fixture
def speech_folder(tmp_path: Path) -> Path:
    from transformers import WavLMConfig, WavLMModel

    torch.manual_seed(1)
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    conv = {"conv_dim": (16,) * 7, "num_conv_pos_embeddings": 16, "num_conv_pos_embedding_groups": 2}
    WavLMModel(WavLMConfig(**sizes, **conv)).save_pretrained(tmp_path / "wavlm")
    return tmp_path / "wavlm"


def test_model_folder_has_the_speech_encoder(tiny_encoder: Path, tmp_path: Path, speech_folder: Path):
    model = hearing_model(tiny_encoder, tmp_path, sound_encoder=str(speech_folder))
    folder = tmp_path / "model"
    save_model(model, folder, {"data_digest": "abc"})
    for path in speech_folder.iterdir():
        path.unlink()
    loaded = load_model(folder)
    assert isinstance(model.sound, SpeechEncoder)
    assert loaded.sound is not None
    assert loaded.sound.name == model.sound.name
    dialogue = shouted(tmp_path, 100)
    assert annotate(loaded, [dialogue], root=tmp_path) == annotate(model, [dialogue], root=tmp_path)
    save_model(loaded, tmp_path / "again", {"data_digest": "abc"})
    assert digest_file(folder / SOUND_WEIGHTS) == digest_file(tmp_path / "again" / SOUND_WEIGHTS)


@pytest.mark.parametrize("fault", ["no weights", "no settings", "another size", "code", "a huge one"])
def test_model_folder_with_a_damaged_speech_encoder_is_refused(
    tiny_encoder: Path, tmp_path: Path, speech_folder: Path, fault: str
):
    folder = tmp_path / "model"
    save_model(hearing_model(tiny_encoder, tmp_path, sound_encoder=str(speech_folder)), folder, {"data_digest": "abc"})
    settings = read_json(folder / SOUND, dict)
    changes: dict[str, dict[str, Any]] = {
        "another size": {"hidden_size": 32},
        "code": {"auto_map": {"AutoModel": "evil.Model"}},
        "a huge one": {"hidden_size": 2**20, "num_hidden_layers": 10**9},
    }
    write_json(folder / SOUND, {**settings, **changes.get(fault, {})})
    digests = {**read_json(folder / DIGESTS, dict), SOUND: digest_file(folder / SOUND)}
    for name, lost in ((SOUND_WEIGHTS, "no weights"), (SOUND, "no settings")):
        if fault == lost:
            (folder / name).unlink()
            del digests[name]
    write_json(folder / DIGESTS, digests)
    with pytest.raises(IntegrityError):
        load_model(folder)
