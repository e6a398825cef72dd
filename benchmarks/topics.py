"""Topics of requests on corpora whose requests have names, beside k-means on the same vectors.

The method and its one setting (15 neighbors) were chosen on requests of STAR, MultiWOZ, SGD's training part and a simulated log, by normalized
mutual information; nothing was chosen on the corpora of the rows. K-means gets the true number of names, or the number with the best
silhouette. Intervals resample dialogues with the groups as they are."""

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from sklearn.metrics import normalized_mutual_info_score, silhouette_score

from labelgen.confidence.resampling import interval
from labelgen.data.dialogue import Dialogue, extra
from labelgen.data.label_sets import domain_of_name
from labelgen.data.labels import AtTurn
from labelgen.data.log import Log
from labelgen.data.split import user_key
from labelgen.requests.asked import asked_in
from labelgen.requests.topics import group, group_requests
from labelgen.simulator.log import TRUTH, simulate
from labelgen.simulator.vocabulary import LANGUAGE
from labelgen.simulator.world import WorldOptions
from labelgen.verdicts.reaction import TextVectors, required_weights

from .results import Result, binomial

OURS, KNOWN, SILHOUETTE = "labelgen discover", "k-means with the true number", "k-means by silhouette"
AS_MANY, LARGEST = "k-means with as many groups", "the same groups, largest first"
_PLANTED, _FIRST, _LEAST_USERS = 5, 10, 5
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


def planted(seeds: Sequence[int], dialogues: int | str, rates: Mapping[str, float], every: bool) -> Iterator[Result]:
    """How many of five topics that the assistant of a simulated log cannot serve are among the ten topics with most failures, over logs.
    every: group all goals, not only those without intents by the annotator.
    Goals failed as one simulated annotator says, with errors; a topic is one planted if most of its goals are. The rivals: as many groups by
    k-means, in the same order; and the same groups, the largest first."""
    encode = TextVectors(required_weights("recipe topics"))
    words = [frozenset(re.findall("[a-z']+", phrases)) for phrases in LANGUAGE["users"]["out_of_scope"]]
    found, counts = dict.fromkeys((OURS, AS_MANY, LARGEST), 0), dict.fromkeys((OURS, AS_MANY, LARGEST), 0)
    for seed in seeds:
        log = list(simulate(int(dialogues), seed, WorldOptions(causes=1.0, **rates)))  # type: ignore[arg-type]
        topic_of = {
            (d.id, x.at.turn): max(range(len(words)), key=lambda k: len(words[k] & said))
            for d in log
            for x in d.annotation(TRUTH).labels  # type: ignore[union-attr]
            if x.name == "out_of_scope" and isinstance(x.at, AtTurn)
            for said in [set(d.turns[x.at.turn].request.split())]
        }
        others = {place[0] for place, topic in topic_of.items() if topic >= _PLANTED}
        kept = [replace(d, annotations=(d.annotation("anna"),)) for d in log if d.id not in others]
        asked = [one for one in asked_in(kept, "goal", "anna") if every or not one.intents]
        grouped = group_requests(asked, encode, seed)
        ours = grouped.groups
        means = KMeans(int(ours.max()) + 1, n_init=10, random_state=seed).fit_predict(grouped.vectors)
        failed = np.array([np.nan if one.failed is None else one.failed for one in asked])
        excess = np.nan_to_num(failed - np.nanmean(failed))
        users, true = np.array([one.user for one in asked]), [topic_of.get(one.place, -1) for one in asked]
        for system, groups, worth in ((OURS, ours, excess), (AS_MANY, means, excess), (LARGEST, ours, excess**0)):
            members = [np.flatnonzero(groups == k) for k in range(int(groups.max()) + 1)]
            members = [of for of in members if len(set(users[of])) >= _LEAST_USERS]
            members.sort(key=lambda of: -worth[of].sum())
            most = {Counter(true[k] for k in of.tolist()).most_common(1)[0][0] for of in members[:_FIRST]}
            found[system] += len(most - {-1})
            counts[system] += len(members)
    row = partial(Result, corpus="simulated", setting=f"{dialogues} dialogues", seed=" ".join(map(str, seeds)))
    for system, count in found.items():
        bounds = binomial(count, _PLANTED * len(seeds))
        yield row(metric="planted_in_first_ten", system=system, n=_PLANTED * len(seeds), **bounds)
        yield row(metric="groups", system=system, value=counts[system] / len(seeds))


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
