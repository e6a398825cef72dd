"""Voices alone: actors who speak the same sentences in every emotion, as dialogues in which the next voice judges the turn.

A dialogue has an opening request without sound and some clips of one actor in random order. A turn is bad where the actor of the next one
sounds angry or disgusted, good where neutral, calm or happy; other emotions are left out. Nothing else tells: not words, not their order.
Rivals learn from the actors of the same folds. Intervals are over actors and trainings.
"""

import re
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from msgspec import structs
from sklearn.metrics import roc_auc_score

from labelgen.agreement.consensus import CONSENSUS
from labelgen.base.errors import UsageError
from labelgen.confidence.resampling import Array, interval, over_trainings, resamples
from labelgen.data.dialogue import Audio, Dialogue, Turn
from labelgen.data.labels import Annotation, AtTurn, Label, answers
from labelgen.data.log import Log, write_log
from labelgen.features.voice import PROSODY, LogMelEncoder, SoundSource
from labelgen.metrics.scores import probability_of

from .results import Result, bootstrap

Scores = dict[tuple[str, int], float]
"""(dialogue, turn) -> a score that is greater where it is rather bad."""
ACTOR = "actor"
"""Annotator of the acted emotion."""
_NAMES = PROSODY[:-1]
"""Prosody that clips have; without times nothing overlaps."""
_CLIPS = 12
"""Clips of a dialogue, about."""
_RESAMPLES = 2000
_ENGLISH = {"01": "Kids are talking by the door.", "02": "Dogs are sitting by the door."}
_GERMAN = {
    "a01": "Der Lappen liegt auf dem Eisschrank.",
    "a02": "Das will sie am Mittwoch abgeben.",
    "a04": "Heute abend könnte ich es ihm sagen.",
    "a05": "Das schwarze Stück Papier befindet sich da oben neben dem Holzstück.",
    "a07": "In sieben Stunden wird es soweit sein.",
    "b01": "Was sind denn das für Tüten, die da unter dem Tisch stehen?",
    "b02": "Sie haben es gerade hochgetragen und jetzt gehen sie wieder runter.",
    "b03": "An den Wochenenden bin ich jetzt immer nach Hause gefahren und habe Agnes besucht.",
    "b09": "Ich will das eben wegbringen und dann mit Karl was trinken gehen.",
    "b10": "Die wird auf dem Platz sein, wo wir sie immer hinlegen.",
}
_BAD = {"05": True, "07": True, "01": False, "02": False, "03": False, "W": True, "E": True, "N": False, "F": False}
"""Codes of the emotions that are used, of both corpora."""
_OF_NAME = {
    "ravdess": re.compile(r"03-01-(?P<emotion>\d\d)-\d\d-(?P<sentence>\d\d)-\d\d-(?P<actor>\d\d)"),
    "emodb": re.compile(r"(?P<actor>\d\d)(?P<sentence>\w\d\d)(?P<emotion>\w)\w"),
}


def dialogues(clips: Sequence[Path], corpus: str, folds: Sequence[int | str], out: Sequence[Path]) -> None:
    """Write the clips and, in the same folder, the dialogues of each fold as f0.jsonl, f1.jsonl, ...; one fold, `test`, has all. Raises
    UsageError without clips."""
    folder = out[0]
    folder.mkdir(parents=True)
    by_actor = _by_actor(clips[0], corpus)
    for path in (path for of_actor in by_actor.values() for path, *_ in of_actor):
        shutil.copyfile(path, folder / path.name)
    order = sorted(by_actor)
    Random(corpus).shuffle(order)
    for position, fold in enumerate(folds):
        made = [d for actor in order[position :: len(folds)] for d in _of_actor(corpus, actor, by_actor[actor])]
        write_log(folder / f"f{fold}.jsonl", made)


Clip = tuple[Path, str, bool]
"""Its file, its words, and whether it sounds angry or disgusted."""


def _by_actor(folder: Path, corpus: str) -> dict[str, list[Clip]]:
    """The clips of each actor. Raises UsageError without clips."""
    found: dict[str, list[Clip]] = {}
    for path in sorted(folder.glob("*.ogg")):
        name = _OF_NAME[corpus].fullmatch(path.stem)
        if name and name["emotion"] in _BAD:
            clip = (path, {**_ENGLISH, **_GERMAN}[name["sentence"]], _BAD[name["emotion"]])
            found.setdefault(name["actor"], []).append(clip)
    if not found:
        raise UsageError(
            f"no clip of {corpus} was read", str(folder), "name its folder of .ogg files, and --set corpora"
        )
    return found


