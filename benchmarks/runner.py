"""Run a recipe: a graph of stages whose finished outputs are cached by what they depend on.

The key of a stage is a digest of its command, the contents of its inputs and the sources of labelgen; a stage that calls a function
adds the sources of the benchmarks. A stage runs again if its key differs from the one that its output was made with. Inputs are compared by content: a stage that runs again and gives equal bytes
leaves its dependants cached.

A recipe is a YAML file in `benchmarks/recipes`:

    parameters: {corpus: dbdc3, seeds: [0, 1, 2]}       # or `base: other-recipe` and the parameters that differ
    stages:
      log:                                              # name of a stage
        run: labelgen data convert {data:dbdc3} {out} --format {corpus}
        out: log.jsonl                                  # its output below the stage's folder
      model:
        each: {seed: seeds}                             # one stage for each value of the parameter `seeds`
        run: labelgen finetune --out {folder}/run --seed {seed} --data.train [{log}]
        out: run/model
      rows:
        call: benchmarks.rows:from_evaluations          # a Python function; its results are the rows of `table`
        with: {evaluations: "{evaluate:evaluation.json}"}
        table: dbdc3_baselines

With `small: {tables: [...], parameters: {...}}` a recipe has a form of a few minutes, of these tables and with these parameters, which shows
that it runs.

`run` may have several lines, which run in turn. In commands, `{name}` is a parameter, a variable of `each`, or another stage's output; `{stage:path}` is a path below that output, and
may be a pattern such as `f[!0].jsonl`. A parameter that is a mapping gives `each` its keys, and
`{variable_options}` is the value of the key; of a list it is the value itself. A reference to a stage with more variables means all of its instances with equal values of
the shared ones. `{data:path}` is an input below the folder of corpora, `{file:path}` one in the repository. A word that is one
reference becomes one word for each path; within a longer word the paths are joined by commas.

Recipes that learn from a corpus and are judged on it have the parameter `test_source`, empty by default. Given, such as
`{data:/path/to/star}`, it is a log in the corpus's published form, and the test set alone: nothing is learned from it, the recipe's own
data stay what they are, and only tables that are judged on it are made. The parameters of `held_back` are then those of the run.
"""

import hashlib
import importlib
import importlib.util
import itertools
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import Any

import msgspec
from msgspec import structs

from labelgen.base.errors import InputError, LabelgenError, UsageError
from labelgen.base.files import digest_file, write_text

from .results import FOLDER, ROOT, Result, as_list, load_yaml, page_of, slug, versions, write_results

RECIPES = FOLDER / "recipes"
RESUMABLE = ("finetune", "pretrain", "label")
"""Commands of labelgen that continue in the folder of an interrupted run."""
ENVIRONMENT = {"OMP_NUM_THREADS": "1", "WANDB_MODE": "offline", "TOKENIZERS_PARALLELISM": "false"}
TEST_SOURCE, HELD_BACK = "test_source", "held back"
_REFERENCE = re.compile(r"\{([\w-]+)(?::([^{}\s]+))?\}")
Values = Mapping[str, str]


class StageSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"arguments": "with"}):
    """A stage as a recipe declares it."""

    run: str = ""
    call: str = ""
    arguments: dict[str, Any] = {}
    out: str = ""
    each: dict[str, str] = {}
    table: str = ""


@dataclass(frozen=True, slots=True)
class Recipe:
    """parameters: values for the placeholders, lists for `each`; stages: by name; changes: parameters that differ from the file's."""

    name: str
    parameters: dict[str, Any]
    stages: dict[str, StageSpec]
    changes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def command(self) -> str:
        """What runs it, for the rows that it makes."""
        options = [f"--set {shlex.quote(f'{name}={json.dumps(value)}')}" for name, value in self.changes.items()]
        return " ".join([f"python -m benchmarks run {self.name}", *options])


@dataclass(frozen=True, slots=True)
class Instance:
    """A stage with a value for each of its variables."""

    stage: str
    values: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        return "/".join([self.stage, *(f"{name}-{slug(value)}" for name, value in self.values)])


class Record(msgspec.Struct, kw_only=True):
    """stage.json: what a finished stage was made from, and the digest of its output."""

    key: str
    command: str
    inputs: dict[str, str] = {}
    output: str = ""
    seconds: float = 0.0
    versions: str = ""


