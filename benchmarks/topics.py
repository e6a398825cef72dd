"""Topics of requests on corpora whose requests have names, beside k-means on the same vectors.

The method and its one setting (15 neighbors) were chosen on requests of STAR, MultiWOZ, SGD's training part and a simulated log, by normalized
mutual information; nothing was chosen on the corpora of the rows. K-means gets the true number of names, or the number with the best
silhouette. Intervals resample dialogues with the groups as they are."""

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from sklearn.metrics import normalized_mutual_info_score, silhouette_score

from labelgen.confidence.resampling import interval
from labelgen.data.dialogue import Dialogue, extra
from labelgen.data.label_sets import domain_of_name
from labelgen.data.log import Log
from labelgen.data.split import user_key
from labelgen.requests.topics import group
from labelgen.verdicts.reaction import TextVectors, required_weights

from .results import Result

OURS, KNOWN, SILHOUETTE = "labelgen discover", "k-means with the true number", "k-means by silhouette"
NUMBERS = (10, 20, 40)
"""Numbers of groups that the silhouette chooses from."""
_RESAMPLES = 200

Named = tuple[str, str, str]
"""Text, name and user of a request."""


def corpora(
    logs: Mapping[str, str], known: Sequence[Path], requests: int, seeds: Sequence[int], **paths: Any
) -> Iterator[Result]:
    """Rows of each corpus. logs: its name in results -> the argument with its log. known: SGD's schema with the services of training."""
    services = {one["service_name"] for one in json.loads(known[0].read_text(encoding="utf-8"))}
    encode = TextVectors(required_weights("recipe topics"))
    for corpus, argument in logs.items():
        named = [one for d in Log(paths[argument]) for one in _named(corpus, d, services)]
        order = np.random.default_rng(0).permutation(len(named))[:requests]
        texts, names, users = zip(*(named[k] for k in order.tolist()), strict=True)
        yield from compare(corpus, encode(texts), np.array(names), np.array(users), seeds)


def _named(corpus: str, dialogue: Dialogue, services: set[str]) -> Iterator[Named]:
    """The requests with one name: the scenario of SLURP, the first request for each new service of SGD, else the intent."""
    user, before = user_key(dialogue), set()
    intents: dict[int, list[str]] = {}
    for label in dialogue.annotations[0].labels:
        if label.task == "intents":
            intents.setdefault(label.at.turn, []).append(label.name)  # type: ignore[union-attr]
    for turn, of in sorted(intents.items()):
        text, name = dialogue.turns[turn].request, of[0]
        if corpus == "SGD, new services":
            name = domain_of_name(name) or name
            if name in services or name in before:
                continue
            before.add(name)
        elif corpus == "SLURP":
            name = extra(dialogue)["scenario"]
        if len(of) == 1 and text.strip():
            yield text, name, user


def compare(
    corpus: str, vectors: NDArray[np.float32], names: NDArray[Any], users: NDArray[Any], seeds: Sequence[int]
) -> Iterator[Result]:
    """Agreement of groups with names, as the mean over seeds, and how many groups there are."""
    true = len(set(names.tolist()))
    found: dict[str, list[NDArray[Any]]] = {OURS: [], KNOWN: [], SILHOUETTE: []}
    for seed in seeds:
        found[OURS].append(group(vectors, seed=seed))
        found[KNOWN].append(KMeans(true, n_init=10, random_state=seed).fit_predict(vectors))
        tried = {n: KMeans(n, n_init=1, random_state=seed).fit_predict(vectors) for n in NUMBERS}
        best = max(NUMBERS, key=lambda n: silhouette_score(vectors, tried[n], sample_size=1000, random_state=seed))
        found[SILHOUETTE].append(tried[best])
    rng, (unit, owner) = np.random.default_rng(0), np.unique(users, return_inverse=True)
    places = [np.flatnonzero(owner == k) for k in range(len(unit))]
    draws = [np.concatenate([places[k] for k in rng.integers(0, len(unit), len(unit))]) for _ in range(_RESAMPLES)]
    draws.insert(0, np.arange(len(names)))
    agree = {
        system: np.array([np.mean([normalized_mutual_info_score(names[d], one[d]) for one in of]) for d in draws])
        for system, of in found.items()
    }
    row = partial(Result, corpus=corpus, seed=" ".join(map(str, seeds)), n=len(names))
    pairs = {
        **{(one, ""): of for one, of in agree.items()},
        **{(OURS, o): agree[OURS] - agree[o] for o in (KNOWN, SILHOUETTE)},
    }
    for (system, baseline), values in pairs.items():
        at = interval(float(values[0]), values[1:])
        bounds = {"value": at.value, "low": at.low, "high": at.high, "interval": "bootstrap"}
        yield row(metric="nmi", system=system, baseline=baseline, **bounds)  # type: ignore[arg-type]
    for system, of in found.items():
        yield row(metric="groups", system=system, value=float(np.mean([len(set(one.tolist())) for one in of])))
    yield row(metric="groups", system="names in the corpus", value=float(true))
