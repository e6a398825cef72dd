"""Recipes: only stages whose inputs changed run again, and an interrupted run continues."""

import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import runner
from benchmarks.results import FOLDER, ROOT, Result, as_list, load_yaml, read_results
from benchmarks.runner import RECIPES, Recipe, Run, StageSpec, _sources, load_recipe, recipe_names
from labelgen.base.errors import InputError, LabelgenError, UsageError
from labelgen.base.options import read_options
from labelgen.cli.commands import find_command
from labelgen.cli.main import _split

JOIN = "import sys; open(sys.argv[1], 'w').write(''.join(sorted(open(p).read() for p in sys.argv[2:])))"
UPPER = "import sys; open(sys.argv[1], 'w').write(open(sys.argv[2]).read().strip().upper() + sys.argv[3])"


def stage(**fields) -> StageSpec:
    return StageSpec(**fields)


def recipe(**parameters) -> Recipe:
    """Two inputs, each in capitals, by seed; then joined; then the rows of a table."""
    stages = {
        "log": stage(run="python {data:join.py} {out} {data:a.txt}", out="log.txt"),
        "other": stage(run="python {data:join.py} {out} {data:b.txt}", out="log.txt"),
        "model": stage(run="python {data:upper.py} {out} {log} {seed}", out="m.txt", each={"seed": "seeds"}),
        "all": stage(run="python {data:join.py} {out} {model} {other}", out="all.txt"),
        "rows": stage(call="bench_rows:rows", arguments={"logs": "{all}", "corpus": "{corpus}", "seeds": "{seeds}"}, table="t"),
    }  # fmt: skip
    return Recipe("fake", {"seeds": [0, 1], "corpus": "C", **parameters}, stages)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    data = tmp_path / "data"
    data.mkdir()
    for name, text in (("a.txt", "a\n"), ("b.txt", "b\n"), ("join.py", JOIN), ("upper.py", UPPER)):
        (data / name).write_text(text)
    module = "from benchmarks.results import Result\ndef rows(logs, corpus, seeds):\n"
    module += "    text = logs[0].read_text()\n    return [Result(table='', corpus=corpus, metric='accuracy', system=text, seed=' '.join(map(str, seeds)), value=1.0)]\n"
    (tmp_path / "bench_rows.py").write_text(module)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "bench_rows", raising=False)
    monkeypatch.setattr(runner, "page_of", lambda table: "page")
    return tmp_path


def run(place: Path, chosen: Recipe | None = None) -> list[str]:
    """What ran, in order."""
    made = Run(chosen or recipe(), place / "data", place / "work", place / "results")
    (place / "results").mkdir(exist_ok=True)
    made.all()
    return made.executed


EVERY = ["log", "other", "model/seed-0", "model/seed-1", "all", "rows"]


def test_a_second_run_executes_nothing_and_the_rows_stand_in_the_table(place: Path):
    assert run(place) == EVERY
    results = read_results(place / "results" / "page.csv")
    assert [(r.table, r.corpus, r.system, r.seed, r.command) for r in results] == [
        ("t", "C", "A0A1b\n", "0 1", "python -m benchmarks run fake")
    ]
    assert run(place) == []


def test_stages_at_once_run_once_each_and_stop_at_a_failure(place: Path):
    (place / "results").mkdir()
    many = recipe(seeds=list(range(6)))
    made = Run(many, place / "data", place / "work", place / "results")
    made.all(jobs=4)
    assert sorted(made.executed) == sorted([*EVERY, *(f"model/seed-{k}" for k in range(2, 6))])
    (place / "data" / "upper.py").write_text("raise SystemExit('no')")
    failing = Run(many, place / "data", place / "work", place / "results")
    with pytest.raises(LabelgenError, match="no"):
        failing.all(jobs=2)
    assert not {"all", "rows"} & set(failing.executed)


