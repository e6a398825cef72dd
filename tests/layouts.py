"""Layouts of dialogues without texts."""

import torch

from labelgen.features.layout import Layout


def layout_of(*counts: int) -> Layout:
    """counts: turns of each dialogue."""
    turns = sum(counts)
    none = torch.zeros(0, dtype=torch.long)
    return Layout(
        turns=counts,
        sources=("toy",) * len(counts),
        domains=(None,) * len(counts),
        goals=((),) * len(counts),
        dialogue_of=torch.repeat_interleave(torch.tensor(counts)),
        position=torch.tensor([t for count in counts for t in range(count)]),
        token_turn=none,
        token_start=none,
        token_end=none,
        token_counts=(0,) * turns,
        response_of=torch.arange(turns),
    )
