"""Corrected requests: candidates, votes, projectionsand weights."""

import json
import math
from pathlib import Path

import pytest
from heard import talk
from msgspec.structs import replace

from labelgen.cli.main import main
from labelgen.data.dialogue import Dialogue, Recognition
from labelgen.data.labels import TRANSCRIPTION, AtTurn, plain_words
from labelgen.data.log import Log, write_log
from labelgen.feedback.signal import find_signals
from labelgen.feedback.transcription import (
    FEATURES,
    FIRST,
    NBEST,
    REPHRASE,
    LogStatistics,
    candidates,
    corrected_requests,
    projected,
    shipped_weights,
    vote,
)
from labelgen.simulator.log import simulate
from labelgen.simulator.world import WorldOptions


def heard(*texts: str, confidence: float | None = None, response: str = "Ok.") -> Dialogue:
    """A dialogue of one turn with an n-best list."""
    dialogue = talk(texts[0], response)
    listed = tuple(Recognition(text=text, score=-float(k)) for k, text in enumerate(texts))
    return replace(dialogue, turns=(replace(dialogue.turns[0], nbest=listed, asr_confidence=confidence),))


def statistics(*dialogues: Dialogue) -> LogStatistics:
    counted = LogStatistics()
    for dialogue in dialogues:
        counted.add(dialogue)
    return counted


def truth(dialogue: Dialogue) -> dict[int, str]:
    (annotation,) = dialogue.annotations
    return {x.at.turn: str(x.value) for x in annotation.labels if x.task == TRANSCRIPTION and isinstance(x.at, AtTurn)}


def simulated(seed: int, count: int = 120) -> list[Dialogue]:
    return list(simulate(count, seed, WorldOptions(transcribed=1.0, annotated=0.0)))


def errors(dialogues: list[Dialogue]) -> tuple[int, int]:
    """Requests that differ from the spoken words: as they stand, and corrected."""
    counted = statistics(*dialogues)
    first = chosen = 0
    for dialogue in dialogues:
        made = corrected_requests(dialogue, find_signals(dialogue), counted)
        spoken = truth(dialogue)
        for label in made.labels:
            assert isinstance(label.at, AtTurn)
            words = plain_words(spoken[label.at.turn])
            first += plain_words(dialogue.turns[label.at.turn].request) != words
            chosen += plain_words(str(label.value)) != words
    return first, chosen


def test_shipped_weights_correct_requests_of_a_simulated_log():
    first, chosen = errors(simulated(2))
    assert chosen < 0.9 * first


def test_shipped_weights_have_the_features_of_the_code():
    weights = shipped_weights()
    assert weights.features == FEATURES
    assert len(weights.weights) == len(FEATURES)
    assert all(math.isfinite(w) for w in weights.weights)


def test_turn_below_the_threshold_is_left_open():
    dialogue = heard("play purple days", "play purple haze", confidence=0.2)
    counted = statistics(dialogue)
    (label,) = corrected_requests(dialogue, (), counted).labels
    assert label.probability is not None
    assert 0 < label.probability < 1
    kept = corrected_requests(dialogue, (), counted, threshold=label.probability)
    assert kept.labels == (label,)
    made = corrected_requests(dialogue, (), counted, threshold=label.probability + 1e-6)
    assert made.labels == ()
    assert [a.field.at for a in made.abstained] == [AtTurn(0)]


def test_candidates_are_the_list_and_the_rephrase_each_words_once():
    first = heard(
        "set a timer for fifty minutes", "Set a timer for fifty minutes!", "set a time for fifty minutes"
    ).turns
    later = talk("set a timer for fifteen minutes please", "Ok.").turns
    dialogue = Dialogue(id="d", turns=(*first, *later))
    found = candidates(dialogue, 0, find_signals(dialogue), statistics(dialogue).without(dialogue))
    assert [(c.text, c.origin) for c in found] == [
        ("set a timer for fifty minutes", FIRST),
        ("set a time for fifty minutes", NBEST),
        ("set a timer for fifteen minutes", REPHRASE),
    ]
    assert all(len(c.features) == len(FEATURES) and all(map(math.isfinite, c.features)) for c in found)


