"""Plants annotation errors in a simulated log, and measures how early `labelgen review errors` ranks them.

    python scripts/planted_errors.py plant log.jsonl planted.jsonl anna 0.1
    python scripts/planted_errors.py measure labeled/ log.jsonl anna

plant: gives that share of one person's qualities and intents of turns another name. measure: average precision (area under the
precision-recall curve) of the margin, of a vote of the other people, and of chance; `planted` counts the planted errors alone, `all` every
label that differs from the truth."""

import random
import sys
from collections.abc import Sequence

import numpy as np
from msgspec.structs import replace
from sklearn.metrics import average_precision_score

from labelgen.data.dialogue import Dialogue
from labelgen.data.labels import Annotation, AtTurn, Label, answers, to_scale
from labelgen.data.log import Log, write_log
from labelgen.review.errors import JudgedAnswer, search_errors

TASKS = ("quality", "intents")
FIRST = 100


def plant(source: str, out: str, who: str, share: str) -> None:
    """Write the log with errors."""
    log = Log([source])
    dialogues = list(log)
    labels = [x for d in dialogues for a in d.annotations for x in a.labels if isinstance(x.at, AtTurn)]
    names = {task: sorted({x.name for x in labels if x.task == task}) for task in TASKS}
    rng, planted = random.Random(0), 0

    def wrong(label: Label) -> Label:
        nonlocal planted
        if label.task not in TASKS or not isinstance(label.at, AtTurn) or rng.random() >= float(share):
            return label
        planted += 1
        name = rng.choice([name for name in names[label.task] if name != label.name])
        return replace(label, name=name, value=to_scale(name) if label.task == "quality" else None, given=None)

    def changed(annotation: Annotation) -> Annotation:
        mine = annotation.annotator == who
        return replace(annotation, labels=tuple(dict.fromkeys(map(wrong, annotation.labels)))) if mine else annotation

    changes = (replace(d, annotations=tuple(map(changed, d.annotations))) for d in dialogues)
    write_log(out, changes, log.labels())
    print(f"{planted:,} errors in {len(dialogues):,} dialogues")


def measure(labeled: str, original: str, who: str) -> None:
    """Print average precisions, with one other person and with all."""
    dialogues = list(Log([labeled]))
    before = {dialogue.id: dialogue for dialogue in Log([original])}
    people = [a.annotator for a in dialogues[0].annotations if a.kind == "person" and a.annotator != who]
    for others in (people[:1], people):
        kept = [_of(dialogue, {who, *others}) for dialogue in dialogues]
        judged = [one for one in search_errors(kept).answers if one.annotator == who and isinstance(one.at, AtTurn)]
        for task in TASKS:
            items = [one for one in judged if one.task == task]
            margins = [max([p for _, p in one.alternatives], default=0.0) - one.probability for one in items]
            votes = [(one.others - one.same) / max(one.others, 1) for one in items]
            scores = {"vote": votes, "margin": margins, "both": np.array(votes) + np.array(margins) / 2}
            for name, reference, by in (("planted", before, who), ("all", before, "truth")):
                wrong = [_names(reference[x.dialogue.id], by, x) != _names(x.dialogue, who, x) for x in items]
                found = {key: average_precision_score(wrong, score) for key, score in scores.items()}
                first = np.array(wrong)[np.argsort(-np.array(margins), kind="stable")[:FIRST]].mean()
                shown = ", ".join(f"{key} {value:.3f}" for key, value in found.items())
                count = f"{sum(wrong):,} of {len(items):,}"
                print(
                    f"{len(others)} others, {task}, {name}, {count}: chance {np.mean(wrong):.3f}, {shown}; "
                    f"{first:.0%} of the first {FIRST}"
                )


def _of(dialogue: Dialogue, people: set[str]) -> Dialogue:
    kept = tuple(a for a in dialogue.annotations if a.kind != "person" or a.annotator in people)
    return replace(dialogue, annotations=kept)


def _names(dialogue: Dialogue, who: str, one: JudgedAnswer) -> Sequence[str]:
    annotation = dialogue.annotation(who)
    assert annotation is not None
    return sorted({label.name for label in answers(annotation, one.task).get(one.at, ())})


if __name__ == "__main__":
    if sys.argv[1] == "plant":
        plant(*sys.argv[2:])
    else:
        measure(*sys.argv[2:])
