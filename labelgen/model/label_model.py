"""The neural network: a trunk that encodes dialogues, and a head for each task. It names no task."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from labelgen.data.labels import Answers, Unit
from labelgen.features.features import FeatureSet
from labelgen.features.layout import Batch, Layout, Sees, States
from labelgen.features.text import Tokenizer, label_text
from labelgen.features.voice import SoundEncoder, SoundSource, voice_width
from labelgen.kernels.device import to_device
from labelgen.model.batches import Collator
from labelgen.model.options import ModelOptions
from labelgen.nn.dialogue_encoder import DialogueEncoder, TurnFusion
from labelgen.nn.linear_member import LinearMember, MemberSettings
from labelgen.nn.structure import Loss
from labelgen.nn.turn_encoder import TurnEncoder, pool_texts
from labelgen.tasks.exclusive import ExclusiveTask
from labelgen.tasks.task import Task, Widths

REFRESH_STEPS = 50
"""Training steps after which label texts are encoded again by the current encoder."""
_ALONE_SHARE = 0.4
"""Share of turns that are encoded without their dialogue in training, for heads that read them so."""


@dataclass(frozen=True)
class Turns:
    """Turns before the dialogue encoder.

    Attributes:
        turns: fused vectors of texts, features and sound.
        requests, responses: pooled vectors of the texts.
        tokens: token states of the requests; None if no head reads them."""

    turns: Float[Tensor, "N D"]
    requests: Float[Tensor, "N d"]
    responses: Float[Tensor, "N d"]
    tokens: Float[Tensor, "M d"] | None


Encoded = tuple[Float[Tensor, "P d"], Float[Tensor, "tokens d"] | None]
"""Pooled vectors of all passages, and token states."""


Linear = Mapping[str, Mapping[Unit, MemberSettings]]
"""Settings of the linear member of each task that has one, by unit."""


class LabelModel(nn.Module):
    """Trunk and heads. origin: of the encoder's weights, for the model card. linear: see LinearMember. sound: encoder of sound, which is no
    part of the trained weights; None for a model that reads none."""

    def __init__(
        self,
        options: ModelOptions,
        tasks: Mapping[str, Task[Any]],
        features: FeatureSet,
        encoder: nn.Module,
        encoder_width: int,
        tokenizer: Tokenizer,
        origin: Mapping[str, Any],
        linear: Linear = MappingProxyType({}),
        sound: SoundEncoder | None = None,
    ) -> None:
        super().__init__()
        self.options = options
        self.tasks = dict(tasks)
        self.features = features
        self.tokenizer = tokenizer
        self.origin = dict(origin)
        width = options.dialogue_width
        self.turn_encoder = TurnEncoder(encoder, encoder_width, options.encoder_frozen)
        self.sound = sound
        self.fusion = TurnFusion(
            encoder_width,
            width,
            tuple(len(c.values) + 2 for c in features.categories),
            len(features.numbers),
            (len(features.words.request), len(features.words.response)),
            0 if sound is None else voice_width(sound),
            options.dropout,
        )
        self.dialogue_encoder = DialogueEncoder(width, options.dialogue_layers, options.dialogue_heads, options.dropout)
        # A task whose average leaves the network out has none.
        self.heads = nn.ModuleDict(
            {name: task.head(Widths(encoder_width, width)) for name, task in tasks.items() if not task.by_member_alone}
        )
        self.linear = nn.ModuleDict(
            {
                name: LinearMember(
                    settings,
                    [label.name for label in tasks[name].labels.names],
                    tasks[name].options.linear_share,
                    tasks[name].contents,  # type: ignore[attr-defined]
                )
                for name, settings in linear.items()
            }
        )
        self.reads_alone = any(task.reads_alone for task in tasks.values())
        self.reads_tokens = any(task.reads_tokens for task in tasks.values())
        self._label_ids = {
            name: [t.truncated for t in tokenizer([label_text(n.name, n.description) for n in task.labels.names])]
            for name, task in tasks.items()
            if task.reads_label_texts
        }
        for name, ids in self._label_ids.items():
            self.register_buffer(_label_buffer(name), torch.zeros(len(ids), encoder_width))
        self.steps: Tensor
        self.register_buffer("steps", torch.zeros((), dtype=torch.long))
        self._passes: int | None = None

    def linear_settings(self) -> Linear:
        """The settings of the linear members."""
        return {name: self.linear_member(name).settings for name in self.linear}

    def linear_member(self, task: str) -> LinearMember:
        """The linear member of a task that has one."""
        member = self.linear[task]
        assert isinstance(member, LinearMember)
        return member

    def leave_out_network(self, task: str) -> None:
        """Let the linear member of a task answer alone."""
        del self.heads[task]
        own = self.tasks[task]
        self.tasks[task] = type(own)(own.labels, replace(own.options, linear_share=1.0))

    def collator(self) -> Collator:
        """A collator with this model's tokenizer, features and tasks."""
        return Collator(
            self.tokenizer, self.features, self.tasks, None if self.sound is None else SoundSource(self.sound)
        )

    def refresh_labels(self) -> None:
        """Encode the texts of labels with the current encoder; needed in training and before a model is saved."""
        vectors = self.label_vectors()
        for name, ids in self._label_ids.items():
            vectors[name].copy_(pool_texts(self.turn_encoder, ids))

    def label_vectors(self) -> dict[str, Float[Tensor, "K d"]]:
        """Encoded texts of the labels of each task that reads them."""
        return {name: self.get_buffer(_label_buffer(name)) for name in self._label_ids}

    def encode(self, batch: Batch) -> Encoded:
        """Encode the passages; token states only if a head reads them. Nothing is encoded for a model without heads."""
        if not self.heads:
            return torch.zeros(0, self.turn_encoder.width), None
        return self.turn_encoder(batch.passages, self.reads_tokens)  # type: ignore[no-any-return]

    def states(
        self, batch: Batch, encoded: Encoded, hidden: Bool[Tensor, " N"] | None = None, causal: bool = False
    ) -> States:
        """States of a batch's turns in their dialogues.

        Args:
            hidden: turns whose response is masked.
            causal: turns see no later turns."""
        if not self.heads:
            none = torch.zeros(0, self.options.dialogue_width)
            return States(none, none, encoded[0], encoded[0], None, {}, "none", causal)
        return self.in_dialogue(self.turns(batch, encoded, hidden, causal), batch.layout, causal)

    def turns(
        self, batch: Batch, encoded: Encoded, hidden: Bool[Tensor, " N"] | None = None, causal: bool = False
    ) -> Turns:
        """The batch's turns before the dialogue encoder."""
        pooled, tokens = encoded
        requests, responses = pooled[batch.passages.request], pooled[batch.passages.response]
        sound = None
        if batch.sound is not None:
            sound = (batch.sound.turn, batch.sound.so_far if causal else batch.sound.whole)
        features = self.features.causal(batch.features) if causal else batch.features
        turns = self.fusion(requests, responses, features, sound, hidden)
        tokens = None if tokens is None else tokens[batch.passages.request_token]
        return Turns(turns, requests, responses, tokens)

    def in_dialogue(self, turns: Turns, layout: Layout, causal: bool = False) -> States:
        """States of the turns after the dialogue encoder."""
        fused = turns.turns
        seen = layout.unpad(self.dialogue_encoder(layout.pad(fused), layout.real(), causal))
        sees: Sees = "earlier" if causal else "all"
        if not self.options.dialogue_layers:
            sees = "none"
        return States(
            seen,
            self._alone(fused, seen),
            turns.requests,
            turns.responses,
            turns.tokens,
            self.label_vectors(),
            sees,
            causal,
        )

    def _alone(self, turns: Float[Tensor, "N D"], in_dialogue: Float[Tensor, "N D"]) -> Float[Tensor, "N D"]:
        if not self.reads_alone or not self.options.dialogue_layers:
            return in_dialogue
        if not self.training:
            return self.dialogue_encoder(turns[:, None], None)[:, 0]  # type: ignore[no-any-return]
        # Drawn on the host, which then knows their number without waiting for the device.
        drawn = to_device((torch.rand(len(turns)) < _ALONE_SHARE).nonzero()[:, 0], turns.device)
        alone = self.dialogue_encoder(turns[drawn][:, None], None)[:, 0]
        return in_dialogue.index_copy(0, drawn, alone.to(in_dialogue.dtype))

    def score(self, name: str, states: States, layout: Layout) -> Any:
        """What the head of a task gives, averaged with its linear member. In training the head alone: the other is fitted separately."""
        out = self.network_scores(name, states, layout)
        if self.training or name not in self.linear:
            return out
        return self.linear[name](out, self.tasks[name].places(layout), layout, states.online)  # type: ignore[attr-defined]

    def network_scores(self, name: str, states: States, layout: Layout) -> Any:
        """What the head of a task gives; zeros for a task without one, whose linear member has the whole share."""
        if name in self.heads:
            return self.heads[name](states, layout)
        task: Any = self.tasks[name]
        return torch.zeros(len(task.places(layout)), len(task.labels.names), device=layout.position.device)

    def decode(self, name: str, out: Any, layout: Layout, online: bool = False) -> tuple[Answers, ...]:
        """The labels of a task by its scores. online: no later turn is seen."""
        task = self.tasks[name]
        if isinstance(task, ExclusiveTask) and name in self.linear:
            member = self.linear_member(name)
            answers = task.decode(out, layout, member.factors(task.places(layout)))
            return member.with_reasons(answers, layout, task.idle, online) if task.has_member else answers
        return task.decode(out, layout)

    def losses(self, batch: Batch, causal: bool = False, encoded: Encoded | None = None) -> dict[str, Loss]:
        """Loss of every task that has targets in the batch. causal: turns see no later turns. encoded: the batch's passages, if they
        are encoded already."""
        if self.training:
            self._count_pass()
        encoded = self.encode(batch) if encoded is None else encoded
        seen: States | None = None
        losses = {}
        for name, task in self.tasks.items():
            target = batch.targets.get(name)
            if target is None or batch.target_weights[name] == 0.0 or (self.training and name not in self.heads):
                continue
            if task.hides_response:
                states = self.states(batch, encoded, hidden=target.weight > 0, causal=True)
            else:
                seen = states = seen if seen is not None else self.states(batch, encoded, causal=causal)
            losses[name] = task.loss(self.score(name, states, batch.layout), target)
        return losses

    def _count_pass(self) -> None:
        """Count a pass of training, and encode the texts of labels where it is time. The buffer is read once; then the host counts too,
        so that no pass waits for the device."""
        if self._passes is None:
            self._passes = int(self.steps)
        if self._passes % REFRESH_STEPS == 0 and self._label_ids:
            self.refresh_labels()
        self.steps += 1
        self._passes += 1

    def _load_from_state_dict(self, state_dict: Mapping[str, Any], *args: Any) -> None:
        self._passes = None
        super()._load_from_state_dict(state_dict, *args)

    def idle_heads(self, active: Collection[str]) -> list[nn.Module]:
        """Heads that get no gradient if these tasks alone have targets; none without any such task, for then all are equal."""
        return [head for name, head in self.heads.items() if name not in active] if active else []


def _label_buffer(task: str) -> str:
    return f"labels_{task}"
