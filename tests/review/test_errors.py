"""Likely annotation errors: equal to a slow reading of confident learning, and planted errors stand first."""

import csv
import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from sklearn.metrics import average_precision_score

from labelgen.cli.main import main
from labelgen.data.dialogue import Dialogue, Turn
from labelgen.data.labels import (
    Abstained,
    Annotation,
    AtDialogue,
    AtGoal,
    AtSpan,
    AtTurn,
    Field,
    Label,
    NoLabel,
    Provenance,
)
from labelgen.data.log import Log, write_log
from labelgen.review.errors import COLUMNS, NO_MODEL, TRAINED_ON, search_errors
from labelgen.simulator.log import simulate

NAMES = ("bad", "fair", "good")
NEW = Provenance(model_digest="0" * 64, trained_on=False)


def quality(name: str, at: AtTurn | AtDialogue, distribution: Sequence[float] | None = None) -> Label:
    if distribution is None:
        return Label("quality", at, name)
    return Label("quality", at, name, max(distribution), None, tuple(zip(NAMES, distribution, strict=True)))


def predicted(at: AtTurn, distribution: Sequence[float]) -> Label:
    return quality(NAMES[int(np.argmax(distribution))], at, distribution)


def one_dialogue(*annotations: Annotation, turns: int = 1, identity: str = "d0") -> Dialogue:
    return Dialogue(
        id=identity,
        turns=tuple(Turn(request="play it now", response="OK.") for _ in range(turns)),
        annotations=annotations,
    )


rows = st.lists(
    st.tuples(st.sampled_from(NAMES), st.tuples(*[st.integers(1, 20)] * 3).map(lambda n: [x / sum(n) for x in n])),
    min_size=1,
    max_size=12,
)


@given(rows)
def test_likely_errors_are_the_off_diagonal_of_the_confident_joint(items):
    person = Annotation("anna", "person", tuple(quality(name, AtTurn(t)) for t, (name, _) in enumerate(items)))
    model = Annotation("m", "model", tuple(predicted(AtTurn(t), p) for t, (_, p) in enumerate(items)), provenance=NEW)
    dialogue = one_dialogue(person, model, turns=len(items))
    given_ = np.array([NAMES.index(name) for name, _ in items])
    p = np.array([distribution for _, distribution in items])
    self_confidence = p[np.arange(len(items)), given_]
    thresholds = np.array([self_confidence[given_ == k].mean() if (given_ == k).any() else np.nan for k in range(3)])
    thresholds = np.where(np.isnan(thresholds), self_confidence.mean(), thresholds)
    expected = {}
    for t in range(len(items)):
        reached = [k for k in range(3) if p[t, k] >= thresholds[k]]
        if reached:
            best = max(p[t, k] for k in reached)
            if given_[t] not in reached or p[t, given_[t]] < best:
                expected[t] = {k for k in reached if p[t, k] == best}
    errors = search_errors([dialogue]).likely_errors()
    suggested = [(error.answer.at, error.suggested) for error in errors]
    assert {at for at, _ in suggested} == {AtTurn(t) for t in expected}
    assert {(at, name) for at, name in suggested} <= {
        (AtTurn(t), NAMES[k]) for t, best in expected.items() for k in best
    }
    assert [error.margin for error in errors] == sorted(error.margin for error in errors)
    assert all(error.margin == pytest.approx(error.answer.probability - error.probability) for error in errors)


def with_model(dialogue: Dialogue, sharpness: float) -> Dialogue:
    """A model whose distributions say how often it is right: the truth is drawn, as it were, from each of them."""
    rng = random.Random(f"model {dialogue.id}")
    truth = next(a for a in dialogue.annotations if a.kind == "truth")
    labels = []
    for label in truth.labels:
        if label.task == "quality" and isinstance(label.at, AtTurn):
            sure = rng.uniform(sharpness, 1.0)
            first = label.name if rng.random() < sure else rng.choice([n for n in NAMES if n != label.name])
            p = [sure if name == first else (1 - sure) / 2 for name in NAMES]
            labels.append(quality(first, label.at, p))
    return replace(dialogue, annotations=(*dialogue.annotations, Annotation("m", "model", tuple(labels), (), (), NEW)))


