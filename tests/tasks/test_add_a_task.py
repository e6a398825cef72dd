"""An installed task trains, saves, loads and labels; no other code changes."""

import random

import msgspec
import torch
from plugins import install

from labelgen.data.dialogue import Dialogue, Turn
from labelgen.data.labels import Annotation, AtDialogue, AtGoal, AtTurn, Label, divides, targets_of
from labelgen.data.record import decode, encode
from labelgen.model.annotator import Annotator
from labelgen.model.batches import Example
from labelgen.model.build import build_model
from labelgen.model.folder import save_model
from labelgen.model.options import ModelOptions
from labelgen.tasks import TASKS, TaskOptions


def dialogue(seed: int) -> Dialogue:
    rng = random.Random(seed)
    turns, labels = [], []
    for t in range(3):
        words = rng.choices(["play", "the", "red", "lamp", "timer", "rain", "paris", "milk"], k=4)
        polite = rng.random() < 0.5
        if polite:
            words.insert(rng.randrange(5), "please")
        turns.append(Turn(request=" ".join(words), response="ok"))
        labels.append(Label("politeness", AtTurn(t), "polite" if polite else "plain"))
    return Dialogue(id=f"p{seed}", turns=tuple(turns), annotations=(Annotation("anna", "person", tuple(labels)),))


def test_task_installed_as_a_plug_in_trains_saves_and_labels(monkeypatch, tiny_encoder, tmp_path):
    install(monkeypatch, tmp_path / "site", "labelgen.tasks", "politeness", "toy_task:Politeness")
    assert "politeness" in TASKS
    torch.manual_seed(0)
    train, test = [dialogue(s) for s in range(60)], [dialogue(s) for s in range(1000, 1020)]
    model = build_model(
        ModelOptions(encoder=str(tiny_encoder), dialogue_width=32, dialogue_heads=2, dialogue_layers=1, dropout=0.0),
        {"politeness": TaskOptions()},
        {},
        train,
    ).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    collate = model.collator()
    examples = [Example(d, targets_of(d.annotations[0])) for d in train]
    for step in range(60):
        losses = model.losses(collate(random.Random(step).sample(examples, 20)))
        (losses["politeness"].total / losses["politeness"].weight).backward()
        optimizer.step()
        optimizer.zero_grad()
    save_model(model, tmp_path / "m", {})
    said = Annotator(tmp_path / "m").annotate(test)
    pairs = [
        (label.name, next(x.name for x in d.annotations[0].labels if x.at == label.at))
        for d, annotation in zip(test, said, strict=True)
        for label in annotation.labels
    ]
    assert len(pairs) == 60
    assert sum(a == b for a, b in pairs) / len(pairs) > 0.9
    # On disk its labels stand in the group for tasks that have none of their own.
    labeled = msgspec.structs.replace(test[0], annotations=(said[0],))
    again = decode(encode(labeled), "x")
    assert isinstance(again, Dialogue)
    assert [(x.task, x.at, x.name) for x in again.annotations[0].labels] == [
        (x.task, x.at, x.name) for x in said[0].labels
    ]


def test_installed_task_that_divides_is_decoded_and_joined_as_goals_are(monkeypatch, tiny_encoder, tmp_path):
    """One whole division is one answer, to the model, to targets and to a consensus."""
    install(monkeypatch, tmp_path / "site", "labelgen.tasks", "segments", "toy_task:Segments")
    assert divides("segments")
    assert not divides("outcome")
    torch.manual_seed(0)
    log = [segmented(k) for k in range(6)]
    assert [t.at for t in targets_of(log[0].annotations[0])][-1] == AtDialogue()
    options = ModelOptions(encoder=str(tiny_encoder), dialogue_width=32, dialogue_heads=2, dialogue_layers=1)
    model = build_model(options, {"segments": TaskOptions(), "outcome": TaskOptions()}, {}, log)
    batch = model.collator()([Example(d, targets_of(d.annotations[0])) for d in log])
    assert model.losses(batch)["segments"].weight > 0
    save_model(model.eval(), tmp_path / "m", {})
    for annotation in Annotator(tmp_path / "m").annotate(log):
        segments, outcomes = ({x.at for x in annotation.labels if x.task == task} for task in ("segments", "outcome"))
        assert outcomes == segments


def segmented(seed: int) -> Dialogue:
    turns = tuple(Turn(request=f"about {(seed + t) % 3}", response="ok") for t in range(4))
    labels = (Label("segments", AtGoal((0, 1)), "segment"), Label("segments", AtGoal((2, 3)), "segment"))
    return Dialogue(id=f"s{seed}", turns=turns, annotations=(Annotation("anna", "person", labels),))
