"""A detector learned from explicit feedback: what it learns from, what it says, its file and its commands."""

import json
from pathlib import Path
from random import Random

import pytest
from heard import talk
from msgspec.structs import replace

from labelgen.base.errors import InputError
from labelgen.cli.main import main
from labelgen.data.dialogue import Dialogue, Feedback
from labelgen.data.log import Log, write_log
from labelgen.feedback.learned import LEAST_EXAMPLES, LearnedDetector, examples, load, train
from labelgen.feedback.signal import LEARNED, reliability


def log(seed: int, dialogues: int = 120, topic: str = "haze") -> list[Dialogue]:
    """Users who were not served say `ugh`; those who were say `lovely`. The topic of a log says nothing elsewhere."""
    rng = Random(seed)
    made = []
    for k in range(dialogues):
        good = rng.random() < 0.7
        request = f"play {topic} {rng.choice('abcdef')}"
        reply = "lovely stuff" if good else "ugh what"
        feedback = (Feedback(kind="answer", answer="yes" if good else "no", about=0),)
        made.append(talk(request, f"Playing {topic}.", reply, "Okay then.", id=f"{topic}{k}", feedback=feedback))
    return made


@pytest.fixture(scope="module")
def detector() -> LearnedDetector:
    return train({"music": iter(log(0)), "news": iter(log(1, topic="news"))})


def test_detector_knows_contented_users_of_another_log(detector: LearnedDetector) -> None:
    happy, annoyed = talk("find rome", "Rome.", "lovely", "Ok."), talk("find rome", "Rome.", "ugh", "Ok.")
    assert detector.evidence(happy, 0) > 0.0 > detector.evidence(annoyed, 0)
    signals = [s for s in detector.detect(annoyed) if s.turns == (0,)]
    assert [(s.kind, s.vote, s.evidence, s.explicit) for s in signals] == [(LEARNED, "bad", (1,), False)]
    assert 0.0 < signals[0].strength <= 1.0
    assert set(reliability(LEARNED).precision) == {"good", "bad"}


def test_words_of_one_log_alone_do_not_count(detector: LearnedDetector) -> None:
    assert "next: ugh" in detector.words
    assert "response: haze" not in detector.words
    alone = train({"music": iter(log(0))})
    assert "response: haze" in alone.words


def test_request_that_is_the_answer_is_not_read() -> None:
    asked = talk("play haze", "Playing. Did I answer your question?", "no you did not", "Sorry.")
    (example,) = examples(asked)
    assert example.bad
    assert not any(word.startswith("next: ") and word != "next: end" for word in example.words)
    silent = talk("play haze", "Playing.", "no you did not", "Sorry.")
    assert list(examples(silent)) == []


def test_feedback_of_a_dialogue_is_shared_by_its_turns() -> None:
    said = talk("a", "b", "c", "d", "e", "f", feedback=(Feedback(kind="answer", answer="yes"),))
    found = list(examples(said))
    assert [example.weight for example in found] == pytest.approx([1 / 3] * 3)
    assert not any(example.bad for example in found)


def test_answers_in_each_others_place_turn_the_detector_around() -> None:
    turned = [
        replace(d, feedback=tuple(replace(f, answer="no" if f.answer == "yes" else "yes") for f in d.feedback))
        for d in log(0)
    ]
    found = train({"music": iter(turned)})
    assert found.evidence(talk("x", "y", "lovely", "z"), 0) < 0.0


def test_detector_that_does_not_transfer_says_less() -> None:
    """One of three logs uses the words the other way round."""
    logs = {"music": log(0), "news": log(1, topic="news"), "maps": log(2, topic="maps")}
    fine = train({name: iter(own) for name, own in logs.items()})
    assert fine.transfer > 0.3
    odd = [
        replace(d, feedback=tuple(replace(f, answer="no" if f.answer == "yes" else "yes") for f in d.feedback))
        for d in logs["maps"]
    ]
    found = train({**{name: iter(own) for name, own in logs.items()}, "maps": iter(odd)})
    assert found.transfer == 0.0
    assert list(found.detect(talk("find rome", "Rome.", "ugh", "Ok."))) == []


def test_detector_is_written_and_read_again_unchanged(detector: LearnedDetector, tmp_path: Path) -> None:
    path = tmp_path / "learned.json"
    path.write_text(detector.to_json())
    again = load(path)
    assert again == detector
    assert again.to_json() == detector.to_json()
    assert [log.log for log in again.trained_on] == ["music", "news"]


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"form": "another"}'])
def test_another_file_is_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "other.json"
    path.write_text(text)
    with pytest.raises(InputError, match="no learned detector"):
        load(path)


def test_too_little_feedback_is_refused() -> None:
    with pytest.raises(InputError, match="too few"):
        train({"music": iter(log(0, LEAST_EXAMPLES))})


def test_copy_of_a_dialogue_in_another_log_is_refused() -> None:
    with pytest.raises(InputError, match="is also in music"):
        train({"music": iter(log(0)), "copy": iter(log(0)[-1:])})


def test_log_of_training_is_named_in_any_order_and_another_one_is_not(
    detector: LearnedDetector, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "learned.json").write_text(detector.to_json())
    for name, dialogues, is_named in (("same", log(0)[::-1], True), ("part", log(0)[1:], False)):
        write_log(tmp_path / f"{name}.jsonl", dialogues)
        words = [str(tmp_path / f"{name}.jsonl"), str(tmp_path / f"{name}-out.jsonl")]
        assert main(["feedback", "signals", *words, "--learned", str(tmp_path / "learned.json")]) == 0
        assert ("was trained on this log" in capsys.readouterr().out) is is_named


def test_learn_and_signals_commands_write_learned_signals(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one, other, out = tmp_path / "one.jsonl", tmp_path / "other.jsonl", tmp_path / "learned.json"
    write_log(one, log(0))
    write_log(other, log(1, topic="news"))
    words = ["feedback", "learn", str(one), str(other), "--out", str(out)]
    assert main(words) == 0
    assert "words" in capsys.readouterr().out
    assert {row["log"] for row in json.loads(out.read_text())["trained_on"]} == {str(one), str(other)}
    assert main(words) == 2, "it exists already"
    first = out.read_bytes()
    assert main([*words, "--force"]) == 0
    assert out.read_bytes() == first
    new, found = tmp_path / "new.jsonl", tmp_path / "signals.jsonl"
    write_log(new, [talk("find rome", "Rome.", "ugh", "Ok.", id="a")])
    assert main(["feedback", "signals", str(new), str(found), "--learned", str(out)]) == 0
    (dialogue,) = Log([found])
    assert (LEARNED, "bad", (0,)) in {(s.kind, s.vote, s.turns) for s in dialogue.signals}