def with_errors(dialogue: Dialogue, who: str, share: float, planted: set[tuple[str, AtTurn]]) -> Dialogue:
    rng = random.Random(f"errors {dialogue.id}")

    def wrong(label: Label) -> Label:
        if label.task != "quality" or not isinstance(label.at, AtTurn) or rng.random() >= share:
            return label
        planted.add((dialogue.id, label.at))
        return quality(rng.choice([name for name in NAMES if name != label.name]), label.at)

    people = (replace(a, labels=tuple(map(wrong, a.labels))) if a.annotator == who else a for a in dialogue.annotations)
    return replace(dialogue, annotations=tuple(people))


def of_two_people(dialogue: Dialogue) -> Dialogue:
    kept = (a for a in dialogue.annotations if a.kind != "person" or a.annotator in ("anna", "ben"))
    return replace(dialogue, annotations=tuple(kept))


def test_planted_and_other_errors_stand_before_chance_and_before_a_vote_of_one_other():
    planted: set[tuple[str, AtTurn]] = set()
    dialogues = [with_model(with_errors(of_two_people(d), "anna", 0.1, planted), 0.8) for d in simulate(150, seed=3)]
    truth = {(d.id, x.at): x.name for d in dialogues for x in d.annotations[0].labels if x.task == "quality"}
    answers = [
        one
        for one in search_errors(dialogues, "m", ["quality"]).answers
        if one.annotator == "anna" and isinstance(one.at, AtTurn)
    ]
    margins = [one.alternatives[0][1] - one.probability for one in answers]
    votes = [one.others - one.same for one in answers]
    for wrong in (
        [(one.dialogue.id, one.at) in planted for one in answers],
        [truth[one.dialogue.id, one.at] != one.given for one in answers],
    ):
        assert sum(wrong) > 30
        assert average_precision_score(wrong, margins) > average_precision_score(wrong, votes) > np.mean(wrong) + 0.1


def intent(name: str, p: float | None = None) -> Label:
    return Label("intents", AtTurn(0), name, p)


def slot(start: int, end: int, name: str, p: float | None = None) -> Label:
    return Label("slots", AtSpan(0, start, end), name, p)


@pytest.mark.parametrize(
    ("given_", "model", "rows"),
    [
        (intent("play"), intent("stop", 0.9), [("play", "stop", 0.1, 0.9, None)]),
        (NoLabel("intents", AtTurn(0)), intent("stop", 0.9), [(None, "stop", 0.1, 0.9, None)]),
        (intent("play"), NoLabel("intents", AtTurn(0), 0.8), [("play", None, 0.2, 0.8, None)]),
        (intent("play"), intent("play", 0.9), []),
        (intent("play"), intent("stop", 0.3), []),
        (slot(0, 4, "song"), slot(0, 4, "album", 0.9), [("song", "album", 0.1, 0.9, None)]),
        (slot(0, 4, "song"), slot(0, 7, "song", 0.9), [("song", "song", 0.1, 0.9, (0, 7))]),
        (slot(0, 4, "song"), slot(5, 7, "song", 0.9), [("song", None, 0.1, 0.9, None), (None, "song", 0.1, 0.9, None)]),
        (slot(0, 4, "song"), NoLabel("slots", AtTurn(0), 0.9), [("song", None, 0.1, 0.9, None)]),
        (NoLabel("slots", AtTurn(0)), slot(5, 7, "song", 0.9), [(None, "song", 0.1, 0.9, None)]),
        (NoLabel("slots", AtTurn(0)), NoLabel("slots", AtTurn(0), 0.9), []),
        (Label("outcome", AtGoal((0,)), "success"), Label("outcome", AtGoal((0, 1)), "failure", 0.9), []),
        (Label("goals", AtGoal((0,)), "goal"), Label("goals", AtGoal((0, 1)), "goal", 0.9), []),
    ],
)
def test_answers_of_each_unit_are_compared(given_, model, rows):
    def annotation(who: str, kind: str, answer: Label | NoLabel) -> Annotation:
        if isinstance(answer, Label):
            return Annotation(who, kind, (answer,))
        return Annotation(who, kind, (), (answer,))

    dialogue = one_dialogue(annotation("anna", "person", given_), annotation("m", "model", model), turns=2)
    # A second person, who agrees with the model where it is sure, so that thresholds are between.
    errors = search_errors([dialogue]).likely_errors()
    found = [
        (
            e.answer.given,
            e.suggested,
            pytest.approx(e.answer.probability),
            pytest.approx(e.probability),
            None if e.answer.suggested_at is None else (e.answer.suggested_at.start, e.answer.suggested_at.end),
        )
        for e in errors
    ]
    assert found == rows


