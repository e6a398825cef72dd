"""The sound of a batch's turns, grouped by exact length."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import torch

from labelgen.data.dialogue import Audio
from labelgen.features.layout import SoundTensors

MELS = 40
"""Mel bands of a frame."""


class SoundSource:
    """Reads turns' sound. A turn whose sound cannot be read counts as a turn without: it must not stop the others.

    heard, unheard: how often sound was read, and how often not, by reason; in this process."""

    def __init__(self) -> None:
        self.heard = 0
        self.unheard: Counter[str] = Counter()

    def tensors(self, turns: Sequence[tuple[Audio | None, Path | None]]) -> SoundTensors | None:
        """Log-mel frames of the turns that have sound; None if none has. Each turn comes with the folder that its path
        starts from."""
        if not any(audio is not None and root is not None for audio, root in turns):
            return None
        from labelgen.features.audio import Unheard, log_mel

        by_length: dict[int, list[tuple[int, torch.Tensor]]] = {}
        for turn, (audio, root) in enumerate(turns):
            if audio is not None and root is not None:
                frames = log_mel(audio, root, MELS)
                if isinstance(frames, Unheard):
                    self.unheard[frames.reason] += 1
                else:
                    self.heard += 1
                    by_length.setdefault(len(frames), []).append((turn, frames))
        if not by_length:
            return None
        groups = tuple(torch.stack([frames for _, frames in by_length[length]]) for length in sorted(by_length))
        order = [turn for length in sorted(by_length) for turn, _ in by_length[length]]
        return SoundTensors(groups, torch.tensor(order, dtype=torch.long))
