"""Three annotators for sixteen: STC-3 has 19 annotators, all of whom judged every dialogue.

Three of them, drawn for each dialogue, are combined by majority and by Dawid-Skene, and judged by the majority of the other 16, beside one of
the three alone. Intervals are over dialogues and draws."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from random import Random

import numpy as np
from numpy.typing import NDArray

from labelgen.agreement.dawid_skene import fit
from labelgen.confidence.resampling import Array, interval, over_trainings, resamples
from labelgen.data.dialogue import Dialogue
from labelgen.data.labels import AtDialogue, AtGoal, answers
from labelgen.data.log import Log

from .results import Result, bootstrap
from .rows import PERSON

TASKS = (("quality", ("bad", "fair", "good"), AtDialogue), ("outcome", ("failure", "unknown", "success"), AtGoal))
"""Task, its names in order, and where it is answered."""
SYSTEMS = ("three, majority", "three, Dawid-Skene", PERSON)
_RESAMPLES = 2000
Index = NDArray[np.int64]


def rows(log: Sequence[Path], draws: int) -> list[Result]:
    """Accuracy and macro F1 of each task. draws: how often three are drawn. Dialogues on which the others are tied are left out. Where three differ, the majority takes the middle name."""
    dialogues = list(Log(list(log), "stc3"))
    out: list[Result] = []
    for task, names, place in TASKS:
        given: list[dict[str, str]] = []
        for dialogue in dialogues:
            found = {a.annotator: answers(a, task) for a in dialogue.annotations}
            said = {who: [x for at, xs in of.items() if isinstance(at, place) for x in xs] for who, of in found.items()}
            given.append({who: labels[0].name if labels else "unknown" for who, labels in said.items()})
        tables = [_drawn(dialogues, given, names, seed) for seed in range(draws)]
        times = np.vstack([np.ones((1, len(dialogues))), resamples(len(dialogues), _RESAMPLES, 0)])
        scores = {name: [_scores(times, table, k) for table in tables] for k, name in enumerate(SYSTEMS)}
        pairs = [(name, "") for name in SYSTEMS] + [(SYSTEMS[1], SYSTEMS[0]), (SYSTEMS[0], PERSON)]
        for name, baseline in pairs:
            for m, metric in enumerate(("accuracy", "macro_f1")):
                each = [one[m] - (scores[baseline][k][m] if baseline else 0) for k, one in enumerate(scores[name])]
                value, drawn = over_trainings([float(x[0]) for x in each], [x[1:] for x in each], 0)
                cell = bootstrap(interval(value, drawn).rounded())
                n = sum(int((table[:, 0] >= 0).sum()) for table in tables) // draws
                out.append(
                    Result(
                        corpus="STC-3",
                        split=f"{len(dialogues)} dialogues, {draws} draws",
                        task=task,
                        system=name,
                        baseline=baseline,
                        reference="16 other annotators",
                        metric=metric,
                        n=n,
                        **cell,
                    )
                )
    return out


def _drawn(dialogues: Sequence[Dialogue], given: Sequence[Mapping[str, str]], names: Sequence[str], seed: int) -> Index:
    """[dialogues, 4]: index of the name by the others (-1 for a tie), and by each of SYSTEMS."""
    drawn = [
        sorted(Random(f"{seed}/{d.id}").sample(sorted(votes), 3)) for d, votes in zip(dialogues, given, strict=True)
    ]
    patterns = [tuple((who, votes[who]) for who in some) for some, votes in zip(drawn, given, strict=True)]
    reliability = fit(Counter(patterns))
    table = []
    for some, votes, pattern in zip(drawn, given, patterns, strict=True):
        others = Counter(name for who, name in votes.items() if who not in some).most_common(2)
        tied = len(others) > 1 and others[0][1] == others[1][1]
        most, count = Counter(name for _, name in pattern).most_common(1)[0]
        odds = reliability.posterior(pattern)
        said = [most if count > 1 else names[1], max(names, key=lambda name: odds.get(name, 0.0)), pattern[0][1]]
        table.append([-1 if tied else names.index(others[0][0]), *map(names.index, said)])
    return np.array(table)


def _scores(times: Array, table: Index, system: int) -> tuple[Array, Array]:
    """Accuracy and macro F1, each [R]."""
    true, given = table[:, 0], table[:, 1 + system]
    judged = (true >= 0).astype(float)
    accuracy: Array = (times @ (judged * (true == given))) / (times @ judged)
    f1 = [
        2
        * (times @ (judged * (true == k) * (given == k)))
        / np.maximum(times @ (judged * (true == k)) + times @ (judged * (given == k)), 1)
        for k in range(3)
    ]
    return accuracy, np.mean(f1, axis=0)