@dataclass
class Run:
    """One run of a recipe.

    Attributes:
        data: folder of the unpacked corpora.
        work: folder for the outputs of all stages.
        results: folder of the CSV files.
        executed: instances that ran, in their order; the others were cached.
    """

    recipe: Recipe
    data: Path
    work: Path
    results: Path
    executed: list[str] = field(default_factory=list)
    _records: dict[Instance, Record] = field(default_factory=dict)
    _locks: dict[Instance, threading.RLock] = field(default_factory=dict)
    _own: threading.local = field(default_factory=threading.local)
    _reads_test: dict[Instance, bool] = field(default_factory=dict)

    def all(self, only: Sequence[str] = (), jobs: int = 1) -> None:
        """Run every stage that is not cached, then write the rows of each table.

        Args:
            only: tables, with the stages that they need.
            jobs: stages at once."""
        chosen = [i for i in self.instances() if (not only or self.table_of(i) in only) and self._is_wanted(i)]
        missing = set(only) - {self.table_of(i) for i in chosen}
        if missing:
            known = sorted({self.table_of(i) for i in self.instances()} - {""})
            raise self._error(f"the recipe makes no table {', '.join(sorted(missing))}", f"tables: {', '.join(known)}")
        with ThreadPoolExecutor(jobs) as pool:
            try:
                list(pool.map(self.make, chosen))
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise
        tables: dict[str, list[Result]] = {}
        for instance in chosen:
            if table := self.table_of(instance):
                made = msgspec.json.decode((self.folder(instance) / "rows.json").read_bytes(), type=list[Result])
                made = [structs.replace(row, table=table, command=self.recipe.command) for row in made]
                if self.recipe.parameters.get(TEST_SOURCE):
                    made = [structs.replace(row, split=", ".join(filter(None, [HELD_BACK, row.split]))) for row in made]
                tables.setdefault(table, []).extend(made)
        for table, rows in tables.items():
            write_results(self.results / f"{page_of(table)}.csv", rows)

    def _is_wanted(self, instance: Instance) -> bool:
        """Whether a stage is run for itself: with a test source, if its table is judged on that; without one, if it reads none."""
        given = bool(self.recipe.parameters.get(TEST_SOURCE))
        return self.reads_test(instance) == given and (not given or bool(self.table_of(instance)))

    def reads_test(self, instance: Instance) -> bool:
        """Whether a stage reads the test source, itself or through other stages."""
        if instance not in self._reads_test:
            self._reads_test[instance] = False  # Until it is known, for stages that depend on each other.
            itself = f"{{{TEST_SOURCE}}}" in _text(self.recipe.stages[instance.stage])
            self._reads_test[instance] = itself or any(map(self.reads_test, self.sources_of(instance)))
        return self._reads_test[instance]

    def sources_of(self, instance: Instance) -> list[Instance]:
        """The stages whose outputs a stage refers to."""
        text = self._filled(instance, _text(self.recipe.stages[instance.stage]))
        names = {match[1] for match in _REFERENCE.finditer(text)} & set(self.recipe.stages)
        return [other for name in names for other in self.instances(name, dict(instance.values))]

    def table_of(self, instance: Instance) -> str:
        """The table of a stage's rows; it may be a parameter."""
        table = self.recipe.stages[instance.stage].table
        return str(self.recipe.parameters.get(table.strip("{}"), table))

    def instances(self, stage: str | None = None, values: Values | None = None) -> list[Instance]:
        """Instances of all stages, or of one, whose variables have the given values."""
        matching = []
        for name, spec in self.recipe.stages.items():
            if stage not in (None, name):
                continue
            choices = [[(v, str(x)) for x in self._list(name, v, p)] for v, p in spec.each.items()]
            for chosen in itertools.product(*choices):
                if all((values or {}).get(v, x) == x for v, x in chosen):
                    matching.append(Instance(name, tuple(chosen)))
        return matching

    def _list(self, stage: str, variable: str, parameter: str) -> list[Any]:
        value = self.recipe.parameters.get(parameter)
        value = list(value) if isinstance(value, dict) else value
        if not isinstance(value, list):
            raise self._error(
                f"each: {variable} of stage {stage} needs the list parameter {parameter}", "add it to parameters"
            )
        return value

    def folder(self, instance: Instance) -> Path:
        """The folder of a stage's output and record."""
        return self.work / str(instance)

    def output(self, instance: Instance) -> Path:
        """The path of a stage's output."""
        return self.folder(instance) / self.recipe.stages[instance.stage].out

    def make(self, instance: Instance) -> Record:
        """Run a stage unless its cached output is current; first all stages that it depends on."""
        active: tuple[Instance, ...] = getattr(self._own, "active", ())
        if instance in active:
            raise self._error(
                f"stages depend on each other: {' -> '.join(map(str, [*active, instance]))}", "break the cycle"
            )
        self._own.active = (*active, instance)
        try:
            with self._locks.setdefault(instance, threading.RLock()):
                if instance not in self._records:
                    self._records[instance] = self._made(instance)
        finally:
            self._own.active = active
        return self._records[instance]

    def _made(self, instance: Instance) -> Record:
        spec = self.recipe.stages[instance.stage]
        inputs: dict[str, str] = {}
        command = self._command(instance, spec, inputs)
        parts = [instance.stage, command.tokens, sorted(inputs.items()), _code(spec), spec.out]
        key = hashlib.sha256(json.dumps(parts).encode()).hexdigest()
        folder = self.folder(instance)
        record = _read(folder / "stage.json")
        if record is None or record.key != key or not self.output(instance).exists():
            shown = "; ".join(map(shlex.join, command.tokens))
            record = self._execute(instance, spec, command, Record(key=key, command=shown, inputs=inputs))
        return record

    def _execute(self, instance: Instance, spec: StageSpec, command: "Command", record: Record) -> Record:
        folder = self.folder(instance)
        started = folder / "started"
        resumes = any(line[0] == "labelgen" and line[1] in RESUMABLE for line in command.lines)
        if folder.exists() and not (resumes and started.is_file() and started.read_text() == record.key):
            shutil.rmtree(folder)
        self.output(instance).parent.mkdir(parents=True, exist_ok=True)
        (folder / "stage.json").unlink(missing_ok=True)
        write_text(started, record.key)
        print(f"{time.strftime('%H:%M:%S')} {instance}: {record.command}", flush=True)
        began = time.monotonic()
        for line in command.lines:
            self._start(instance, line)
        if spec.call:
            made = _function(spec.call)(**command.arguments)
            if spec.table:
                rows = [structs.replace(row, versions=row.versions or versions()) for row in made]
                write_text(folder / "rows.json", msgspec.json.encode(rows).decode())
        if spec.out or spec.table:
            record.output = digest(self.output(instance) if spec.out else folder / "rows.json")
        record.seconds = round(time.monotonic() - began, 1)
        record.versions = versions("torch")
        write_text(folder / "stage.json", msgspec.json.format(msgspec.json.encode(record), indent=1).decode() + "\n")
        started.unlink()
        self.executed.append(str(instance))
        return record

    def _start(self, instance: Instance, line: Sequence[str]) -> None:
        """Run one command. Raises LabelgenError with the last line that it printed if it fails."""
        path = self.folder(instance) / "log.txt"
        with path.open("ab") as log:
            environment = {**os.environ, **ENVIRONMENT}
            code = subprocess.run(_program(line), cwd=ROOT, env=environment, stdout=log, stderr=log).returncode
        if code:
            printed = path.read_text(encoding="utf-8", errors="replace").split("\n")
            last = next((text for text in reversed(printed) if text.strip()), "it printed nothing")
            hint = "correct it and run the same command again; finished stages are cached"
            raise LabelgenError(f"stage {instance} failed with exit code {code}: {last}", str(path), hint)

    def _command(self, instance: Instance, spec: StageSpec, inputs: dict[str, str]) -> "Command":
        """The command of a stage; the digest of each input is added to `inputs`."""
        if bool(spec.run) == bool(spec.call):
            raise self._error(f"stage {instance.stage} needs either run or call", "give one of them")
        parameters, fill = self.recipe.parameters, partial(self._filled, instance)

        def expand(text: str) -> tuple[list[str], list[str]]:
            """The words that a text becomes, as paths and as tokens."""
            parts = [(m[0], *self._paths(instance, m[1], m[2], inputs)) for m in _REFERENCE.finditer(text)]
            if len(parts) == 1 and parts[0][0] == text:
                return parts[0][1], parts[0][2]
            shown = [text, text]
            for reference, *both in parts:
                shown = [s.replace(reference, ",".join(paths)) for s, paths in zip(shown, both, strict=True)]
            return [shown[0]], [shown[1]]

        lines, tokens = [], []
        for line in fill(spec.run).strip().split("\n") if spec.run else []:
            pairs = [expand(word) for word in shlex.split(line)]
            lines.append([word for words, _ in pairs for word in words])
            tokens.append([token for _, shown in pairs for token in shown])
        arguments: dict[str, Any] = {}
        for name, value in spec.arguments.items():
            arguments[name], shown = value, [str(value)]
            whole = re.fullmatch(r"\{([\w-]+)\}", value) if isinstance(value, str) else None
            if whole and whole[1] in parameters and not _REFERENCE.search(str(parameters[whole[1]])):
                arguments[name], shown = parameters[whole[1]], [str(parameters[whole[1]])]
            elif isinstance(value, str):
                words, shown = expand(fill(value))
                arguments[name] = [Path(word) for word in words] if _REFERENCE.search(fill(value)) else words[0]
            tokens.append([spec.call, f"{name}={' '.join(shown)}"])
        return Command(lines, tokens, arguments)

    def _filled(self, instance: Instance, text: str) -> str:
        """The text with values in place of parameters and variables."""
        parameters = self.recipe.parameters
        values = {name: " ".join(map(str, as_list(value))) for name, value in parameters.items()}
        values |= dict(instance.values)
        for variable, parameter in self.recipe.stages[instance.stage].each.items():
            options, value = parameters[parameter], values[variable]
            values[f"{variable}_options"] = str(options[value]) if isinstance(options, dict) else value
        for _ in range(3):  # A parameter may contain placeholders.
            text = re.sub(r"\{([\w-]+)\}", lambda m: values.get(m[1], m[0]), text)
        return text

    def _paths(
        self, instance: Instance, name: str, below: str | None, inputs: dict[str, str]
    ) -> tuple[list[str], list[str]]:
        """What a reference means: paths, and the tokens that stand for them."""
        if name in ("out", "folder"):
            return [str(self.output(instance) if name == "out" else self.folder(instance))], [name]
        if name in ("data", "file"):
            return self._matches(self.data if name == "data" else ROOT, name, below or "", inputs)
        if name not in self.recipe.stages:
            raise self._error(
                f"stage {instance.stage} refers to {name}, which is neither a parameter nor a stage",
                f"stages: {', '.join(self.recipe.stages)}",
            )
        paths: list[str] = []
        tokens: list[str] = []
        for other in self.instances(name, dict(instance.values)):
            record = self.make(other)
            if below:
                matches = self._matches(self.output(other), str(other), below, inputs)
            else:
                inputs[str(other)] = record.output
                matches = [str(self.output(other))], [str(other)]
            paths += matches[0]
            tokens += matches[1]
        return paths, tokens

    def _matches(self, folder: Path, token: str, below: str, inputs: dict[str, str]) -> tuple[list[str], list[str]]:
        pattern = any(c in below for c in "*?[")
        paths = sorted(folder.glob(below)) if pattern else [folder / below]
        missing = [path for path in paths if not path.exists()]
        if missing or not paths:
            raise self._error(f"there is no {missing[0] if missing else folder / below}", "check the path, and --data")
        names = [f"{token}:{path.relative_to(folder)}" for path in paths]
        inputs.update((name, digest(path)) for name, path in zip(names, paths, strict=True))
        return [str(path) for path in paths], names

    def _error(self, what: str, hint: str) -> UsageError:
        return UsageError(what, f"benchmarks/recipes/{self.recipe.name}.yaml", hint)


