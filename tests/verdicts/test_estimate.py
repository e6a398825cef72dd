"""EM over content and witnesses: it learns from a log what the rules cannot know."""

from collections import Counter
from random import Random

import numpy as np
import pytest
from heard import talk
from sklearn.metrics import roc_auc_score

from labelgen.data.dialogue import Dialogue, Feedback
from labelgen.data.labels import Annotation, AtDialogue, AtGoal, AtTurn, Label
from labelgen.feedback.items import FeedbackItem, items_of, waterfall
from labelgen.feedback.signal import find_signals
from labelgen.verdicts import estimate
from labelgen.verdicts.estimate import LogEstimate, LogFit, learn, share_of_people


def log_of(count: int, seed: int = 0, **more: object) -> tuple[list[Dialogue], list[bool]]:
    """Dialogues of which those about trains fail; half of the users who failed complain, some of the others thank."""
    rng, made, truth = Random(seed), [], []
    for k in range(count):
        about, city = rng.choice(("trains", "rooms", "tables")), rng.choice(("Rome", "Oslo", "Graz", "Bern"))
        good = rng.random() < (0.15 if about == "trains" else 0.9)
        reaction = rng.random()
        said = "ok" if reaction < 0.5 else "thanks, perfect" if good else "no, that's wrong"
        lines = (f"find {about} in {city}", f"Here are {about} near {city}.", said, "Ok.")
        made.append(talk(*lines, id=f"d{k}", user=f"u{k % 40}", **more))
        truth.append(good)
    return made, truth


def items(log: list[Dialogue]) -> list[FeedbackItem]:
    return [item for d in log for item in items_of(d, find_signals(d))]


def first_turns(log: list[Dialogue], method: LogEstimate) -> list[float]:
    found = [method([i for i in items_of(d, find_signals(d)) if i.at == AtTurn(0)])[0] for d in log]
    return [p.good for p in found if p is not None]


def test_em_knows_silent_failures_by_content() -> None:
    log, truth = log_of(300)
    silent = [k for k, d in enumerate(log) if d.turns[1].request == "ok"]
    good = first_turns(log, learn(items(log)))
    assert roc_auc_score([truth[k] for k in silent], [good[k] for k in silent]) > 0.75
    rules = {waterfall(next(i for i in items([log[k]]) if i.at == AtTurn(0))) for k in silent}
    assert rules == {None}


def test_admitted_failures_are_worse_where_hardly_anybody_reacts() -> None:
    lines = {True: "Here are trains near Rome.", False: "Sorry, I didn't get that."}
    said = {0: "no, that's wrong", 3: "thanks, perfect"}
    truth = [k % 3 > 0 for k in range(90)]
    log = [
        talk("find trains", lines[good], said.get(k, "ok"), "Ok.", id=f"d{k}", user=f"u{k}")
        for k, good in enumerate(truth)
    ]
    good = np.array(first_turns(log, learn(items(log))))
    assert good[np.array(truth)].min() > good[~np.array(truth)].max()


def test_feedback_on_an_item_moves_its_own_posterior() -> None:
    log, _ = log_of(200)
    method = learn(items(log))
    up, down = (Feedback(kind="rating", rating=r, scale=(0.0, 1.0)) for r in (1.0, 0.0))
    liked, disliked = (talk("find rooms", "Here.", id="new", feedback=(f,)) for f in (up, down))
    silent = talk("find rooms", "Here.", id="new")
    for place in (AtDialogue(), AtGoal((0,))):
        found = [next(i for i in items([d]) if i.at == place) for d in (disliked, silent, liked)]
        goods = [p.good for item in found for p in method([item]) if p is not None]
        assert goods == sorted(set(goods))
        assert len(goods) == 3


def test_estimate_does_not_depend_on_the_order_of_the_log() -> None:
    log, _ = log_of(60)
    one, other = learn(items(log)), learn(items(log[::-1]))
    assert {unit: (x.rates, x.good) for unit, x in one.units.items()} == {
        u: (x.rates, x.good) for u, x in other.units.items()
    }
    assert first_turns(log, one) == first_turns(log, other)


def test_large_log_is_learned_from_the_same_whole_dialogues_in_any_order(monkeypatch: pytest.MonkeyPatch) -> None:
    log, _ = log_of(60)
    monkeypatch.setattr(estimate, "MOST_ITEMS", 40)
    shuffled = Random(1).sample(log, len(log))
    drawn = []
    for dialogues in (log, shuffled):
        sample = estimate._Sample()
        for item in items(dialogues):
            sample.add(item)
        drawn.append(sample.by_unit())
        assert sum(sample.counts.values()) == len(items(log))
    kept = [item for of_unit in drawn[0].values() for item in of_unit]
    assert drawn[0] == drawn[1]
    assert len(kept) <= 40
    assert {item.dialogue.id: len(items([item.dialogue])) for item in kept} == Counter(x.dialogue.id for x in kept)


def test_content_of_a_fold_is_predicted_without_it() -> None:
    log, _ = log_of(100)
    fit = LogFit([i for i in items(log) if i.at == AtTurn(0)])
    good = np.random.default_rng(0).random(100)
    _, before = fit.predict(good, 1.0)
    fold = fit.folds[0]
    _, after = fit.predict(np.where(fold, 1.0 - good, good), 1.0)
    assert (before[fold] == after[fold]).all()
    assert not (before[~fold] == after[~fold]).all()


def test_labels_of_people_are_fixed() -> None:
    log, truth = log_of(60)
    judged = [
        talk(*(x for t in d.turns for x in (t.request, t.response)), id=d.id, user=d.user, annotations=(by_anna(good),))
        for d, good in zip(log, truth, strict=True)
    ]
    some = [i for i in items(judged) if i.at == AtTurn(0)]
    assert [share_of_people(i) for i in some] == [float(good) for good in truth]
    assert np.isnan(share_of_people(items(log)[0]))
    fit = LogFit(some)
    posterior = fit.posterior(np.zeros(60), learn(items(judged)).units["turn"].rates)
    assert posterior.tolist() == [float(good) for good in truth]


def by_anna(good: bool) -> Annotation:
    return Annotation("anna", "person", (Label("quality", AtTurn(0), "good" if good else "bad"),))


def test_silent_log_has_no_posteriors() -> None:
    log = [talk("find rooms", "Here.", id=f"d{k}") for k in range(5)]
    assert learn(items(log)).units == {}
    assert learn(items(log))(items(log)) == [None] * 15


@pytest.mark.parametrize("count", [1, 2, 7])
def test_small_log_has_posteriors_near_the_declared_ones(count: int) -> None:
    log = [talk("find rooms", "Here.", "no, that's wrong", "Ok.", id=f"d{k}") for k in range(count)]
    assert all(0.2 < good < 0.75 for good in first_turns(log, learn(items(log))))
