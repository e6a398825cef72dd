"""Targets of a failed turn from its repair."""

import pytest
from heard import talk
from msgspec.structs import replace

from labelgen.data.dialogue import Dialogue, Hypothesis, HypothesisIntent, HypothesisSlot, Signal
from labelgen.data.labels import AtSpan, AtTurn, Target
from labelgen.feedback.items import rules
from labelgen.feedback.repair import repeats, words
from labelgen.feedback.signal import find_signals
from labelgen.feedback.targets import feedback_targets, posterior_of
from labelgen.simulator.log import simulate

REPHRASED = Signal(kind="rephrase", turns=(0,), vote="bad", evidence=(1,))
THANKED = Signal(kind="gratitude", turns=(1,), vote="good", evidence=(2,))


def believing(dialogue: Dialogue, turn: int, intent: str | None, **slots: str) -> Dialogue:
    """The dialogue with this hypothesis at a turn; slots: name = its words."""
    request = dialogue.turns[turn].request
    spans = [(name, request.index(own), request.index(own) + len(own)) for name, own in slots.items()]
    hypothesis = Hypothesis(
        intents=() if intent is None else (HypothesisIntent(name=intent),),
        slots=tuple(HypothesisSlot(name=name, start=start, end=end) for name, start, end in spans),
    )
    turns = list(dialogue.turns)
    turns[turn] = replace(turns[turn], hypothesis=hypothesis)
    return replace(dialogue, turns=tuple(turns))


def played(before: str, after: str, first: str | None = "PlayMusic", **slots: str) -> Dialogue:
    dialogue = talk(before, "Sorry, I didn't get that.", after, "Playing.", "thanks", "Welcome.")
    return believing(believing(dialogue, 0, first), 1, "PlayMusic", **slots)


def projected(dialogue: Dialogue, signals: list[Signal], turn: int = 0) -> list[Target]:
    """The targets of intents and slots of one turn."""
    made = feedback_targets(dialogue, signals, rules())
    return [
        t for t in made if t.task in ("intents", "slots") and isinstance(t.at, AtTurn | AtSpan) and t.at.turn == turn
    ]


def went_well(dialogue: Dialogue, signals: list[Signal], turn: int) -> float:
    """The posterior of one turn."""
    made = feedback_targets(dialogue, signals, rules())
    return next(posterior_of(t) for t in made if (t.task, t.at) == ("quality", AtTurn(turn)))


def test_failed_request_takes_intents_and_slots_of_its_rephrase() -> None:
    dialogue = played("play purple hays now", "play purple haze now", None, song="purple haze")
    intents, song, closed = projected(dialogue, [REPHRASED, THANKED])
    assert (intents.at, intents.distribution, intents.complete) == (AtTurn(0), (("PlayMusic", 1.0),), True)
    assert (song.at, song.distribution, song.complete) == (AtSpan(0, 5, 16), (("song", 1.0),), True)
    assert (closed.at, closed.distribution, closed.complete) == (AtTurn(0), (), True)
    assert intents.weight == song.weight == closed.weight
    failed, served = (went_well(dialogue, [REPHRASED, THANKED], turn) for turn in (0, 1))
    assert failed < 0.4 < 0.6 < served
    assert intents.weight == pytest.approx((1.0 - failed) * served)
    assert intents.origin == (
        "projected from the rephrase at turn 1, waterfall, implicit: good by gratitude at turn 2; "
        "this one: waterfall, implicit: bad by rephrase at turn 1"
    )


def test_request_is_not_its_own_repair() -> None:
    dialogue = played("play purple hays", "play purple haze", song="purple haze")
    found, wanted = (
        [replace(t, origin="") for t in projected(dialogue, [signal, THANKED])]
        for signal in (replace(REPHRASED, evidence=(0, 1)), REPHRASED)
    )
    assert found == wanted != []
    assert repeats(0, [replace(REPHRASED, evidence=(0, 1, 2))]) == {1: "rephrase", 2: "rephrase"}


def test_correction_that_repeats_the_request_is_a_repair() -> None:
    corrected = replace(REPHRASED, kind="correction")
    repeated = played("play purple hays", "no, I said play purple haze", song="purple haze")
    assert [t.task for t in projected(repeated, [corrected, THANKED])] == ["intents", "slots", "slots"]
    assert "projected from the correction at turn 1" in projected(repeated, [corrected, THANKED])[0].origin
    assert projected(played("play purple hays", "no, the other one", song="other one"), [corrected, THANKED]) == []


def test_failed_repair_is_replaced_by_its_own_repair() -> None:
    dialogue = talk(
        "play purple hays", "Sorry?", "play purple hazy", "Sorry?", "play purple haze", "Playing.", "thanks", ""
    )
    dialogue = believing(dialogue, 2, "PlayMusic", song="purple haze")
    again = Signal(kind="rephrase", turns=(1,), vote="bad", evidence=(2,))
    thanks = Signal(kind="gratitude", turns=(2,), vote="good", evidence=(3,))
    for turn in (0, 1):
        found = projected(dialogue, [REPHRASED, again, thanks], turn)
        assert [t.at for t in found] == [AtTurn(turn), AtSpan(turn, 5, 16), AtTurn(turn)]
        assert "rephrase at turn 2" in found[0].origin
    failed = Signal(kind="repetition", turns=(2,), vote="bad", evidence=(2,))
    assert projected(dialogue, [REPHRASED, again, failed]) == []


def check(dialogue: Dialogue) -> int:
    """Laws of the projected targets of one dialogue; gives how many spans there are."""
    spans = 0
    for target in feedback_targets(dialogue, find_signals(dialogue), rules()):
        if target.origin.startswith("projected from "):
            assert 0.0 < target.weight < 1.0
            assert target.distribution is not None
            if isinstance(target.at, AtSpan):
                spans += 1
                places = words(dialogue.turns[target.at.turn].request)
                assert target.at.start in {a for a, _ in places}
                assert target.at.end in {b for _, b in places}
    return spans


def test_projected_targets_of_a_simulated_log_are_mostly_right() -> None:
    assert sum(check(dialogue) for dialogue in simulate(150, 11)) > 20