@dataclass(frozen=True, slots=True)
class Command:
    """lines: the words of each command; tokens: the same without paths of this machine; arguments: of a function."""

    lines: list[list[str]]
    tokens: list[list[str]]
    arguments: dict[str, Any]


def load_recipe(name: str, changes: Mapping[str, Any] | None = None, small: bool = False) -> Recipe:
    """A recipe with its base. changes: parameters that replace those of the recipe. small: in the form of `small`, with its tables alone.
    Raises UsageError for an unknown recipe or parameter, and for a recipe without a small form."""
    path = RECIPES / f"{name}.yaml"
    if not path.is_file():
        known = sorted(p.stem for p in RECIPES.glob("*.yaml"))
        raise UsageError(f"there is no recipe {name}", str(RECIPES), f"recipes: {', '.join(known)}")
    parameters, stages = _load(path)
    if small:
        form = load_yaml(path).get("small")
        if form is None:
            raise UsageError(f"the recipe {name} has no small form", str(path), "run it without --small")
        changes = {**form.get("parameters", {}), **(changes or {})}
        stages = {
            key: structs.replace(s, table="") if s.table not in form["tables"] else s for key, s in stages.items()
        }
    unknown = set(changes or ()) - set(parameters)
    if unknown:
        raise UsageError(
            f"the recipe {name} has no parameter {', '.join(sorted(unknown))}",
            str(path),
            f"parameters: {', '.join(parameters)}",
        )
    held_back = parameters.get("held_back", {}) if (changes or {}).get(TEST_SOURCE) else {}
    return Recipe(name, {**parameters, **held_back, **(changes or {})}, stages, changes or {})


