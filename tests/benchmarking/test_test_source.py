"""`test_source`: the test set alone, in every recipe that learns from a corpus and is judged on it."""

import json
from pathlib import Path

import pytest
from tiny import write_tiny_encoder

from benchmarks.results import read_results
from benchmarks.runner import HELD_BACK, RECIPES, TEST_SOURCE, Instance, Run, load_recipe
from labelgen.base.errors import LabelgenError
from labelgen.cli.main import main

LEARNS = ("labelgen finetune", "labelgen pretrain", "labelgen calibrate")
# The recipe `machine` judges nothing that its model says.
LEARNING = [
    path.stem for path in sorted(RECIPES.glob("*.yaml"))
    if path.stem != "machine" and any(command in spec.run for spec in load_recipe(path.stem).stages.values() for command in LEARNS)
]  # fmt: skip
SAMPLES = Path(__file__).parents[1] / "lab" / "samples"


def made(name: str, changes: dict[str, object]) -> Run:
    return Run(load_recipe(name, changes), Path("data"), Path("work"), Path("results"))


@pytest.mark.parametrize("name", LEARNING)
def test_a_test_source_is_all_that_is_judged_and_nothing_that_is_learned_from(name: str):
    run = made(name, {TEST_SOURCE: "{data:held}"})
    tables = [i for i in run.instances() if run.table_of(i) and run.reads_test(i)]
    assert tables
    spec = run.recipe.stages
    assert [str(i) for i in run.instances() if spec[i.stage].run.startswith(LEARNS) and run.reads_test(i)] == []
    below: list[Instance] = list(tables)
    for instance in below:
        below += [other for other in run.sources_of(instance) if other not in below]
    judging = [i for i in below if spec[i.stage].run.startswith("labelgen evaluate")]
    assert [str(i) for i in judging if not run.reads_test(i)] == []


@pytest.mark.parametrize("name", LEARNING)
def test_without_a_test_source_every_stage_reads_the_own_data(name: str):
    run = made(name, {})
    assert run.recipe.parameters[TEST_SOURCE] == ""
    assert {i.stage for i in run.instances() if run.reads_test(i)} <= {"held", "held_log"}


def calls(count: int, first: int) -> str:
    """BETOLD's samples again and again, each call with acts of its own."""
    samples = json.loads((SAMPLES / "betold" / "BETOLD_valid.json").read_text())
    out = []
    for k in range(first, first + count):
        call = json.loads(json.dumps(samples[k % len(samples)]))
        call["LUHF"] = "luhf" if k % 3 else "not_luhf"
        for act in call["utterances_annotations"][: k % 7 + 4]:
            act["intent"] = f"{act['intent']} {k}"
        out.append(call)
    return json.dumps(out)


def test_rows_of_a_test_source_are_about_it_and_training_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def start(run: Run, instance: Instance, line: list[str]) -> None:
        if line[1] == "doctor":
            write_tiny_encoder(Path(line[3]))
        elif code := main(line[1:]):
            raise LabelgenError(f"{line[1]} failed with exit code {code}", str(instance), "see above")

    monkeypatch.setattr(Run, "_start", start)
    for name, count, first in (("betold", 40, 0), ("one", 6, 100), ("two", 9, 200)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "BETOLD_valid.json").write_text(calls(count, first))
    (tmp_path / "none").mkdir()
    (tmp_path / "none" / "BETOLD_valid.json").write_text("[]")

    def run(source: str) -> list[str]:
        recipe = load_recipe("betold", {"seeds": [0], TEST_SOURCE: f"{{data:{source}}}"})
        one = Run(recipe, tmp_path, tmp_path / "work", tmp_path)
        one.all()
        return one.executed

    def judged() -> set[int | None]:
        rows = [r for r in read_results(tmp_path / "betold.csv") if r.split == f"{HELD_BACK}, all"]
        return {r.n for r in rows if r.system == "model"}

    assert "model/seed-0" in run("one")
    assert judged() == {6}
    assert not {"log", "parts", "model/seed-0"} & set(run("two"))
    assert judged() == {9}
    with pytest.raises(LabelgenError, match="no dialogue was read as betold"):
        run("none")