def test_rows_of_changed_parameters_name_them_in_their_command(place: Path):
    chosen = recipe(seeds=[1])
    run(place, Recipe(chosen.name, chosen.parameters, chosen.stages, {"seeds": [1]}))
    assert {r.command for r in read_results(place / "results" / "page.csv")} == {
        "python -m benchmarks run fake --set 'seeds=[1]'"
    }


def test_a_changed_input_or_a_lost_output_runs_only_what_depends_on_it(place: Path):
    run(place)
    (place / "data" / "b.txt").write_text("B\n")
    assert run(place) == ["other", "all", "rows"]
    (place / "data" / "a.txt").write_text("x\n")
    assert run(place) == ["log", "model/seed-0", "model/seed-1", "all", "rows"]
    (place / "data" / "a.txt").write_text("x \n")  # In capitals and without spaces it is the same.
    assert run(place) == ["log", "model/seed-0", "model/seed-1"]
    (place / "work" / "other" / "log.txt").unlink()
    assert run(place) == ["other"]


def test_a_changed_command_parameter_or_code_runs_again(place: Path):
    run(place)
    assert run(place, recipe(seeds=[0, 2])) == ["model/seed-2", "all", "rows"]
    assert run(place, recipe(seeds=[0, 2], corpus="D")) == ["rows"]
    module = place / "bench_rows.py"
    module.write_text(module.read_text() + "# another version\n")
    sys.modules.pop("bench_rows")
    assert run(place, recipe(seeds=[0, 2], corpus="D")) == ["rows"]


@pytest.mark.parametrize(
    ("changed", "expected"),
    [("labelgen/base/files.py", None), ("benchmarks/rows.py", ["rows"]), ("benchmarks/recipes/betold.yaml", [])],
)
def test_a_changed_source_runs_the_stages_that_use_it(
    place: Path, monkeypatch: pytest.MonkeyPatch, changed: str, expected: list[str] | None
):
    """labelgen's sources belong to every stage, those of the benchmarks to stages that call a function, a recipe to none."""
    tree = place / "tree"
    for name in ("labelgen/base/files.py", "benchmarks/rows.py", "benchmarks/recipes/betold.yaml"):
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text("1\n")
    monkeypatch.setattr(runner, "ROOT", tree)
    monkeypatch.setattr(runner, "RECIPES", tree / "benchmarks" / "recipes")
    _sources.cache_clear()
    run(place)
    (tree / changed).write_text("2\n")
    _sources.cache_clear()
    assert run(place) == (EVERY if expected is None else expected)
    _sources.cache_clear()


def test_a_failed_stage_says_why_and_the_next_run_continues(place: Path):
    (place / "data" / "upper.py").write_text("import sys\nsys.exit('no memory')")
    with pytest.raises(LabelgenError, match=r"stage model/seed-0 failed with exit code 1: no memory"):
        run(place)
    (place / "data" / "upper.py").write_text(UPPER)
    assert run(place) == ["model/seed-0", "model/seed-1", "all", "rows"]


def test_a_killed_run_continues_where_it_was(place: Path):
    kill = "import os, signal, sys\nsentinel = os.path.join(os.path.dirname(sys.argv[0]), 'killed')\n"
    kill += "if sys.argv[3] == '1' and not os.path.exists(sentinel):\n"
    kill += "    open(sentinel, 'w'); open(sys.argv[1], 'w').write('half'); os.kill(os.getppid(), signal.SIGKILL); sys.exit()\n"
    (place / "data" / "upper.py").write_text(kill + UPPER)
    code = f"import sys; sys.path[:0] = [{str(Path(__file__).parent)!r}, {str(place)!r}]; from pathlib import Path; import test_runner; "
    code += f"test_runner.run(Path({str(place)!r}))"
    killed = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert not (place / "work" / "model" / "seed-1" / "stage.json").exists()
    assert run(place) == ["model/seed-1", "all", "rows"]
    assert (place / "work" / "all" / "all.txt").read_text() == "A0A1b\n"