def features_of(dialogue: Dialogue, text: str) -> dict[str, float]:
    found = candidates(dialogue, 0, find_signals(dialogue), statistics().without(dialogue))
    return dict(zip(FEATURES, next(c.features for c in found if c.text == text), strict=True))


def test_features_know_scores_failures_and_words_that_come_again():
    listed = (Recognition(text="play purple rain", score=-1.0), Recognition(text="play purple haze", score=-1.5))
    first = replace(talk("play purple rain", "Here is haze.").turns[0], nbest=listed)
    fine = Dialogue(id="d", turns=(first, *talk("thanks", "Ok.").turns))
    other = features_of(fine, "play purple haze")
    assert other["score gap"] == 0.5
    assert other["in response"] == 1.0
    assert (other["failed and other"], features_of(fine, "play purple rain")["failed and first"]) == (0.0, 0.0)
    failed = Dialogue(id="d", turns=(first, *talk("no, that's wrong", "Ok.").turns))
    assert features_of(failed, "play purple haze")["failed and other"] == 1.0
    echoed = replace(fine, turns=(replace(first, response="Here is rain."), *fine.turns[1:]))
    assert features_of(echoed, "play purple haze")["in response"] == -1.0


def test_own_texts_of_a_dialogue_do_not_count():
    one, two = talk("play purple haze", "Playing."), talk("play purple rain", "Playing.")
    alone = statistics(two).without(talk("x", "y"))
    both = statistics(one, two, one, one).without(one)
    for word in ("play", "purple", "haze", "rain"):
        assert both.seen(word) == alone.seen(word)
    assert statistics(one, one, one).without(two).seen("haze") == 1


@pytest.mark.parametrize(
    ("texts", "voted"),
    [
        (["a b c"], "a b c"),
        (["a b c", "a x c"], "a b c"),
        (["a b c", "a x c", "a x c"], "a x c"),
        (["a b", "a b c", "a b c"], "a b c"),
        (["a b c", "a c", "a c"], "a c"),
        (["a b", "c d", "e f"], "a b"),
    ],
)
def test_vote_takes_the_words_of_most_hypotheses(texts: list[str], voted: str):
    assert " ".join(vote([text.split() for text in texts])) == voted


def test_projection_replaces_words_that_look_alike_and_keeps_the_rest():
    assert projected("turn on the bathroom rights", "no, turn on the bathroom lights") == "turn on the bathroom lights"
    assert projected("turn on the lights", "turn on the lights") is None
    assert projected("turn on the lights", "what is the weather") is None


def test_truth_of_a_simulated_log_has_the_spoken_words_and_changes_nothing_else():
    plain = list(simulate(20, 5, WorldOptions(annotated=0.0)))
    for before, after in zip(plain, simulated(5, 20), strict=True):
        assert before.turns == after.turns
        kept = tuple(x for x in after.annotations[0].labels if x.task != TRANSCRIPTION)
        assert kept == before.annotations[0].labels
        assert set(truth(after)) == {t for t, turn in enumerate(after.turns) if turn.request}
    assert any(truth(d)[t] != turn.request for d in simulated(5, 20) for t, turn in enumerate(d.turns) if turn.request)


def test_transcribe_command_writes_labels_that_evaluate_judges(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    log, out = tmp_path / "log.jsonl", tmp_path / "out.jsonl"
    write_log(log, simulated(3, 40))
    assert main(["feedback", "transcribe", str(log), str(out), "--threshold", "0.5"]) == 0
    assert "left open" in capsys.readouterr().out
    for before, after in zip(Log([log]), Log([out]), strict=True):
        assert after.annotations[:-1] == before.annotations
        assert (after.annotations[-1].annotator, after.annotations[-1].kind) == ("transcriber", "rule")
    words = ["evaluate", str(out), "--reference", "truth", "--task", TRANSCRIPTION, "--out", str(tmp_path / "e")]
    assert main([*words, "--resamples", "10"]) == 0
    (task,) = json.loads((tmp_path / "e" / "evaluation.json").read_text(encoding="utf-8"))["tasks"]
    (row,) = [row for row in task["rows"] if row["system"] == "transcriber"]
    assert task["main_metric"] == "word_error_rate"
    assert row["metrics"]["word_error_rate"]["value"] < 0.2
