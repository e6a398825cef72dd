"""Adaptation to a few labeled dialogues: it follows a shift, and leaves alone what did not shift."""

import numpy as np
import pytest
from sklearn.metrics import f1_score

from labelgen.confidence.resampling import Array
from labelgen.confidence.scaling import LEAST, Adaptation, Scaling, adapt, adapt_events, log_loss

SHIFT = np.array([2.0, 0.0, -2.0])
TURNS = 8


def answers(seed: int, dialogues: int, shift: Array, scale: float = 1.0) -> tuple[Array, Array, Array]:
    """Rows of a model, the right names, and the dialogue of each row. The right probabilities have this shift of the logarithms."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 2, (dialogues * TURNS, 3)) + np.repeat(rng.normal(0, 1, (dialogues, 3)), TURNS, axis=0)
    rows = softmax(logits)
    true = (softmax(scale * logits + shift).cumsum(axis=1) > rng.random((len(rows), 1))).argmax(axis=1)
    return rows, true, np.repeat(np.arange(dialogues), TURNS)


def softmax(logits: Array) -> Array:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def adapted(scaling: Scaling, data: tuple[Array, Array, Array]) -> Adaptation:
    rows, true, places = data
    return adapt(scaling, rows.tolist(), true.tolist(), places.tolist())


def nats(scaling: Scaling, data: tuple[Array, Array, Array]) -> float:
    return -float(np.mean([np.log(scaling.of_all(list(row))[y]) for row, y in zip(data[0], data[1], strict=True)]))


def macro_f1(scaling: Scaling, data: tuple[Array, Array, Array]) -> float:
    predicted = [scaling.decide(scaling.of_all(list(row))) for row in data[0]]
    return float(f1_score(data[1], predicted, average="macro"))


@pytest.mark.parametrize("seed", range(5))
def test_ten_dialogues_mend_most_of_a_shift(seed: int):
    new = answers(100 + seed, 200, SHIFT)
    before = Scaling(weights=(1.0, 1.0, 1.0))
    after = adapted(before, answers(seed, 10, SHIFT))
    best = Scaling("temperature", 1.0, bias=tuple(SHIFT))
    assert after.adapted
    assert nats(before, new) - nats(after.scaling, new) > 0.7 * (nats(before, new) - nats(best, new))
    assert macro_f1(after.scaling, new) > macro_f1(before, new) + 0.05


def test_without_a_shift_nearly_always_nothing_changes_and_little_is_lost():
    before = Scaling("temperature", 1.0, weights=(1.0, 1.2, 0.9))
    new, none = answers(1, 200, np.zeros(3)), np.zeros(3)
    fits = [adapted(before, answers(50 + seed, 10, none)) for seed in range(40)]
    kept = [fit.scaling for fit in fits if not fit.adapted]
    assert len(kept) >= 32
    assert all(scaling == before for scaling in kept)
    assert np.mean([macro_f1(before, new) - macro_f1(fit.scaling, new) for fit in fits]) < 0.01


def test_other_dialogues_of_the_log_choose_weights_that_lose_less_and_move_no_probability():
    before, shift = Scaling(weights=(1.0, 1.0, 1.0)), np.array([1.5, 0.0, -1.5])
    new = answers(300, 200, shift)
    lost = []
    for seed in range(8):
        rows, true, places = answers(310 + seed, 10, shift)
        few = adapt(before, rows.tolist(), true.tolist(), places.tolist()).scaling
        whole = adapt(before, rows.tolist(), true.tolist(), places.tolist(), new[0].tolist()).scaling
        assert (few.bias, few.temperature) == (whole.bias, whole.temperature)
        lost.append((macro_f1(few, new), macro_f1(whole, new)))
    alone, together = np.array(lost).T
    assert together.mean() > alone.mean()
    assert together.min() > alone.min()


def test_too_few_dialogues_change_nothing():
    before = Scaling("temperature", 1.3)
    fit = adapted(before, answers(5, LEAST - 1, SHIFT))
    assert not fit.adapted
    assert fit.scaling is before


def events(seed: int, dialogues: int, scale: float) -> tuple[Array, Array, Array]:
    """Probabilities of labels, whether they hold, and the dialogue of each. The right log-odds are `scale` times those given."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 2, dialogues * TURNS) + np.repeat(rng.normal(0, 1, dialogues), TURNS)
    holds = rng.random(len(logits)) < sigmoid(scale * logits)
    return sigmoid(logits), holds.astype(np.float64), np.repeat(np.arange(dialogues), TURNS)


def sigmoid(logits: Array) -> Array:
    return 1 / (1 + np.exp(-logits))


def with_events(scaling: Scaling, data: tuple[Array, Array, Array]) -> Adaptation:
    return adapt_events(scaling, data[0].tolist(), (data[1] > 0).tolist(), data[2].tolist())


@pytest.mark.parametrize("scale", [0.3, 0.5])
def test_temperature_of_events_is_found_and_few_dialogues_shrink_it_to_the_old_one(scale: float):
    many = with_events(Scaling("temperature", 1.0), events(6, 600, scale)).scaling
    few = with_events(Scaling("temperature", 1.0), events(6, 6, scale)).scaling
    assert 1 / many.temperature == pytest.approx(scale, rel=0.1)
    assert 1.0 <= few.temperature < many.temperature


def test_events_never_become_surer():
    before = Scaling("temperature", 1.3)
    few = [with_events(before, events(60 + seed, 10, 2.0)).scaling.temperature for seed in range(20)]
    assert min(few) == 1.3
    assert with_events(before, events(6, 600, 2.0)).scaling == before


def test_ten_dialogues_lower_the_log_loss_of_events_and_keep_their_order():
    curve = Scaling("isotonic", x=(0.1, 0.5, 0.9), y=(0.02, 0.5, 0.98))
    for before in (Scaling(), Scaling("temperature", 0.8), curve):
        new = events(7, 300, 0.3)
        fit = with_events(before, events(8, 10, 0.3))
        assert fit.adapted
        assert log_loss(fit.scaling, new[0].tolist(), (new[1] > 0).tolist()) < log_loss(
            before, new[0].tolist(), (new[1] > 0).tolist()
        )
        ranks = np.argsort(new[0])
        after = np.array([fit.scaling.of(p) for p in new[0][ranks]])
        assert (np.diff(after) >= 0).all()