def test_patterns_and_shared_variables_choose_the_outputs(place: Path):
    split = "import sys, pathlib; p = pathlib.Path(sys.argv[1]); p.mkdir(); [(p / f'f{k}').write_text(str(k)) for k in range(3)]"
    (place / "data" / "split.py").write_text(split)
    stages = {
        "folds": stage(run="python {data:split.py} {out}", out="parts"),
        "train": stage(run="python {data:join.py} {out} {folds:f[!{fold}]}", out="t", each={"fold": "folds_"}),
        "label": stage(run="python {data:join.py} {out} {train} {folds:f{fold}}", out="l", each={"fold": "folds_"}),
        "comma": stage(run="python -c print(1) [{train}]"),
    }
    made = Run(Recipe("fake", {"folds_": [0, 1, 2]}, stages), place / "data", place / "work", place / "results")
    made.all()
    assert (place / "work/train/fold-1/t").read_text() == "02"
    assert (place / "work/label/fold-1/l").read_text() == "021" or (place / "work/label/fold-1/l").read_text() == "012"
    command = made.make(made.instances("comma")[0]).command
    assert command.endswith("'[train/fold-0,train/fold-1,train/fold-2]'")


def test_options_of_a_variable_are_its_value_in_a_mapping_and_in_a_list_itself(place: Path):
    spec = stage(run="python {data:join.py} {out} {data:{variant_options}.txt}", out="o", each={"variant": "chosen"})
    for chosen in ({"first": "a", "second": "b"}, ["a", "b"]):
        made = Run(Recipe("fake", {"chosen": chosen}, {"s": spec}), place / "data", place / "work", place / "results")
        made.all()
        contents = [made.output(instance).read_text() for instance in made.instances()]
        assert contents == [(place / "data" / f"{name}.txt").read_text() for name in "ab"]


def test_unknown_references_missing_files_and_cycles_are_refused(place: Path):
    def fails(**stages):
        Run(Recipe("fake", {}, stages), place / "data", place / "work", place / "results").all()

    with pytest.raises(UsageError, match="refers to nothing, which is neither a parameter nor a stage"):
        fails(a=stage(run="python {nothing}"))
    with pytest.raises(UsageError, match=r"there is no .*gone\.txt"):
        fails(a=stage(run="python {data:gone.txt}"))
    with pytest.raises(UsageError, match="stages depend on each other: a -> b -> a"):
        fails(a=stage(run="python {b}", out="x"), b=stage(run="python {a}", out="x"))
    with pytest.raises(UsageError, match="needs either run or call"):
        fails(a=stage())


def test_recipes_with_an_unknown_name_parameter_or_field_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(runner, "RECIPES", tmp_path)
    (tmp_path / "base.yaml").write_text("parameters: {corpus: a, seeds: [0]}\nstages: {log: {run: 'true', out: x}}")
    (tmp_path / "one.yaml").write_text("base: base\nparameters: {corpus: b}")
    (tmp_path / "bad.yaml").write_text("stages: {log: {command: x}}")
    assert load_recipe("one", {"seeds": [1]}).parameters == {"corpus": "b", "seeds": [1]}
    with pytest.raises(UsageError, match="there is no recipe two"):
        load_recipe("two")
    with pytest.raises(UsageError, match="has no parameter colour"):
        load_recipe("one", {"colour": 1})
    with pytest.raises(InputError, match="unknown field `command`"):
        load_recipe("bad")


def test_recipes_that_pages_name_make_the_tables_they_show():
    for page in load_yaml(FOLDER / "pages.yaml")["pages"].values():
        for table in page["tables"]:
            name, *tables = table.get("recipe", "none").split()
            if name != "none":
                made = Run(load_recipe(name), Path("data"), Path("work"), Path("results"))
                known = {made.table_of(instance) for instance in made.instances()}
                assert set(tables or as_list(table["query"]["table"])) <= known, table["title"]