def _load(path: Path) -> tuple[dict[str, Any], dict[str, StageSpec]]:
    content = load_yaml(path)
    parameters, stages = _load(RECIPES / f"{content['base']}.yaml") if "base" in content else ({}, {})
    try:
        more = msgspec.convert(content.get("stages", {}), dict[str, StageSpec])
    except msgspec.ValidationError as error:
        raise InputError(str(error), str(path), "see benchmarks/runner.py for the form of a recipe") from error
    return {**parameters, **content.get("parameters", {})}, {**stages, **more}


def digest(path: Path) -> str:
    """SHA-256 of a file, or of the names and contents of a folder's files."""
    if path.is_file():
        return digest_file(path)
    lines = [f"{file.relative_to(path)} {digest_file(file)}" for file in sorted(path.rglob("*")) if file.is_file()]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _text(spec: StageSpec) -> str:
    """Where a stage may refer to others."""
    return " ".join([spec.run, *map(str, spec.arguments.values())])


def _code(spec: StageSpec) -> str:
    """Digest of a stage's code: the sources of labelgen and, for a function, those of the benchmarks and of its module."""
    if spec.run:
        return _sources("labelgen", "configs")
    module = importlib.util.find_spec(spec.call.partition(":")[0])
    if module is None or module.origin is None:
        raise InputError(f"there is no module for {spec.call}", "benchmarks/recipes", "write call: module:function")
    return f"{_sources('labelgen', 'configs', 'benchmarks')} {digest_file(Path(module.origin))}"


