"""Witnesses: what they say, and how a log changes what it is worth."""

import numpy as np
import pytest
from heard import talk

from labelgen.data.dialogue import Signal
from labelgen.data.labels import AtTurn
from labelgen.feedback.items import FeedbackItem, prior_log_odds
from labelgen.verdicts.witnesses import (
    PRIOR_VOTES,
    SILENT,
    TEMPER,
    Rates,
    Statement,
    fit_rates,
    statements_of,
    witness_words,
)

SAID = talk("play haze", "Playing.", "thanks", "Ok.")


def spoken(*signals: Signal) -> dict[str, Statement]:
    found = statements_of(FeedbackItem(SAID, AtTurn(0), signals))
    return {s.witness: s for s in found}


def signal(kind: str, vote: str = "bad", **more: object) -> Signal:
    return Signal(kind=kind, turns=(0,), vote=vote, **more)  # type: ignore[arg-type]


def test_family_is_one_witness_that_says_its_strongest_vote() -> None:
    one = spoken(signal("correction", strength=0.2), signal("rephrase"))
    assert one["visible failure"].key == "rephrase bad"
    assert spoken(signal("correction"), signal("rephrase"))["visible failure"].key == "correction bad"


def test_silence_is_heard_where_a_witness_could_speak_and_nobody_was_asked() -> None:
    assert spoken()["gratitude"].key == f"gratitude {SILENT}"
    assert "rating" not in spoken()
    alone = statements_of(FeedbackItem(talk("play haze", "Playing."), AtTurn(0), ()))
    assert "gratitude" not in {s.witness for s in alone}
    assert set(spoken(signal("answer", explicit=True))) == {"answer"}


def test_content_is_no_witness_and_contradiction_is_not_heard() -> None:
    assert all(s.vote is None for s in spoken(signal("repetition")).values())
    assert "unheard_of" not in spoken(signal("unheard_of"), signal("unheard_of", "good"))
    assert spoken(signal("unheard_of"))["unheard_of"].declared == pytest.approx(prior_log_odds("unheard_of", "bad"))


def test_explicit_witnesses_count_in_full_and_implicit_ones_in_part() -> None:
    asked, seen = spoken(signal("answer", explicit=True))["answer"], spoken(signal("rephrase"))["visible failure"]
    assert Rates().nats(asked) == pytest.approx(prior_log_odds("answer", "bad"))
    assert Rates().nats(seen) == pytest.approx(TEMPER * prior_log_odds("rephrase", "bad"))
    total = Rates().total((asked, seen))
    assert total == pytest.approx(Rates().nats(asked) + Rates().nats(seen))
    assert witness_words(Rates(), (seen, asked)) == "answer bad -2.94, rephrase bad -0.25"


def fitted(agrees: float, items: int, known: bool = True) -> float:
    """Log-odds of gratitude where it agrees with what people say, or with content, so often."""
    rng = np.random.default_rng(0)
    good = rng.random(items) < 0.6
    says = rng.random(items) < np.where(good, agrees, 1.0 - agrees)
    said = [(Statement("gratitude", "gratitude", "good") if s else Statement("gratitude", SILENT),) for s in says]
    people = np.where(known, good.astype(float), np.nan)
    content = np.where(good, 1.5, -1.5) + rng.normal(size=items)
    rates = fit_rates(said, content, people)
    assert ("gratitude good" in rates.switched_off()) == (rates.rates["gratitude good"].nats == 0.0)
    assert not any(key.endswith(SILENT) for key in rates.switched_off())
    return rates.rates["gratitude good"].nats


def test_rate_grows_with_agreement_and_turns_off_at_chance() -> None:
    assert fitted(0.9, 2000) > fitted(0.7, 2000) > fitted(0.55, 2000) > 0.0
    assert fitted(0.9, 2000) == pytest.approx(np.log(9.0), abs=0.3)
    assert fitted(0.3, 2000) == 0.0


def test_rate_by_content_corrects_for_its_errors() -> None:
    assert 2.0 < fitted(0.9, 4000, known=False) < 3.5
    assert fitted(0.7, 4000, known=False) == pytest.approx(np.log(7.0 / 3.0), abs=0.4)


def test_few_votes_leave_the_declared_precision() -> None:
    declared = prior_log_odds("gratitude", "good")
    assert fitted(0.9, 6) == pytest.approx(declared, abs=0.5)
    assert abs(fitted(0.9, int(10 * PRIOR_VOTES)) - np.log(9.0)) < abs(declared - np.log(9.0))