def _of_actor(corpus: str, actor: str, clips: Sequence[Clip]) -> Iterator[Dialogue]:
    drawn = Random(f"{corpus} {actor}").sample(clips, len(clips))
    count = max(1, round(len(drawn) / _CLIPS))
    for part in range(count):
        some = drawn[part::count]
        spoken = [Turn(request=text, response="Okay.", audio=Audio(path=path.name)) for path, text, _ in some]
        labels = tuple(Label("quality", AtTurn(t), "bad" if bad else "good") for t, (*_, bad) in enumerate(some))
        yield Dialogue(
            id=f"{corpus}-{actor}-{part}",
            user=f"{corpus}-{actor}",
            source=corpus,
            turns=(Turn(request="Hello.", response="Okay."), *spoken),
            annotations=(Annotation(ACTOR, "person", labels),),
        )


def rows(labeled: Sequence[Path], train: Sequence[Path], test: Sequence[Path], corpus: str, split: str) -> list[Result]:
    """AUROC of each model and rival, and the differences of the models from each rival.

    Args:
        labeled: labeled logs of all models, trainings and folds; their paths name model and training.
        train, test: logs of the folds; a log of `test` is predicted from all others of `train`."""
    models = _predicted(labeled)
    known = {key: bad for path in test for key, bad in _known(path).items()}
    keys = sorted(known)
    truth, actors = np.array([known[key] for key in keys], dtype=float), [key[0].rpartition("-")[0] for key in keys]
    index = {actor: k for k, actor in enumerate(sorted(set(actors)))}
    drawn = resamples(len(index), _RESAMPLES, 0)[:, [index[actor] for actor in actors]].astype(float)

    def measured(scores: Scores) -> tuple[float, Array]:
        own = [scores[key] for key in keys]
        return float(roc_auc_score(truth, own)), np.array([roc_auc_score(truth, own, sample_weight=w) for w in drawn])

    found: list[Result] = []

    def add(system: str, seeds: Sequence[str], value: float, draws: Array, baseline: str = "") -> None:
        cell = bootstrap(interval(value, draws).rounded())
        row = Result(metric="bad_auroc", system=system, baseline=baseline, seed=" ".join(seeds), n=len(keys), **cell)
        found.append(structs.replace(row, corpus=corpus, split=split, task="quality, turn", reference=ACTOR))

    rivals = {name: measured(scores) for name, scores in _rivals(train, test).items()}
    for name, (value, draws) in rivals.items():
        add(name, (), value, draws)
    for name, by_seed in models.items():
        each = [measured(scores) for scores in by_seed.values()]
        add(name, list(by_seed), *over_trainings([v for v, _ in each], [d for _, d in each], 0))
        for rival, (value, draws) in rivals.items():
            less = over_trainings([v - value for v, _ in each], [d - draws for _, d in each], 0)
            add(name, list(by_seed), *less, rival)
    return found


def _predicted(paths: Sequence[Path]) -> dict[str, dict[str, Scores]]:
    """Model -> training -> the probabilities of bad by the one model that labeled each log."""
    found: dict[str, dict[str, Scores]] = {}
    for path in paths:
        encoder, seed = (re.search(rf"/{part}-([^/]+)/", f"{path.as_posix()}/") for part in ("encoder", "seed"))
        assert encoder is not None
        assert seed is not None
        scores = found.setdefault(encoder[1], {}).setdefault(seed[1], {})
        for dialogue in Log([path]):
            (model,) = [a for a in dialogue.annotations if a.kind == "model"]
            for at, labels in answers(model, "quality").items():
                if isinstance(at, AtTurn):
                    scores[dialogue.id, at.turn] = probability_of("bad", tuple(labels)) or 0.0
    return found


def _known(path: Path) -> dict[tuple[str, int], bool]:
    """(dialogue, turn) -> whether its next voice is bad."""
    return {
        (dialogue.id, at.turn): labels[0].name == "bad"
        for dialogue in Log([path])
        for annotation in dialogue.annotations
        if annotation.annotator == ACTOR
        for at, labels in answers(annotation, "quality").items()
        if isinstance(at, AtTurn)
    }


