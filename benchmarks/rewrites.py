"""Rewrites on later simulated dialogues: what would have been served if the request had been rewritten, beside plain ways to choose; and
the memory of mining, beside a dense solve of the same chain.

The assistant of each world has blind spots: wordings that it always takes for another intent. Rewrites are mined from earlier dialogues, by the
quality that one simulated annotator gave with errors. A later request that is rewritten goes to the same assistant again, with the wish
of the user as it was; it is a win if only the rewritten request is served, and a loss if only the original one is."""

import resource
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from labelgen.confidence.resampling import interval, resamples
from labelgen.data.dialogue import Dialogue
from labelgen.data.labels import AtSpan, AtTurn, plain_words
from labelgen.requests.rewrites import TRIED, RequestForms, Walks, chain_of, mine, walks_of
from labelgen.simulator.assistant import HeardRequest, answer
from labelgen.simulator.log import TRUTH, dialogue_at, simulate
from labelgen.simulator.users import GoalStep, user_of
from labelgen.simulator.vocabulary import Draws, Phrase
from labelgen.simulator.world import WorldOptions

from .results import ROOT, Result, binomial

ANNOTATOR, LEAST_USERS = "anna", 5
OURS, NEXT, BEST = "labelgen rewrite mine", "most frequent next request", "next request with the best success rate"
ACCEPTED, DENSE = "most frequent next request with the same tests", "dense solve"
_RESAMPLES = 1000

Meaning = tuple[tuple[str, ...], tuple[tuple[str, str], ...]]
"""Intents, and slots with their values."""
Outcome = tuple[str, bool, bool]
"""User, whether the original request was served, and whether the rewritten one is."""


def measure(seeds: Sequence[int], train: int, test: int, rates: Mapping[str, float]) -> Iterator[Result]:
    """Wins and losses of each way to choose rewrites, over all worlds."""
    options = WorldOptions(phrases="even", **rates)  # type: ignore[arg-type]
    found: dict[str, list[Outcome]] = {OURS: [], NEXT: [], BEST: [], ACCEPTED: []}
    counts: Counter[str] = Counter()
    for seed in seeds:
        log = list(simulate(train, seed, options))
        later = [dialogue_at(seed, train + k, replace(options, annotated=0.0)) for k in range(test)]
        walks = walks_of(log, ANNOTATOR)
        meanings = {form: of.most_common(1)[0][0] for form, of in _meanings(log).items()}
        tables = {OURS: {one.request: one.rewrite for one in mine(walks, LEAST_USERS)}, **rivals(walks)}
        tables[ACCEPTED] = most_frequent_accepted(walks)
        for system, table in tables.items():
            counts[system] += len(table)
            for dialogue in later:
                found[system] += _outcomes(dialogue, table, meanings, options, seed)
    yield from _rows(found, counts, seeds)


def rivals(walks: Walks) -> dict[str, dict[str, str]]:
    """For each request of enough users, the next request in the goal that is most frequent, and the one served most often; each of enough users,
    and served more often than the request."""
    names, users, served = list(walks.forms), [set() for _ in walks.forms], np.zeros((len(walks.forms), 2))  # type: ignore[var-annotated]
    follows: dict[int, Counter[int]] = {}
    for form, after, user, good in zip(walks.form, walks.next_form, walks.user, walks.served, strict=True):
        users[form].add(user)
        served[form] += (good, 1.0)
        if after not in (form, -1):
            follows.setdefault(form, Counter())[after] += 1
    rate = (served[:, 0] + 1.0) / (served[:, 1] + 2.0)
    tables: dict[str, dict[str, str]] = {NEXT: {}, BEST: {}}
    for form, nexts in follows.items():
        known = [k for k in nexts if len(users[k]) >= LEAST_USERS and rate[k] > rate[form]]
        if known and len(users[form]) >= LEAST_USERS:
            tables[NEXT][names[form]] = names[max(known, key=lambda k: (nexts[k], rate[k]))]
            tables[BEST][names[form]] = names[max(known, key=lambda k: (rate[k], nexts[k]))]
    return tables


def most_frequent_accepted(walks: Walks) -> dict[str, str]:
    """For each request the most frequent of its next requests that passes the tests of `mine`: users, certainly served more often, and no
    chance. Chains of rewrites are cut as there."""
    forms, names = RequestForms(walks, LEAST_USERS, ()), list(walks.forms)
    follows: dict[int, Counter[int]] = {}
    for form, after in zip(walks.form, walks.next_form, strict=True):
        if form in forms.known and after in forms.known and after != form:
            follows.setdefault(form, Counter())[after] += 1
    found = {
        form: best
        for form, nexts in follows.items()
        for best in [next((to for to, _ in nexts.most_common(TRIED) if forms.rewrite(form, to, 0.0, 0.95)), None)]
        if best is not None
    }
    return {names[form]: names[best] for form, best in found.items() if best not in found}


def memory(seed: int, sizes: Sequence[int], dense: int) -> Iterator[Result]:
    """Peak memory of mining so many request forms, and of a dense solve of so many, each in a process of its own."""
    row = partial(Result, corpus="generated", metric="peak_rss_gib", seed=str(seed))
    for system, count in ((OURS, 0), *((OURS, size) for size in sizes), (DENSE, dense)):
        code = f"from benchmarks.rewrites import mine_generated; mine_generated({seed}, {count}, {system == DENSE})"
        out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
        peak = int(out.stdout) / 2**20
        yield row(system=system, setting=f"{count:,} forms", value=peak)