@cache
def _sources(*folders: str) -> str:
    """Digest of the Python files and configs below these folders of the repository, for this process."""
    files = [path for folder in folders for path in (ROOT / folder).rglob("*") if path.suffix in (".py", ".yaml")]
    lines = [f"{path.relative_to(ROOT)} {digest_file(path)}" for path in sorted(files) if path.parent != RECIPES]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _function(name: str) -> Any:
    module, _, function = name.partition(":")
    return getattr(importlib.import_module(module), function)


def _program(words: Sequence[str]) -> list[str]:
    """The command with this Python in place of `labelgen` and `python`."""
    if words[0] == "labelgen":
        # By its file, which a training on several processes starts again.
        return [sys.executable, str(Path(sys.executable).with_name("labelgen")), *words[1:]]
    return [sys.executable, *words[1:]] if words[0] == "python" else list(words)


def _read(path: Path) -> Record | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=Record)
    except (OSError, msgspec.MsgspecError):
        return None


def recipe_names(small: bool = False) -> Iterator[tuple[str, str]]:
    """Name and first comment line of every recipe. small: of those with a small form."""
    for path in sorted(RECIPES.glob("*.yaml")):
        if not small or "small" in load_yaml(path):
            yield path.stem, path.read_text(encoding="utf-8").partition("\n")[0].lstrip("# ")
