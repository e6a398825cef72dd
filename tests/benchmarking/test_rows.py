"""Rows from predictions: folds are pooled, trainings averaged, and numbers equal those of `labelgen evaluate`."""

from pathlib import Path

import pytest

from benchmarks.rows import _plain, from_predictions
from labelgen.cli.main import main
from labelgen.data.dialogue import Dialogue, Turn
from labelgen.data.labels import Annotation, AtTurn, Label
from labelgen.data.log import write_log
from labelgen.metrics.results import HUMAN, read_evaluation

NAMES = ("bad", "fair", "good")


def quality(annotator: str, kind: str, names: list[str]) -> Annotation:
    return Annotation(annotator, kind, tuple(Label("quality", AtTurn(t), name) for t, name in enumerate(names)))


def dialogue(k: int, seed: int) -> Dialogue:
    """Three people mostly agree; the model errs in every third turn, shifted by its seed."""
    truth = [NAMES[(k + t) % 3] for t in range(4)]
    people = [
        quality(who, "person", [name if (k + t + p) % 5 else "fair" for t, name in enumerate(truth)])
        for p, who in enumerate(("ann", "ben", "cal", "dot"))
    ]
    said = [name if (k + t + seed) % 3 else "good" for t, name in enumerate(truth)]
    turns = tuple(Turn(request=f"request {k} {t}", response=f"response {t}") for t in range(4))
    rule = quality("baseline: majority class", "rule", ["good"] * 4)
    return Dialogue(
        id=f"d{k:02}",
        turns=turns,
        source=("x", "y")[k % 2],
        annotations=(*people, quality("model", "model", said), rule),
    )


@pytest.fixture(scope="module")
def predictions(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two trainings of two folds."""
    root = tmp_path_factory.mktemp("rows")
    found = []
    for seed in (0, 1):
        for fold in (0, 1):
            folder = root / f"evaluate/seed-{seed}/fold-{fold}"
            write_log(folder / "log.jsonl", [dialogue(k, seed) for k in range(24) if k // 12 == fold])
            words = ["evaluate", str(folder / "log.jsonl"), "--out", str(folder / "out"), "--resamples", "20"]
            assert main([*words, "--task", "quality"]) == 0
            found.append(folder / "out" / "predictions.jsonl")
    return found


def value(rows, **fields) -> float:
    (row,) = [
        r for r in rows if r.interval != "range" and all(getattr(r, name) == wanted for name, wanted in fields.items())
    ]
    assert row.value is not None
    return row.value


def test_rows_of_one_training_equal_the_evaluation(predictions: list[Path]):
    rows = from_predictions(predictions[:1], "C", "test", ["macro_f1", "accuracy"], others=[None])
    (task,) = read_evaluation(predictions[0].parent / "evaluation.json").tasks
    for system, name in (("model", "model"), (HUMAN, "one annotator"), ("baseline: majority class", "majority class")):
        expected = task.row(system)
        assert expected is not None
        for metric in ("macro_f1", "accuracy"):
            found = value(rows, system=name, metric=metric, baseline="")
            assert found == pytest.approx(expected.metrics[metric].value, abs=1e-4)
    assert {r.reference for r in rows} == {"other annotators"}
    assert {r.seed for r in rows} == {"0", ""}


def test_rows_of_several_trainings_are_means_with_range_and_parts(predictions: list[Path]):
    rows = from_predictions(predictions, "C", "2 folds", ["macro_f1"], others=[None, 0])
    own = [r for r in rows if (r.system, r.baseline, r.reference) == ("model", "", "other annotators")]
    mean, spread, *parts = own
    values = [r.value for r in parts if r.value is not None]
    assert [r.seed for r in own] == ["0 1", "0 1", "0", "1"]
    assert mean.value == pytest.approx(sum(values) / 2, abs=1e-4)
    assert (spread.low, spread.high, spread.interval) == (min(values), max(values), "range")
    difference = value(rows, system="model", baseline="one annotator", metric="macro_f1", seed="0 1")
    person = value(rows, system="one annotator", metric="macro_f1")
    assert difference == pytest.approx((mean.value or 0.0) - person, abs=2e-4)
    assert {r.n for r in rows if r.reference == "all annotators"} != {r.n for r in own}
    assert not any(r.baseline == "one annotator" for r in rows if r.reference == "all annotators")


def test_rows_by_source_judge_each_corpus_by_itself(predictions: list[Path]):
    rows = from_predictions(predictions, "C", "s", ["accuracy"], others=[None], by_source={"x": "X", "y": "Y"})
    whole = from_predictions(predictions, "C", "s", ["accuracy"], others=[None])
    counts = {r.corpus: r.n for r in rows if r.system == "model" and not r.baseline}
    assert set(counts) == {"X", "Y"}
    assert sum(n or 0 for n in counts.values()) == next(r.n for r in whole if r.system == "model")


def test_variants_take_the_place_of_the_model_and_are_compared_with_the_baseline(
    predictions: list[Path], tmp_path: Path
):
    found = []
    for name, source in (("no_layer", predictions[0]), ("reference", predictions[2])):
        folder = tmp_path / "seed-0" / f"variant-{name}" / "out"
        folder.parent.mkdir(parents=True)
        folder.symlink_to(source.parent)
        found.append(folder / "predictions.jsonl")
    variants = {"reference": "", "no layer": "--model.dialogue_layers 0"}
    rows = from_predictions(found, "C", "test", ["accuracy"], others=[None], variants=variants, baseline="reference")
    named = {(r.system, r.baseline) for r in rows}
    assert {("no layer", ""), ("reference", ""), ("no layer", "reference")} <= named
    assert not any(r.system == "model" for r in rows)


def test_every_registered_baseline_is_the_same_for_all_trainings():
    assert _plain("TextTiling")
    assert _plain("bag of words on the reference's goals")
    assert not _plain("model")
    assert not _plain("splices")
