"""The detectors of teachable moments against templates that were written before them, and on requests of corpora; and the detector
`rephrase` against the repeats that the simulator knows.

Each template (data/moments.yaml) is drawn several times, as it is written and as a recognizer would write it: in lower case and without
punctuation. A moment counts if its kind and both ends of its span are right. data/moments_real.tsv names requests drawn at random, and says
whether one has a moment, as a reader judged before the detector was asked."""

import csv
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import yaml
from scipy.stats import binomtest

from labelgen.confidence.resampling import Array, of_statistic, resamples
from labelgen.data.dialogue import extra
from labelgen.data.log import Log
from labelgen.feedback.detectors.moments import TeachableMoment, moments
from labelgen.feedback.signal import find_signals
from labelgen.metrics.metric import divide
from labelgen.simulator.log import simulate
from labelgen.simulator.world import WorldOptions

from .results import Result, bootstrap

TEMPLATES = Path(__file__).with_name("data") / "moments.yaml"
REAL = Path(__file__).with_name("data") / "moments_real.tsv"
KINDS = {"preference": "preference", "correction": "fact", "memory": "remember", "none": None}
"""Groups of templates, and the kind of signal that each holds."""
DRAWS = 15
RESAMPLES = 1000

Example = tuple[str, str, TeachableMoment | None]
"""A template, a request drawn from it, and its moment."""


def examples(form: str) -> Iterator[Example]:
    """Requests of all templates. form: `written` or `spoken`."""
    content: dict[str, Any] = yaml.safe_load(TEMPLATES.read_text(encoding="utf-8"))
    values = content["values"]
    for group, kind in KINDS.items():
        for template in content[group]:
            rng = Random(template)
            for _ in range(DRAWS):
                parts = enumerate(re.split(r"\{(\w+)\}", template))
                text = "".join(rng.choice(values[part]) if k % 2 else part for k, part in parts)
                if form == "spoken":
                    text = " ".join(re.sub(r"[^\w'\[\] -]", "", text.lower()).split())
                start, end = text.find("["), text.find("]") - 1
                yield template, re.sub(r"[\[\]]", "", text), None if kind is None else TeachableMoment(kind, start, end)


def templates() -> list[Result]:
    """F1 of exact spans by kind, and the share of requests without a moment in which one is found. Intervals are over templates."""
    rows = []
    for form in ("written", "spoken"):
        drawn = [(template, moments(request), true) for template, request, true in examples(form)]
        for kind in ("all", "preference", "fact", "remember"):
            counts: dict[str, Array] = {}
            for template, found, true in drawn:
                of_kind = [m for m in found if kind in ("all", m.kind)]
                asked = true is not None and kind in ("all", true.kind)
                row = np.array([true in of_kind, len(of_kind), asked], float)
                counts[template] = counts.get(template, np.zeros(3)) + row
            table = np.stack(list(counts.values()))
            rows.append(Result(system=kind, metric="span_f1", setting=form, n=len(table), **_f1(table)))
        alarms = {template: bool(found) for template, found, true in drawn if true is None}
        rows.append(_share("all", "false_alarms", f"templates without a moment, {form}", list(alarms.values())))
    return rows


def real(star: Sequence[Path], uss: Sequence[Path], snips: Sequence[Path]) -> list[Result]:
    """The share of requests without a moment in which one is found."""
    with REAL.open(encoding="utf-8") as file:
        judged = {
            (r["corpus"], r["dialogue"], int(r["turn"])): r["moment"] == "1"
            for r in csv.DictReader(file, delimiter="\t")
        }
    logs = {"STAR": (star, "star"), "SNIPS": (snips, "snips")}
    logs |= {f"USS {path.stem}": ([path], "uss") for folder in uss for path in sorted(folder.glob("dataset/*.txt"))}
    alarms: list[bool] = []
    for corpus, (paths, form) in logs.items():
        wanted = {dialogue for name, dialogue, _ in judged if name == corpus}
        for dialogue in Log(list(paths), form) if wanted else ():
            for t, turn in enumerate(dialogue.turns if dialogue.id in wanted else ()):
                if judged.get((corpus, dialogue.id, t)) is False:
                    alarms.append(bool(moments(turn.request, dialogue.turns[t - 1].response if t else None)))
    return [_share("all", "false_alarms", "requests of STAR, USS and SNIPS", alarms)]


def repeats(dialogues: int, seeds: Sequence[int]) -> list[Result]:
    """Precision, recall and F1 of the pairs of requests that `rephrase` finds. Intervals are over users of all seeds."""
    counts: dict[str, list[int]] = {}
    for seed in seeds:
        for dialogue in simulate(dialogues, seed, WorldOptions(phrases="odd", false_wakes=0.02, out_of_scope=0.02)):
            known = {(extra(turn)["repeats"], t) for t, turn in enumerate(dialogue.turns) if "repeats" in extra(turn)}
            found = {(s.turns[0], s.evidence[0]) for s in find_signals(dialogue, ["rephrase"])}
            count = counts.setdefault(f"{seed}/{dialogue.user}", [0, 0, 0])
            counts[f"{seed}/{dialogue.user}"] = [
                a + b for a, b in zip(count, (len(known & found), len(found), len(known)), strict=True)
            ]
    table = np.array(list(counts.values()), float)
    setting = f"{len(seeds)} worlds, {len(table):,} users"
    rows = [Result(system="rephrase", metric="f1", setting=setting, n=int(table[:, 2].sum()), **_f1(table))]
    for metric, column in (("precision", 1), ("recall", 2)):
        cell = _f1(table[:, [0, column, column]])  # F1 of equal counts is their precision, and their recall.
        rows.append(Result(system="rephrase", metric=metric, setting=setting, n=int(table[:, column].sum()), **cell))
    return rows


def _f1(table: Array) -> dict[str, Any]:
    """F1 of rows (right, found, true)."""
    times = resamples(len(table), RESAMPLES, 0)
    return bootstrap(
        of_statistic(lambda w: divide(2.0 * (w @ table[:, 0]), w @ (table[:, 1] + table[:, 2])), times).rounded()
    )


def _share(system: str, metric: str, setting: str, said: Sequence[bool]) -> Result:
    """A share with its exact interval."""
    found = binomtest(sum(said), len(said)).proportion_ci()
    numbers = {"value": sum(said) / len(said), "low": found.low, "high": found.high}
    rounded: dict[str, Any] = {name: round(float(value), 4) for name, value in numbers.items()}
    return Result(system=system, metric=metric, setting=setting, interval="exact", n=len(said), **rounded)