def test_withheld_guess_counts_and_others_are_counted():
    withheld = Abstained(Field("intents", AtTurn(0)), (intent("stop", 0.6),))
    model = Annotation("m", "model", abstained=(withheld,), provenance=NEW)
    people = [Annotation(who, "person", (intent(name),)) for who, name in (("a", "play"), ("b", "play"), ("c", "stop"))]
    errors = search_errors([one_dialogue(*people, model)]).likely_errors()
    assert [(e.answer.annotator, e.suggested, e.answer.others, e.answer.same) for e in errors] == [
        ("a", "stop", 2, 1),
        ("b", "stop", 2, 1),
    ]


def log_of(folder: Path, trained_on: bool | None, count: int = 6) -> Path:
    dialogues = []
    for k in range(count):
        provenance = None if trained_on is None else replace(NEW, trained_on=trained_on and k < count - 1)
        model = Annotation("m", "model", (predicted(AtTurn(0), [0.8, 0.1, 0.1]),), (), (), provenance)
        person = Annotation("anna", "person", (quality("good" if k == count - 1 else "bad", AtTurn(0)),))
        dialogues.append(one_dialogue(person, model, identity=f"d{k}"))
    path = folder / "log.jsonl"
    write_log(path, dialogues)
    return path


@pytest.mark.parametrize(
    ("trained_on", "told"),
    [(True, f"5 dialogues left out: {TRAINED_ON}"), (None, "6 dialogues do not say whether"), (False, "")],
)
def test_errors_command_writes_a_table_and_says_what_it_left_out(tmp_path, capsys, trained_on, told):
    log = log_of(tmp_path, trained_on)
    log.chmod(0o600)
    assert main(["review", "errors", str(log), str(tmp_path / "errors.csv")]) == 0
    assert (tmp_path / "errors.csv").stat().st_mode & 0o077 == 0
    said = capsys.readouterr()
    assert told in said.err
    assert "1 likely errors" in said.out
    assert f"anna, quality: 1 of {1 if trained_on else 6}" in said.out
    assert "quality: 1 times good, suggested bad" in said.out
    with (tmp_path / "errors.csv").open(encoding="utf-8", newline="") as file:
        [row] = csv.DictReader(file)
    assert list(row) == list(COLUMNS)
    assert (row["dialogue"], row["rank"], row["turn"], row["label"], row["suggested"]) == (
        "d5",
        "1",
        "0",
        "good",
        "bad",
    )
    assert float(row["margin"]) == pytest.approx(0.1 - 0.8)


def test_errors_from_python_and_in_parquet_are_those_of_the_command(tmp_path, capsys):
    log = log_of(tmp_path, False)
    assert main(["review", "errors", str(log), str(tmp_path / "errors.parquet"), "--task", "quality"]) == 0
    import pyarrow.parquet as pq

    [row] = pq.read_table(tmp_path / "errors.parquet").to_pylist()
    assert list(row) == list(COLUMNS)
    assert (row["rank"], row["annotator"], row["task"]) == (1, "anna", "quality")


@pytest.mark.parametrize(
    ("annotation", "what"),
    [
        (None, "no dialogue that people annotated has an annotation by a model"),
        (Annotation("m", "model", (quality("bad", AtTurn(0)),)), "the model's answers have no probabilities"),
        (
            Annotation("m", "model", (intent("play", 0.9),), (), (), replace(NEW, trained_on=True)),
            "the model was trained on 1 of the dialogues",
        ),
        (Annotation("m", "model", (intent("play", 0.9),)), "no field was answered by a person and by the model"),
    ],
)
def test_log_without_anything_to_compare_is_an_input_error(tmp_path, capsys, annotation, what):
    person = Annotation("anna", "person", (quality("good", AtTurn(0)),))
    log = tmp_path / "log.jsonl"
    write_log(log, [one_dialogue(person, *([] if annotation is None else [annotation]))])
    assert main(["review", "errors", str(log), str(tmp_path / "errors.csv")]) == 3
    assert what in capsys.readouterr().err
    assert not (tmp_path / "errors.csv").exists()
    if annotation is None:
        assert search_errors(Log([log])).left_out == {NO_MODEL: 1}


def test_errors_by_a_name_that_nobody_has_are_refused(tmp_path):
    words = ["review", "errors", str(log_of(tmp_path, False)), str(tmp_path / "errors.csv"), "--annotator", "nobody"]
    assert main(words) == 2
