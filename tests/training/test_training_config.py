"""Options: from YAML and the command line into dataclasses, and back."""

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from small_training import PRETRAINING

from labelgen.base.errors import UsageError
from labelgen.base.options import check_options, fields_of, read_options
from labelgen.base.yaml_text import plain, to_yaml
from labelgen.cli.main import main
from labelgen.training.options import FinetuneOptions, PretrainOptions, TrainingOptions, differences

CONFIGS = Path(__file__).parents[2] / "configs"
NEEDED = ["--out", "run", "--data.train", "[log.jsonl]", "--tasks.quality.weight=2"]


def finetune(*argv: str) -> FinetuneOptions:
    return read_options(FinetuneOptions, argv)


def test_overrides_win_over_files_and_later_files_over_earlier(tmp_path: Path):
    first, second = tmp_path / "a.yaml", tmp_path / "b.yaml"
    first.write_text("seed: 1\nbatch: {turns: 8, words: 100}\ntasks: {quality: {}, order: {}}\n")
    second.write_text("batch: {words: 200}\ntasks: {quality: {weight: 3}}\n")
    options = finetune("--config", str(first), f"--config={second}", *NEEDED[:4], "--seed=7")
    assert (options.seed, options.batch.turns, options.batch.words) == (7, 8, 200)
    assert {name: task.weight for name, task in options.tasks.items()} == {"quality": 3.0}
    more = finetune("--config", str(second), *NEEDED[:4], "--tasks.order.weight=1e-1", "--data.valid=[a, b]")
    assert {name: task.weight for name, task in more.tasks.items()} == {"quality": 3.0, "order": 0.1}
    assert more.data.valid == ("a", "b")
    other = finetune("--config", str(first), *NEEDED[:4], "--tasks", "{goals: {}}", "--tasks.order.weight", "2")
    assert {name: task.weight for name, task in other.tasks.items()} == {"goals": 1.0, "order": 2.0}
    assert options.data.train == ("log.jsonl",)


@pytest.mark.parametrize(
    ("argument", "near"),
    [
        ("--bacth.turns=3", "--batch.turns"),
        ("--batch.turn=3", "--batch.turns"),
        ("--seeds=3", "--seed"),
        ("--tasks.quality.wight=3", "--tasks.quality.weight"),
        ("--tasks.qualty.weight=3", "quality"),
        ("--data.trian=x", "--data.train"),
    ],
)
def test_an_unknown_option_names_the_nearest(argument: str, near: str):
    with pytest.raises(UsageError, match="did you mean") as error:
        finetune(*NEEDED, argument)
    assert repr(near) in error.value.hint


def test_an_unknown_key_of_a_file_names_the_file(tmp_path: Path):
    path = tmp_path / "a.yaml"
    path.write_text("model: {encodr: x}\n")
    with pytest.raises(UsageError, match=r"model\.encodr") as error:
        finetune("--config", str(path), *NEEDED)
    assert error.value.where == str(path)
    assert "'model.encoder'" in error.value.hint


@pytest.mark.parametrize(
    ("argument", "key", "words"),
    [
        ("--batch.turns=many", "batch.turns", "a whole number"),
        ("--batch.turns=1.5", "batch.turns", "a whole number"),
        ("--length.max_steps=many", "length.max_steps", "a whole number of 1 or more or null"),
        ("--optimizer.clip=", "optimizer.clip", "a number"),
        ("--model.sound=maybe", "model.sound", "true or false"),
        ("--hardware.precision=8", "hardware.precision", "one of 32, bf16"),
        ("--tasks.order.weight=heavy", "tasks.order.weight", "a number"),
        ("--data.mix=[1, more]", "data.mix", "a number"),
        ("--data.train=[3]", "data.train", "text"),
        ("--length=3", "length", "a table of options"),
        ("loose", "loose", "unexpected argument"),
    ],
)
def test_a_value_of_the_wrong_type_is_told_in_our_words(argument: str, key: str, words: str):
    with pytest.raises(UsageError) as error:
        finetune(*NEEDED, argument)
    assert key in error.value.what
    assert words in error.value.what
    assert not {"class", "Union", "typing", "Parser"} & set(re.findall(r"\w+", str(error.value)))


def test_one_value_stands_for_a_list_of_one(tmp_path: Path):
    path = tmp_path / "a.yaml"
    path.write_text("data: {train: big.jsonl, mix: 2}\nmodel: {leave_out: status}\n")
    options = finetune("--config", str(path), *NEEDED[:2], *NEEDED[4:], "--data.valid", "held out.jsonl")
    assert (options.data.train, options.data.mix, options.model.leave_out) == (("big.jsonl",), (2.0,), ("status",))
    assert options.data.valid == ("held out.jsonl",)


@settings(max_examples=20)
@given(st.floats(min_value=0, allow_infinity=False), st.integers(1), st.booleans(), st.text("abc/._- ", min_size=1))
def test_what_was_said_is_what_is_held(clip: float, turns: int, sound: bool, log: str):
    said = {"optimizer.clip": clip, "batch.turns": turns, "model.sound": sound, "model.encoder": f"x{log}x"}
    options = finetune(
        *NEEDED, *(f"--{key}={value if isinstance(value, str) else json.dumps(value)}" for key, value in said.items())
    )
    held = (options.optimizer.clip, options.batch.turns, options.model.sound, options.model.encoder)
    assert held == tuple(said.values())


