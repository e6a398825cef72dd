"""What could not be heard is told by who annotates."""

import numpy as np
import soundfile
import torch
from labeled import LABELS, labeled_dialogue
from msgspec.structs import replace

from labelgen.data.dialogue import Audio
from labelgen.model.annotator import Annotator
from labelgen.model.build import build_model
from labelgen.model.folder import save_model
from labelgen.model.options import ModelOptions
from labelgen.tasks import TASKS
from labelgen.tasks.options import TaskOptions


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
