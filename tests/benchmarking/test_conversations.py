"""Conversations judged by pairs of annotators, and their rivals."""

from pathlib import Path

import pytest
from msgspec.structs import replace

from benchmarks.conversations import PUBLISHED_WORDS, RIVALS, ablation, rows, write_fold, write_part, write_rivals
from benchmarks.readers.irc import READER
from benchmarks.rows import PERSON
from labelgen.data.dialogue import Dialogue
from labelgen.data.labels import AtGoal, division
from labelgen.data.log import Log, write_log

SAMPLE = Path(__file__).parents[1] / "lab" / "samples" / "irc"
METRICS = ("variation_of_information", "one_to_one", "exact_goal_f1_several")


@pytest.fixture(scope="module")
def log(tmp_path_factory) -> Path:
    """The sample, three times the file with several annotators; a third annotator says what bo says."""
    path = tmp_path_factory.mktemp("irc") / "log.jsonl"
    several, single = (d for d in READER.read(SAMPLE, {}) if isinstance(d, Dialogue))
    bo = several.annotation("bo")
    assert bo is not None
    several = replace(several, annotations=(*several.annotations, replace(bo, annotator="cy")))
    write_log(path, [*(replace(several, id=f"several/{k}") for k in range(3)), single])
    return path


def goals(dialogue: Dialogue, annotator: str) -> set[tuple[int, ...]]:
    annotation = dialogue.annotation(annotator)
    assert annotation is not None
    return {label.at.turns for label in division(annotation) or () if isinstance(label.at, AtGoal)}


def test_parts_are_told_apart_by_their_annotators(log: Path, tmp_path: Path):
    parts = []
    for several in (True, False):
        write_part([log], [tmp_path / "part.jsonl"], several)
        parts.append([d.id for d in Log([tmp_path / "part.jsonl"])])
    assert parts[0] == ["several/0", "several/1", "several/2"]
    assert len(parts[1]) == 1


def test_rivals_divide_all_turns_by_their_rules(log: Path, tmp_path: Path):
    write_rivals([log], [log], [tmp_path / "rivals.jsonl"])
    dialogue = next(iter(Log([tmp_path / "rivals.jsonl"])))
    assert goals(dialogue, "previous message") == {tuple(range(12))}
    # ana 1, bo names ana 2, ana names bo 4, bo names ana 8, ana 10; cy 3 and 5, whom bo names in 7, so later turns of both join ana's.
    assert goals(dialogue, "same speaker or addressed") == {(0,), (1, 2, 4, 8, 10), (3, 5, 7, 9, 11), (6,)}
    assert {t for goal in goals(dialogue, "logistic regression") for t in goal} == set(range(12))


def test_folds_test_each_dialogue_once_and_never_train_on_it(log: Path, tmp_path: Path):
    every = {d.id for d in Log([log])}
    tested: list[str] = []
    for fold in range(3):
        parts = []
        for test in (True, False):
            write_fold([log], [tmp_path / "part.jsonl"], fold, 3, test)
            parts.append({d.id for d in Log([tmp_path / "part.jsonl"])})
        assert not parts[0] & parts[1]
        assert parts[0] | parts[1] == every
        tested += parts[0]
    assert sorted(tested) == sorted(every)


def test_ablation_of_equal_labels_differs_by_zero(log: Path, tmp_path: Path):
    """One variant repeats the model, which says what bo says; the other one says what ana says, whom nobody repeats."""
    several = [d for d in Log([log]) if d.annotation("bo")]
    write_log(tmp_path / "several.jsonl", several)
    paths = {
        name: tmp_path / folder / "seed-0" / "log.jsonl"
        for name, folder in (("model", ""), ("same one", "variant-same_one"), ("other", "variant-other"))
    }
    for name, path in paths.items():
        path.parent.mkdir(parents=True)
        said = [(d, d.annotation("ana" if name == "other" else "bo")) for d in several]
        labeled = [
            replace(d, annotations=(replace(a, annotator="model", kind="model", covered_turns=None),))
            for d, a in said
            if a is not None
        ]
        write_log(path, labeled)
    ablated = [paths["same one"], paths["other"]]
    made = ablation(
        [tmp_path / "several.jsonl"], [paths["model"]], ablated, ["same one", "other"], METRICS, "toy", "all"
    )
    value = {(r.metric, r.system, r.baseline): r.value for r in made}
    for metric in METRICS:
        assert value[metric, "model", "same one"] == 0.0
        difference = value[metric, "model", "other"]
        assert difference is not None
        assert difference > 0.0
        assert value[metric, "same one", ""] == value[metric, "model", ""]


def test_rows_judge_each_annotator_against_each_other(log: Path, tmp_path: Path):
    """Ana and bo differ, cy says what bo says: of three pairs one agrees wholly. A model that repeats bo is like bo against ana, and right against
    bo and cy."""
    write_rivals([log], [log], [tmp_path / "rivals.jsonl"])
    several = [d for d in Log([tmp_path / "rivals.jsonl"]) if d.annotation("bo")]
    write_log(tmp_path / "rivals.jsonl", several, force=True)
    (tmp_path / "seed-0").mkdir()
    labeled = []
    for d in several:
        bo = d.annotation("bo")
        assert bo is not None
        labeled.append(replace(d, annotations=(replace(bo, annotator="model", kind="model", covered_turns=None),)))
    write_log(tmp_path / "seed-0" / "log.jsonl", labeled)
    made = rows([tmp_path / "rivals.jsonl"], [tmp_path / "seed-0" / "log.jsonl"], METRICS, "toy", "all")
    value = {(r.reference, r.metric, r.system, r.baseline): r.value for r in made if not r.setting}
    for metric in METRICS:
        person = value["another annotator", metric, PERSON, ""]
        model = value["another annotator", metric, "model", ""]
        assert person is not None
        assert model is not None
        # Ordered pairs of people: bo-cy and cy-bo are 1, four are a; the model: twice 1 and once a.
        a = (6 * person - 2) / 4
        assert model == pytest.approx((2 + a) / 3, abs=2e-4)
        assert value["another annotator", metric, "model", PERSON] == pytest.approx(model - person, abs=2e-4)
        assert (PUBLISHED_WORDS, metric, PERSON, "") not in value
    assert {system for _, _, system, _ in value} == {"model", PERSON, *RIVALS}
    assert all(r.value == 0.0 for r in made if r.metric == "coverage"), "too few goals to judge any threshold"
