"""Layouts of one dialogue, without texts."""

import torch

from labelgen.features.layout import Layout


def layout_of(turns: int) -> Layout:
    none = torch.zeros(0, dtype=torch.long)
    return Layout(
        turns=(turns,),
        sources=("toy",),
        domains=(None,),
        goals=((),),
        dialogue_of=torch.zeros(turns, dtype=torch.long),
        position=torch.arange(turns),
        token_turn=none,
        token_start=none,
        token_end=none,
        token_counts=(0,) * turns,
        response_of=torch.arange(turns),
    )