def parse(words: list[str]) -> None:
    """Parse a command of labelgen without running it. Raises UsageError for words that it does not have."""
    name, rest = _split(words)
    read_options(find_command(name).options, rest)


def pretend(self, instance, line) -> None:
    """Make what a stage makes, after parsing its command: a file, or a folder with files of every part."""
    if line[0] == "labelgen":
        parse(line[1:])
    make_output(self.output(instance), " ".join(line))


def make_output(out: Path, text: str) -> None:
    out.parent.mkdir(parents=True, exist_ok=True)
    if out.suffix:
        out.write_text(text)
        return
    parts = (
        "train",
        "valid",
        "test",
        "held",
        "calib",
        "pool",
        "predictions",
        "ftest",
        "answered",
        "feedback",
        "rated",
        *(f"f{k}" for k in range(5)),
    )
    for name in parts:
        out.mkdir(exist_ok=True)
        (out / f"{name}.jsonl").write_text(name)


@pytest.mark.parametrize("held", [False, True], ids=["own", "held"])
@pytest.mark.parametrize("path", sorted(RECIPES.glob("*.yaml")), ids=lambda p: p.stem)
def test_recipe_stages_find_their_inputs_and_use_known_options(
    path: Path, held: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    loaded = load_recipe(path.stem)
    if held and "test_source" not in loaded.parameters:
        return
    loaded = load_recipe(path.stem, {"test_source": "{data:held_back}"} if held else {})
    monkeypatch.setattr(runner, "_function", lambda name: lambda **arguments: call(**arguments))
    monkeypatch.setattr(Run, "_start", pretend)
    monkeypatch.setattr(runner, "ROOT", tmp_path)
    numbers = iter(range(1000))

    def call(**arguments):
        for made in arguments.get("out", ()):
            make_output(made, "log")
        return [Result(corpus="C", metric="accuracy", system=str(next(numbers)), value=1.0)]

    for folder, names in (
        (tmp_path / "data", ("sgd/dev/a", "sgd/test/a", "multiwoz/val.json", "multiwoz/test.json", "multidogo/data/a")),
        (tmp_path, ("runs/demo/parts/test.jsonl", "runs/demo/finetuned/model/a")),
    ):
        for name in names:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(name)
    text = " ".join([*map(str, loaded.stages.values()), *map(str, loaded.parameters.values())])
    of_variable = {v: loaded.parameters[p] for stage in loaded.stages.values() for v, p in stage.each.items()}
    listed = {v: list(map(str, values)) for v, values in of_variable.items()}
    listed |= {f"{v}_options": list(map(str, x.values())) for v, x in of_variable.items() if isinstance(x, dict)}
    for kind, name in re.findall(r"\{(data|file):([^{}*\[]*(?:\{\w+\}[^{}*\[]*)?)\}", text):
        variable = re.search(r"\{(\w+)\}", name)
        values = listed[variable[1]] if variable else [""]
        for each in [name.replace(variable[0] if variable else "{}", value) for value in values]:
            made = (tmp_path / "data" if kind == "data" else tmp_path) / each
            if not made.exists():
                made.parent.mkdir(parents=True, exist_ok=True)
                made.write_text((ROOT / each).read_text() if (ROOT / each).is_file() else each)
    made = Run(loaded, tmp_path / "data", tmp_path / "work", tmp_path)
    made.all()
    wanted = [instance for instance in made.instances() if made.reads_test(instance) == held]
    assert set(made.executed) >= {str(instance) for instance in wanted if not held or made.table_of(instance)}
    again = Run(loaded, tmp_path / "data", tmp_path / "work", tmp_path)
    again.all()
    assert again.executed == []


@pytest.mark.parametrize("name", [name for name, _ in recipe_names(small=True)])
def test_small_form_makes_its_tables_alone(name: str):
    form = load_yaml(RECIPES / f"{name}.yaml")["small"]
    tables = {stage.table for stage in load_recipe(name, small=True).stages.values()} - {""}
    assert tables == set(form["tables"])