def _figures(path: Path, source: SoundSource) -> dict[tuple[str, int], Array]:
    """(dialogue, turn) -> prosody of the next voice: as measured; relative to the dialogue; and the means of its actor."""
    by_actor: dict[str, list[tuple[str, Array]]] = {}
    for dialogue in Log([path]):
        heard = [x for x in source.prosody(dialogue, path.parent) if x is not None]
        table = np.array([[x.get(name, np.nan) for name in _NAMES] for x in heard])
        by_actor.setdefault(dialogue.user or "", []).append((dialogue.id, table))
    found = {}
    for tables in by_actor.values():
        actor = np.concatenate([table for _, table in tables]).mean(axis=0)
        for name, table in tables:
            relative = (table - table.mean(axis=0)) / np.maximum(table.std(axis=0), 1e-9)
            for t in range(len(table)):
                found[name, t] = np.concatenate([table[t], relative[t], actor])
    return found


def _rivals(train: Sequence[Path], test: Sequence[Path]) -> dict[str, Scores]:
    """The scores of each rival on the logs of `test`."""
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.linear_model import LogisticRegression

    source, width = SoundSource(LogMelEncoder()), len(_NAMES)
    figures = {path: _figures(path, source) for path in {*train, *test}}
    two = np.array([_NAMES.index("loudness_db"), _NAMES.index("pitch_semitones")])
    trees = HistGradientBoostingClassifier(
        max_leaf_nodes=15, l2_regularization=1.0, early_stopping=False, random_state=0
    )
    fits: dict[str, tuple[Any, Any]] = {
        "actor's mean loudness and pitch": (LogisticRegression(), two + 2 * width),
        "loudness and pitch": (LogisticRegression(), two + width),
        "trees on prosody": (trees, np.arange(2 * width)),
    }
    scores: dict[str, Scores] = {"chance": {}, **{name: {} for name in fits}}
    for path in test:
        learned = [(figures[other][key], bad) for other in train if other != path for key, bad in _known(other).items()]
        rows, known = np.stack([row for row, _ in learned]), [bad for _, bad in learned]
        keys = list(_known(path))
        asked = np.stack([figures[path][key] for key in keys])
        scores["chance"].update(dict.fromkeys(keys, 0.5))
        for name, (model, columns) in fits.items():
            of_bad = model.fit(rows[:, columns], known).predict_proba(asked[:, columns])[:, 1]
            scores[name].update(zip(keys, of_bad.tolist(), strict=True))
    return scores


def spoken(log: Sequence[Path], clips: Sequence[Path], half: int, share: str, out: Sequence[Path]) -> None:
    """Write a log whose next user turns have a voice by the rating, and its clips in the same folder.

    Args:
        log: dialogues with a consensus of ratings.
        clips: folder of RAVDESS.
        half: which half of the actors speaks; one actor a dialogue.
        share: of the rated turns after which the voice agrees with the rating, angry or disgusted after bad and others after good; in the rest
            it disagrees. After "fair" it is either.
    """
    folder = out[0].parent
    by_actor, made = _by_actor(clips[0], "ravdess"), []
    actors = sorted(by_actor)[half::2]
    for dialogue in Log(list(log)):
        rng = Random(f"{half} {dialogue.id}")
        of_actor, turns = by_actor[rng.choice(actors)], list(dialogue.turns)
        rated = dialogue.annotation(CONSENSUS)
        for at, labels in answers(rated, "quality").items() if rated else ():
            if isinstance(at, AtTurn) and at.turn + 1 < len(turns) and labels:
                name = labels[0].name
                bad = rng.random() < 0.5 if name == "fair" else (name == "bad") == (rng.random() < float(share))
                clip = rng.choice([path for path, _, is_bad in of_actor if is_bad == bad])
                turns[at.turn + 1] = structs.replace(turns[at.turn + 1], audio=Audio(path=clip.name))
                if not (folder / clip.name).exists():
                    shutil.copyfile(clip, folder / clip.name)
        made.append(structs.replace(dialogue, turns=tuple(turns)))
    write_log(out[0], made)
