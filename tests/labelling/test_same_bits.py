"""What the real annotator says of a dialogue depends on no batch mate: in groups of any size, to the last bit."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from labelled import LABELS, labelled_dialogue

from labelgen.data.dialogue import Audio, Dialogue
from labelgen.data.label_set import Sources
from labelgen.data.labels import Annotation
from labelgen.model.annotator import Annotator
from labelgen.model.build import build_model
from labelgen.model.folder import save_model
from labelgen.model.options import ModelOptions
from labelgen.nn.label_scorer import LabelScorer
from labelgen.tasks import TASKS
from labelgen.tasks.options import TaskOptions

DIALOGUES = [labelled_dialogue(seed) for seed in range(32)]
ONE_NAME: Sources = {"toy": {task: names[:1] for task, names in LABELS["toy"].items()}}


def spoken(dialogue: Dialogue) -> Dialogue:
    """With sound at every second turn, segments of several lengths of one file."""
    turns = [
        replace(turn, audio=Audio(path="a.wav", end_s=0.2 + 0.1 * t)) if t % 2 == 0 else turn
        for t, turn in enumerate(dialogue.turns)
    ]
    return replace(dialogue, turns=tuple(turns))


@pytest.mark.parametrize("sound", [False, True], ids=["text", "sound"])
@pytest.mark.parametrize("labels", [LABELS, ONE_NAME], ids=["several_names", "one_name"])
def test_groups_of_any_size_give_the_same_bits(
    tmp_path: Path, tiny_encoder: Path, labels: Sources, sound: bool
) -> None:
    torch.manual_seed(0)
    options = ModelOptions(
        encoder=str(tiny_encoder), dialogue_width=32, dialogue_heads=2, dialogue_layers=1, sound=sound, words=20
    )
    soundfile.write(tmp_path / "a.wav", np.random.default_rng(0).normal(0, 0.1, 16_000), 16_000)
    dialogues = [spoken(dialogue) for dialogue in DIALOGUES] if sound else DIALOGUES
    model = build_model(options, {name: TaskOptions() for name in TASKS}, labels, DIALOGUES[:8]).eval()
    for part in model.modules():
        if isinstance(part, LabelScorer):
            part.bias.data.fill_(2.0)  # a new model gives no name, then there would be little to compare
    save_model(model, tmp_path / "m", {})
    annotator = Annotator(tmp_path / "m")

    def in_groups(size: int) -> Sequence[Annotation]:
        before = annotator.heard
        starts = range(0, len(dialogues), size)
        said = [one for k in starts for one in annotator.annotate(dialogues[k : k + size], root=tmp_path)]
        assert annotator.heard - before == sum(turn.audio is not None for d in dialogues for turn in d.turns)
        return said

    together = in_groups(len(dialogues))
    assert {label.task for said in together for label in said.labels} == {n for n in TASKS if n != "selection"}
    for size in (1, 2, 5, 7):
        differing = [k for k, (a, b) in enumerate(zip(in_groups(size), together, strict=True)) if a != b]
        assert differing == [], f"in groups of {size}"