def mine_generated(seed: int, count: int, dense: bool) -> None:
    """Mine, or solve densely, walks over so many forms, and print the peak memory of this process in KiB. A form fails in half of its requests,
    and then goes on to one of ten others; half of the goals are about a hundredth of the forms."""
    rng, walks = np.random.default_rng(seed), Walks()
    often = max(1, count // 100)
    for k in range(2 * count):
        first = k if k < count else int(rng.integers(often))
        goal = [(f"request {first}", 1.0)]
        if rng.random() < 0.5:
            goal = [(f"request {first}", 0.0), (f"request {(first * 7 + int(rng.integers(10))) % count}", 0.9)]
        walks.add(f"u{int(rng.integers(count // 5 + 1))}", goal)
    if dense:
        chain = chain_of(walks)
        np.linalg.solve(np.eye(count) - chain.moves.toarray(), chain.satisfied)
    elif count:
        mine(walks, LEAST_USERS)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


def _wish(dialogue: Dialogue, turn: int) -> tuple[Meaning, bool] | None:
    """What the user meant at a turn, and whether it was served; None where nothing was asked for."""
    truth = dialogue.annotation(TRUTH)
    labels = truth.labels if truth else ()
    quality = [x.name for x in labels if x.task == "quality" and x.at == AtTurn(turn)]
    intents = tuple(x.name for x in labels if x.task == "intents" and x.at == AtTurn(turn))
    slots = tuple((x.name, str(x.value)) for x in labels if isinstance(x.at, AtSpan) and x.at.turn == turn)
    return ((intents, slots), quality[0] == "good") if quality and intents else None


def _meanings(log: Sequence[Dialogue]) -> dict[str, Counter[Meaning]]:
    found: dict[str, Counter[Meaning]] = {}
    for dialogue in log:
        for t, turn in enumerate(dialogue.turns):
            if (wish := _wish(dialogue, t)) is not None:
                found.setdefault(plain_words(turn.request), Counter())[wish[0]] += 1
    return found


def _outcomes(
    dialogue: Dialogue, table: Mapping[str, str], meanings: Mapping[str, Meaning], options: WorldOptions, seed: int
) -> Iterator[Outcome]:
    for t, turn in enumerate(dialogue.turns):
        better = table.get(plain_words(turn.request))
        if better is None or (wish := _wish(dialogue, t)) is None:
            continue
        (intents, slots), served = wish
        again = meanings.get(better) == (intents, slots)
        if again:
            words = better.split()
            owners = [next((k for k, (_, value) in enumerate(slots) if word in value.split()), -1) for word in words]
            heard = HeardRequest(Phrase(words, owners), 0.9, frozenset(), (), ())
            rng = Draws(f"rewrite/{dialogue.id}/{t}")
            rng.world = str(seed)
            step = GoalStep(intents, slots, dict(slots), "full")
            again = answer(step, heard, user_of(seed, int((dialogue.user or "u0")[1:])), options, rng).quality >= 4
        yield f"{seed}/{dialogue.user}", served, again


def _rows(found: Mapping[str, Sequence[Outcome]], counts: Mapping[str, int], seeds: Sequence[int]) -> Iterator[Result]:
    """Counts, wins for each loss, and the share of wins among both, with intervals over users."""
    users = {user: k for k, user in enumerate(sorted({user for of in found.values() for user, _, _ in of}))}
    times = np.concatenate([np.ones((1, len(users))), resamples(len(users), _RESAMPLES, 0)])
    row = partial(Result, corpus="simulated", seed=" ".join(map(str, seeds)))
    shares = {}
    for system, of in found.items():
        sums = np.zeros((len(users), 2))
        for user, served, again in of:
            sums[users[user]] += (again and not served, served and not again)
        wins, losses = (times @ sums).T
        shares[system] = wins / np.maximum(wins + losses, 1.0)
        for name, values in (("wins", wins), ("losses", losses)):
            yield row(metric=name, system=system, value=float(values[0]), n=len(of))
        yield row(metric="rewrites", system=system, value=float(counts[system]))
        if losses[0]:
            at = interval(float(wins[0] / losses[0]), wins[1:] / np.maximum(losses[1:], 1.0))
            bounds = {"value": at.value, "low": at.low, "high": at.high, "interval": "bootstrap"}
            yield row(metric="wins_to_losses", system=system, n=len(of), **bounds)  # type: ignore[arg-type]
        yield row(
            metric="win_share",
            system=system,
            n=int(wins[0] + losses[0]),
            **binomial(int(wins[0]), int(wins[0] + losses[0])),
        )
    for rival in (NEXT, BEST, ACCEPTED):
        change = shares[OURS] - shares[rival]
        at = interval(float(change[0]), change[1:])
        bounds = {"value": at.value, "low": at.low, "high": at.high, "interval": "bootstrap"}
        yield row(metric="win_share", system=OURS, baseline=rival, **bounds)  # type: ignore[arg-type]