@pytest.mark.parametrize("missing", ["out", "data.train", "tasks"])
def test_what_is_needed_is_asked_for(missing: str):
    given = {"out": NEEDED[:2], "data.train": NEEDED[2:4], "tasks": NEEDED[4:]}
    with pytest.raises(UsageError, match=missing.split(".")[0]):
        finetune(*(word for key, words in given.items() if key != missing for word in words))


def test_a_run_needs_a_task():
    with pytest.raises(UsageError, match="no task"):
        finetune(*NEEDED[:4], "--tasks={}")


@pytest.mark.parametrize("text", ["- a\n", "a: [\n"])
def test_a_file_without_options_is_a_usage_error(tmp_path: Path, text: str):
    path = tmp_path / "a.yaml"
    path.write_text(text)
    with pytest.raises(UsageError):
        finetune("--config", str(path), *NEEDED)


def test_the_resolved_config_reads_back_as_the_same_options(tmp_path: Path):
    options = finetune(*NEEDED, "--targets.annotators=[anna, 'kind=person']", "--length.max_minutes=3")
    path = tmp_path / "config.yaml"
    path.write_text(to_yaml(options))
    again = finetune("--config", str(path))
    assert again == options
    assert differences(yaml.safe_load(to_yaml(options)), again) == []


def test_differences_name_the_keys_that_matter():
    before = yaml.safe_load(to_yaml(finetune(*NEEDED)))
    free = finetune(*NEEDED, "--length.max_minutes=3", "--tracking.log_every=1", "--data.workers=2")
    assert differences(before, free) == []
    other = finetune(*NEEDED, "--seed=4", "--tasks.order.weight=1")
    assert [text.split()[0] for text in differences(before, other)] == [
        "seed",
        "tasks.order.antecedents",
        "tasks.order.label_dropout",
        "tasks.order.linear_share",
        "tasks.order.ngrams",
        "tasks.order.pairs",
        "tasks.order.parts",
        "tasks.order.weight",
        "tasks.order.without_texts",
    ]


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_config_resolves_and_repeats_no_default(path: Path):
    kind = PretrainOptions if path.stem in PRETRAINING else FinetuneOptions
    argv = ["--config", str(path), *(NEEDED[:4] if "tasks" in yaml.safe_load(path.read_text()) else NEEDED)]
    options = plain(read_options(kind, argv))
    for section, said in yaml.safe_load(path.read_text()).items():
        if isinstance(said, dict):
            assert set(said) <= set(options[section])


@pytest.mark.parametrize("command", ["pretrain", "finetune"])
def test_help_shows_an_example_and_loads_no_torch(command: str):
    code = (
        "import sys; from labelgen.cli.main import main; code = main(sys.argv[1:]); "
        "assert not {'torch', 'pytorch_lightning', 'transformers'} & set(sys.modules); sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", code, command, "--help"], capture_output=True, text=True, check=True)
    assert f"example: labelgen {command} --config" in " ".join(done.stdout.split())
    assert "peak learning rate" in done.stdout
    offered = set(re.findall(r"(?m)^  --([\w.]+)", done.stdout)) - {"config"}
    kind = FinetuneOptions if command == "finetune" else PretrainOptions
    keys = [item.key.replace("*", "NAME") for item in fields_of(kind) if not item.key.endswith("*")]
    sections = {key for key in keys if any(other.startswith(f"{key}.") for other in keys)} - {"tasks"}
    assert offered == set(keys) - sections


@pytest.mark.parametrize(("kind", "command"), [(PretrainOptions, "pretrain"), (FinetuneOptions, "finetune")])
def test_the_example_of_the_help_is_a_command_that_can_be_carried_out(
    kind: type[TrainingOptions], command: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    assert main([command, "--help"]) == 0
    example = capsys.readouterr().out.partition("example:")[2]
    words = shlex.split(example)[2:]
    monkeypatch.chdir(CONFIGS.parent)
    options = read_options(kind, words)
    check_options(options)
    given_logs = {word for word in words if "jsonl" in word}
    assert {*options.data.train, *options.data.valid} == given_logs


def test_the_command_gives_the_exit_code_of_usage(capsys: pytest.CaptureFixture[str]):
    assert main(["finetune", "--outt", "x"]) == 2
    assert "did you mean '--out'" in capsys.readouterr().err


def test_a_config_is_found_by_its_name_in_any_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "demo").mkdir()
    by_path = finetune("--config", str(CONFIGS / "demo.yaml"))
    for name in ("demo", "demo.yaml"):
        assert finetune("--config", name) == by_path
    (tmp_path / "demo.yaml").write_text(
        "seed: 77\nout: here\ndata: {train: [a]}\ntasks: {goals: {}}\nmodel: {encoder: e}\n"
    )
    assert finetune("--config", "demo.yaml").seed == 77
    with pytest.raises(UsageError, match="unknown config 'dmo'") as told:
        finetune("--config", "dmo")
    assert "did you mean 'demo'?" in told.value.hint


def test_configs_are_part_of_the_package():
    import tomllib

    import labelgen

    root = Path(labelgen.__file__).parents[1]
    parts = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["tool"]["setuptools"]
    assert "configs/*.yaml" in parts["package-data"]["labelgen"]
    assert (root / "labelgen" / "configs" / "base_gpu.yaml").is_file()
