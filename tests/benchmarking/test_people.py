"""The table of people's judgments: rates by hand, paired differences over users, and their mean over corpora."""

from pathlib import Path

import pytest

from benchmarks.people import rows
from labelgen.base.errors import UsageError
from labelgen.data.dialogue import Dialogue, Turn
from labelgen.data.labels import Annotation, AtGoal, AtTurn, Label
from labelgen.data.log import write_log
from labelgen.data.split import Part, part_of

NAMES = ("bad", "fair", "good")
SETTINGS = {"two": {"task": "quality", "reference": "consensus", "ratings": "vote"}}
CORPORA = {"x": "X", "y": "Y"}


def quality(annotator: str, kind: str, names: list[str]) -> Annotation:
    return Annotation(annotator, kind, tuple(Label("quality", AtTurn(t), name) for t, name in enumerate(names)))


def dialogue(k: int) -> Dialogue:
    """Three agree. The first training is always right on X and the second on Y; the bag of words always says good."""
    truth = [NAMES[(k + t) % 3] for t in range(3)]
    source = ("x", "y")[k % 2]
    said = {"model 0": truth if source == "x" else ["good"] * 3, "model 1": truth if source == "y" else ["good"] * 3}
    people = [quality(who, "person", truth) for who in ("ann", "ben", "cal")]
    models = [quality(name, "model", names) for name, names in said.items()]
    rule = quality("baseline: bag of words", "rule", ["good"] * 3)
    turns = tuple(Turn(request=f"request {k} {t}", response="") for t in range(3))
    return Dialogue(id=f"d{k:02}", turns=turns, source=source, annotations=(*people, *models, rule))


@pytest.fixture
def judged(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / f"judged/group-two/fold-{fold}/judged.jsonl" for fold in (0, 1)]
    for fold, path in enumerate(paths):
        path.parent.mkdir(parents=True)
        write_log(path, [dialogue(k) for k in range(24) if k % 4 // 2 == fold])
    return paths


def table(judged, develop=0.0, wanted=("X", "Y")):
    return rows(judged, CORPORA, SETTINGS, {"two": develop}, {"bag of words": wanted})


def test_difference_is_the_mean_over_trainings_and_corpora(judged):
    """Macro F1 of a constant over three equally frequent names is a sixth; one of two trainings is right everywhere."""
    found = {(r.corpus, r.system, r.baseline): r for r in table(judged) if r.metric in ("macro_f1", "main_metric")}
    for corpus in ("X", "Y"):
        assert found[corpus, "bag of words", ""].value == pytest.approx(1 / 6, abs=1e-4)
        assert found[corpus, "model", ""].value == pytest.approx((1 + 1 / 6) / 2, abs=1e-4)
        assert found[corpus, "model", ""].seed == "0 1"
        assert found[corpus, "model", "bag of words"].value == pytest.approx((1 - 1 / 6) / 2, abs=1e-4)
        assert found[corpus, "one annotator", ""].value == 1.0
    mean = found["mean over corpora", "model", "bag of words"]
    assert mean.value == pytest.approx((1 - 1 / 6) / 2, abs=1e-4)
    assert mean.n == 2
    # In each corpus a resample may take one training twice; in the mean the other corpus then has the worse one.
    assert found["X", "model", "bag of words"].low == pytest.approx(0.0, abs=1e-4)
    assert mean.low == pytest.approx(mean.value, abs=0.05)


def test_dialogues_of_choices_are_not_reported_but_in_a_log_kept_for_checking(judged, tmp_path):
    part = [
        d for k in range(24) if part_of(d := dialogue(k), (Part("develop", 0.5), Part("report", 0.5)), 30) == "report"
    ]
    (row,) = [r for r in table(judged, 0.5) if (r.corpus, r.system, r.metric) == ("X", "one annotator", "macro_f1")]
    assert row.n == sum(9 for d in part if d.source == "x")
    kept = tmp_path / "judged/group-two/fold-test/judged.jsonl"
    kept.parent.mkdir(parents=True)
    kept.write_bytes(b"".join(path.read_bytes() for path in judged))
    (row,) = [r for r in table([kept], 0.5) if (r.corpus, r.system, r.metric) == ("X", "one annotator", "macro_f1")]
    assert row.n == 12 * 9
    assert row.split == ""


def test_mean_of_one_corpus_is_not_written(judged):
    assert not [r for r in table(judged, wanted=("X",)) if r.metric == "main_metric"]


def scored(k: int, offset: float) -> Dialogue:
    """A goal of a user of its own; every failure has a higher score than the successes of its fold."""
    failed = k % 2 == 0
    p = offset + (0.2 if failed else 0.1)
    goal = AtGoal((0,))
    scores = tuple({"success": 1 - p, "failure": p}.items())
    truth = Label("outcome", goal, "failure" if failed else "success")
    model = Annotation("model 0", "model", (Label("outcome", goal, "success", 1 - p, None, scores),))
    turns = (Turn(request=f"request {k}", response=""),)
    annotations = (Annotation("user", "person", (truth,)), model)
    return Dialogue(id=f"g{k:02}", turns=turns, source="x", user=f"u{k:02}", annotations=annotations)


def test_scores_of_two_folds_are_not_ranked_together(tmp_path):
    paths = [tmp_path / f"judged/group-two/fold-{fold}/judged.jsonl" for fold in (0, 1)]
    for fold, path in enumerate(paths):
        path.parent.mkdir(parents=True)
        write_log(path, [scored(k + 40 * fold, 0.4 * fold) for k in range(40)])
    settings = {"two": {"task": "outcome", "reference": "user", "ratings": "vote"}}
    (row,) = [r for r in rows(paths, {"x": "X"}, settings, {}, {}) if r.metric == "failure_auprc"]
    assert (row.value, row.low, row.n) == (1.0, 1.0, 80)


def test_sources_that_no_corpus_has_are_an_error(judged):
    with pytest.raises(UsageError, match="no dialogue is of a source"):
        rows(judged, {"other": "X"}, SETTINGS, {}, {})
