"""What a model is shown: whose annotations, which targets, and what is hidden."""

import tempfile
from collections.abc import Iterator
from contextlib import closing
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from labeled import LABELS, labeled_dialogue
from msgspec.structs import replace
from strategies import dialogues

from labelgen.data.dialogue import Dialogue, Feedback, Signal, Turn
from labelgen.data.labels import Annotation, AtGoal, AtTurn, Label, NoLabel, Target
from labelgen.data.log import Log, Quarantine, write_log
from labelgen.data.record import encode
from labelgen.data.split import fingerprint
from labelgen.pretraining.corruption import without_answers
from labelgen.training.corpus import (
    AnnotatedExamples,
    ChosenTargets,
    Corpus,
    CorruptedExamples,
)
from labelgen.training.options import AugmentOptions, TargetOptions


def rated(name: str, label: str, kind: str = "person") -> Annotation:
    return Annotation(name, kind, (Label("quality", AtTurn(0), label),))


DIALOGUE = Dialogue(
    id="d",
    turns=(Turn(request="a", response="b"), Turn(request="no", response="c", feedback=(Feedback(kind="barge_in"),))),
    annotations=(rated("anna", "good"), rated("ben", "bad"), rated("bill", "bad"), rated("truth", "good", "truth")),
    targets=(
        Target("quality", AtTurn(0), (("fair", 1.0),), origin="feedback"),
        Target("quality", AtTurn(1), (("bad", 1.0),), weight=0.7, origin="feedback"),
        Target("quality", AtTurn(1), (("good", 1.0),), weight=0.0, origin="nothing"),
        Target("order", AtTurn(1), (("kept", 1.0),)),
    ),
    signals=(Signal(kind="correction", turns=(0,), vote="bad", evidence=(1,)),),
)


def names(dialogue: Dialogue | None) -> dict[int, str]:
    assert dialogue is not None
    return {t.at.turn: t.distribution[0][0] for t in dialogue.targets if isinstance(t.at, AtTurn) and t.distribution}


@pytest.mark.parametrize(
    ("annotators", "expected"),
    [
        (("anna",), {"good": 1.0}),
        (("b*",), {"bad": 1.0}),
        (("anna", "ben"), {"good": 0.5, "bad": 0.5}),
        (("anna", "ben", "bill"), {"good": 1 / 3, "bad": 2 / 3}),
        (("kind=person",), {"good": 1 / 3, "bad": 2 / 3}),
        (("kind=truth",), {"good": 1.0}),
    ],
)
def test_targets_annotators_share_weight(annotators: tuple[str, ...], expected: dict[str, float]):
    chosen = ChosenTargets(TargetOptions(annotators=annotators), {"quality"})(DIALOGUE)
    assert chosen is not None
    found: dict[str, float] = {}
    for target in chosen.targets:
        ((name, probability),) = target.distribution or ()
        assert (target.at, probability) == (AtTurn(0), 1.0)
        found[name] = found.get(name, 0.0) + target.weight
    assert found == pytest.approx(expected)


def test_targets_annotation_precedes_feedback():
    both = ChosenTargets(TargetOptions(annotators=("anna",), feedback=True), {"quality"})(DIALOGUE)
    assert names(both) == {0: "good", 1: "bad"}
    alone = ChosenTargets(TargetOptions(annotators=(), feedback=True), {"quality"})(DIALOGUE)
    assert names(alone) == {0: "fair", 1: "bad"}
    assert both is not None
    assert both.annotations == ()
    assert {t.task for t in both.targets} == {"quality"}


def test_targets_unknown_outcome_keeps_feedback():
    at = AtGoal((0, 1))
    unknown = Annotation("anna", "person", (Label("goals", at, "goal"),), (NoLabel("outcome", at),))
    told = Target("outcome", at, (("success", 0.9), ("failure", 0.1)), origin="feedback")
    dialogue = replace(DIALOGUE, annotations=(unknown,), targets=(told,))
    for feedback, expected in ((False, None), (True, (told,))):
        kept = ChosenTargets(TargetOptions(annotators=("anna",), feedback=feedback), {"outcome"})(dialogue)
        assert (kept and kept.targets) == expected


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "a" / "log.jsonl"
    write_log(path, [replace(DIALOGUE, id=f"d{k}") for k in range(60)])
    write_log(tmp_path / "a" / "sub" / "more.parquet", [labeled_dialogue(k) for k in range(3)], LABELS)
    return path.parent


@pytest.fixture
def bad(tmp_path: Path) -> Quarantine:
    return Quarantine(tmp_path / "bad.jsonl")


@pytest.fixture
def corpus(log: Path, bad: Quarantine) -> Iterator[Corpus]:
    chosen = ChosenTargets(TargetOptions(annotators=(), feedback=True), {"quality"})
    with closing(Corpus([str(log)], "labelgen", 0.0, chosen, "test", bad)) as made:
        yield made


def test_examples_show_dialogues_as_labeling_reads_them(corpus: Corpus):
    examples = AnnotatedExamples(corpus, seed=0)
    for k in range(60):
        example = examples.example(0, k)
        assert example == examples.example(1, k)
        assert example.targets == corpus[k].targets
        assert example.dialogue == replace(corpus[k], targets=())
    changed = AnnotatedExamples(corpus, seed=0, augment=AugmentOptions(joined=1.0))
    for some in (examples, changed):
        some.annotated_only = frozenset({"quality"})
        assert not any(some.example(0, k).targets for k in range(60))


def test_pretraining_examples_have_no_labels(log: Path, bad: Quarantine):
    with closing(Corpus([str(log)], "labelgen", 0.0, without_answers, "test", bad)) as corpus:
        examples = CorruptedExamples(corpus, {"swapped_answers": 1.0, "splice": 1.0}, seed=0)
        first = [examples.example(0, k) for k in range(20)]
        assert first == [examples.example(0, k) for k in range(20)]
        assert first != [examples.example(1, k) for k in range(20)]
        assert all(e.dialogue.annotations == () == e.dialogue.targets for e in first)
        assert all(e.targets for e in first)


@given(st.lists(dialogues(), max_size=6, unique_by=lambda one: one.id))
@settings(max_examples=12)
def test_corpus_equals_plain_records(records: list[Dialogue]):
    with TemporaryDirectory() as folder:
        path = Path(folder) / "log.jsonl"
        write_log(path, records)
        plain = [one for one in Log([path]) if one.turns]
        expected = sha256()
        for one in plain:
            expected.update(encode(one))
        bad = Quarantine(Path(folder) / "bad.jsonl")
        with closing(Corpus([str(path)], "labelgen", 1.0, lambda one: one, "test", bad)) as corpus:
            assert list(corpus) == plain
            assert [corpus[k] for k in reversed(range(len(plain)))] == plain[::-1]
            assert corpus.turns.tolist() == [len(one.turns) for one in plain]
            assert list(corpus.fingerprints) == [fingerprint(one) for one in plain]
            assert corpus.digest == expected.hexdigest()


def test_corpus_leaves_no_file(log: Path, bad: Quarantine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    chosen = ChosenTargets(TargetOptions(annotators=("anna",)), {"quality"})
    with closing(Corpus([str(log)], "labelgen", 0.0, chosen, "test", bad)) as corpus:
        assert list((tmp_path / "temporary").iterdir()) == []
        assert corpus[0].id == "d0"
