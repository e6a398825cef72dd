"""Tables on simulated logs: targets, questions to users."""

import pytest

from benchmarks import simulated


def test_targets_in_a_known_world_are_right():
    rows = {(r.system, r.task, r.metric, r.interval): r for r in simulated.targets([7, 8], 250, ["waterfall"])}
    for kind in ("confirmed", "projected"):
        for task in ("intents", "slots"):
            row = rows[kind, task, "precision", "bootstrap"]
            assert row.n is not None
            assert row.n > 20
            assert row.value is not None
            assert row.low is not None
            assert row.high is not None
            assert row.low <= row.value <= row.high
            assert row.value > 0.9
    repairs = [rows[f"projected from a {repair}", "slots", "coverage", ""].n for repair in ("rephrase", "correction")]
    assert rows["projected", "slots", "coverage", ""].n == sum(n or 0 for n in repairs)
    complement = rows["complement", "intents", "precision", "bootstrap"].value
    assert complement is not None
    assert complement > 0.5


def test_answers_to_questions_follow_the_simulator():
    log = simulated.rated_turns(3, 120)
    assert simulated.rated_turns(3, 20).replies == log.replies[: len(simulated.rated_turns(3, 20).replies)]
    bad = [said for said, bad in zip(log.replies, log.bad, strict=True) if bad]
    good = [said for said, bad in zip(log.replies, log.bad, strict=True) if not bad]
    # Dissatisfied users answer more often, and nearly everyone answers truthfully.
    assert sum(s is not None for s in bad) / len(bad) > sum(s is not None for s in good) / len(good)
    assert sum(s == "bad" for s in bad) > 10 * sum(s == "good" for s in bad)
    assert not any(s.kind == "answer" for item in log.items for s in item.signals)


def test_rows_of_questions_compare_every_strategy_with_random(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(simulated, "BUDGETS", (5, 10, 20))
    made = simulated.asking([0, 1], 40, 20)
    rows = {(r.system, r.setting, r.metric, r.baseline): r for r in made}
    gain, random = rows["expected gain", "10 questions", "bad_f1", ""], rows["random", "20 questions", "bad_f1", ""]
    twice = rows["expected gain", "10 questions", "bad_f1", "random, twice the questions"]
    assert gain.value is not None
    assert random.value is not None
    assert twice.value == pytest.approx(gain.value - random.value, abs=2e-4)
    assert ("expected gain", "20 questions", "bad_f1", "random, twice the questions") not in rows
    assert ("random", "20 questions", "bad_f1", "random") not in rows
    assert made == simulated.asking([0, 1], 40, 20)
