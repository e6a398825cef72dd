"""Scores of a dialogue cut into segments, as the published figures are computed: one value a dialogue, and their mean.

A segmentation of n utterances is n marks: 1 where a segment ends behind the utterance, but 0 behind the last. This is the
form of nltk's `pk` and `windowdiff`, which SuperDialseg's evaluation calls for each dialogue (Jiang et al. 2023,
"SuperDialseg: A Large-scale Dataset for Supervised Dialogue Segmentation"; github.com/Coldog2333/SuperDialseg) with windows
of half the mean length of the reference's segments, at least 2; their F1 of a dialogue without any border is 0. The metrics
of labelgen count the windows and borders of all dialogues together instead, and none behind the last utterance."""

from collections.abc import Sequence

from labelgen.metrics.goals import borders

Marks = Sequence[bool]


def marks_of(goals: Sequence[tuple[int, ...]], turns: int) -> list[bool]:
    """Marks of a division into goals; a border stands wherever the next turn serves another goal."""
    return [*borders(list(goals), turns), False]


def window_of(wanted: Marks) -> int:
    """Utterances of a window: half the mean length of the reference's segments, at least 2; halves to the even number."""
    return max(2, round(len(wanted) / (sum(wanted) + 1) / 2))


def scores(wanted: Marks, given: Marks) -> tuple[float, float, float]:
    """(Pk, WindowDiff, boundary F1) of one dialogue. Raises ValueError for fewer than two utterances, or marks of other
    dialogues."""
    if len(wanted) < 2 or len(wanted) != len(given):
        raise ValueError(f"{len(wanted)} and {len(given)} marks")
    size = window_of(wanted)
    starts = range(len(wanted) - size + 1)
    counts = [(sum(wanted[s : s + size]), sum(given[s : s + size])) for s in starts]
    pk = sum((a > 0) != (b > 0) for a, b in counts) / len(starts)
    window_diff = sum(a != b for a, b in counts) / len(starts)
    right, marked = sum(a and b for a, b in zip(wanted, given, strict=True)), sum(wanted) + sum(given)
    return pk, window_diff, 2.0 * right / marked if marked else 0.0
