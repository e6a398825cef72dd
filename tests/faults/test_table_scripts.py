"""The scripts that make tables, with commands that only pretend: which paths they take, what they judge, where tables go."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[2] / "scripts"
PATIENCE_S = 60
PRETEND = r"""#!/usr/bin/env bash
if [ "$1" = -c ]; then exec PYTHON "$@"; fi
printf '%s\n' "${0##*/} $*" >>COMMANDS
words=("$@") made=() out='' model=''
for ((k = 0; k < $#; k++)); do
  next=${words[k + 1]:-}
  case ${words[k]} in
    --out) out=$next ;;
    --model) model=$next ;;
    --parts) for part in ${next//,/ }; do made+=("${words[k - 1]}/${part%%=*}.jsonl"); done ;;
  esac
done
case "$1 ${2:-}" in
  encoder*) made=("$2/origin.json") ;;
  "data convert" | *public_star.py* | *spliced_goals.py\ [ps]*) made=("$4") ;;
  pretrain* | finetune*) made=("$out/model/digests.json") ;;
  evaluate*) made=("$out/evaluation.json") ;;
  consensus* | *held_out.py*) made=("$3") ;;
  calibrate*) made=("$model/calibration.json") ;;
  label*) made=("$3/manifest.json") ;;
esac
for one in "${made[@]}"; do
  mkdir -p "$(dirname "$one")"
  : >"$one"
done
"""
CALLS = {
    "sgd": ("sgd.sh", "../corpora", "../out", "../public"),
    "requests": ("requests.sh", "../corpora", "../out"),
    "uss": ("uss.sh", "../corpora", "../out"),
    "dbdc3": ("quality_folds.sh", "dbdc3", "../corpora", "../out"),
    "star": ("star.sh", "../out", "../public"),
    "goals": ("goals.sh", "../corpora", "../out", "../public/pretrained/model"),
    "segments": ("public_segments.sh", "../corpora", "../one", "../out"),
}
"""What is called, from a folder beside those that are named, without TEST but for segments, which have no other."""
WITH_TEST = sorted(CALLS.keys() - {"segments"})
OF_REQUESTS = ("multiwoz/test.json", "MultiDoGO/airline/test.tsv", "snips/a.json", "SLURP/a.jsonl")
TESTS = ("schema.json", *OF_REQUESTS, "MWOZ.txt", "SGD.txt", "ReDial.txt", "CCPE.txt")
MAKE = ("sgd/test.jsonl", "star-parts/train.jsonl", "star-judged/with_rules.jsonl", "pretrained/model/digests.json")


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Two tests, what `make public` makes, and commands that write down how they were called and make what stages make."""
    for name in ("bin", "elsewhere", "corpora"):
        (tmp_path / name).mkdir()
    for name in ("labelgen", "python"):
        command = tmp_path / "bin" / name
        command.write_text(PRETEND.replace("PYTHON", sys.executable).replace("COMMANDS", str(tmp_path / "commands")))
        command.chmod(0o755)
    for path in (
        *(f"{test}/{name}" for test in ("one", "two") for name in TESTS),
        *(f"public/{name}" for name in MAKE),
    ):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(path)
    return tmp_path


def call(place: Path, script: str, *words: str, **more: str) -> tuple[list[str], subprocess.CompletedProcess[str]]:
    """The commands that a script called, and how it ended."""
    (place / "commands").write_text("")
    environment = {key: value for key, value in os.environ.items() if key not in ("ENCODER", "CONFIG")}
    environment |= {"PATH": f"{place / 'bin'}:{environment['PATH']}", "SEEDS": "0", "FOLDS": "2", **more}
    done = subprocess.run(
        ["bash", SCRIPTS / script, *words],
        cwd=place / "elsewhere",
        env=environment,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    return (place / "commands").read_text().splitlines(), done


def called(place: Path, name: str, *words: str) -> list[str]:
    """The commands of a script that does its work."""
    commands, done = call(place, *CALLS[name], *words)
    assert (done.returncode, done.stderr) == (0, "")
    return commands


def tables(commands: list[str]) -> set[str]:
    """Where the tables go."""
    made = [words.split() for words in commands if words.startswith("python scripts/") and " --out " in words]
    return {words[words.index("--out") + 1] for words in made}


@pytest.mark.parametrize("name", WITH_TEST)
def test_another_test_is_judged_by_the_trainings_that_are_there(name: str, place: Path):
    first, second = called(place, name, "../one"), called(place, name, "../two")
    assert any(words.startswith("labelgen finetune") for words in first)
    assert not any(words.split()[1] in ("encoder", "pretrain", "finetune") for words in second)
    for commands, own, other in ((first, "one", "two"), (second, "two", "one")):
        text = "\n".join(commands)
        assert f"convert {place / own}" in text
        assert f"{place / other}" not in text
        assert "../" not in text
        assert all(Path(table).is_relative_to(place / "out") for table in tables(commands))
    judged = [{words for words in run if words.split()[1] in ("evaluate", "label")} for run in (first, second)]
    assert judged[1]
    assert not judged[0] & judged[1]
    # Nothing but the table is made again; where the folder holds something else, it is another test.
    assert not any(words.startswith("labelgen") for words in called(place, name, "../two"))
    for path in (place / "two").rglob("*"):
        if path.is_file():
            path.write_text("fixed")
    again = {words.split()[1] for words in called(place, name, "../two") if words.startswith("labelgen")}
    assert again & {"evaluate", "label"}
    assert not again & {"encoder", "pretrain", "finetune"}


@pytest.mark.parametrize("name", sorted(CALLS))
def test_what_is_not_there_is_not_judged(name: str, place: Path):
    words = [*CALLS[name]]
    if name == "segments":
        words[2] = "../nowhere"
    commands, done = call(place, *words, *([] if name == "segments" else ["../nowhere"]))
    assert (done.returncode, commands) == (2, [])
    assert "there is no ../nowhere" in done.stderr
    assert not (place / "out").exists()


@pytest.mark.parametrize("name", WITH_TEST)
def test_tables_of_the_parts_at_hand_go_to_results(name: str, place: Path):
    made = tables(called(place, name))
    assert made
    assert all(table.startswith("results") for table in made)


def test_segments_are_judged_on_any_folder(place: Path):
    assert tables(called(place, "segments")) == {str(place / "out")}
    second, done = call(place, "public_segments.sh", "../corpora", "../two", "../out")
    assert done.returncode == 0
    kinds = [words.split()[1] for words in second if words.startswith("labelgen")]
    assert kinds == ["data", "evaluate"]


def test_corpora_that_a_test_lacks_are_named(place: Path):
    for gone in ("multiwoz/test.json", "multiwoz", "CCPE.txt"):
        path = place / "one" / gone
        path.rmdir() if path.is_dir() else path.unlink()
    commands, done = call(place, *CALLS["requests"], "../one")
    assert done.returncode == 0
    assert "no folder of multiwoz: judged on parts of DATA" in done.stderr
    assert f"convert {place}/corpora/multiwoz/test.json" in "\n".join(commands)
    assert f"convert {place}/one/MultiDoGO {place}/out/test-" in "\n".join(commands)
    commands, done = call(place, *CALLS["uss"], "../one")
    assert done.returncode == 0
    assert "no CCPE.txt: not judged" in done.stderr
    assert not any("CCPE.test" in words for words in commands)
    (place / "one" / "none").mkdir()
    for name in ("requests", "uss"):
        commands, done = call(place, *CALLS[name], "../one/none")
        assert (done.returncode, commands) == (2, [])
        assert "../one/none has" in done.stderr


def test_of_a_release_the_part_that_is_published_for_tests_is_judged(place: Path):
    for part in ("train", "test"):
        (place / "one" / "MultiDoGO" / "airline" / f"{part}.tsv").write_text(part)
        (place / "one" / part).mkdir()
    for name in ("multiwoz/train.json", "snips/train_A.json", "snips/validate_A.json", "SLURP/test.jsonl", "eval/a"):
        (place / "one" / name).parent.mkdir(exist_ok=True)
        (place / "one" / name).write_text(name)
    text = "\n".join(called(place, "requests", "../one"))
    for wanted in ("multiwoz/test.json", "SLURP/test.jsonl"):
        assert f"convert {place}/one/{wanted} " in text
    assert "test.jsonl --format multidogo --option part=test" in text
    assert "test.jsonl --format snips --option part=validate" in text
    for name, part in (("sgd", "test"), ("dbdc3", "eval")):
        (place / "out").rename(place / f"before {name}")
        assert f"convert {place}/one/{part} " in "\n".join(called(place, name, "../one"))


@pytest.mark.parametrize("name", ["sgd", "star", "goals"])
def test_what_is_gone_on_from_is_asked_for_at_once(name: str, place: Path):
    (place / "public" / "pretrained" / "model" / "digests.json").unlink()
    commands, done = call(place, *CALLS[name])
    assert (done.returncode, commands) == (2, [])
    assert f"there is no {place}/public/pretrained/model/digests.json; first run: bash scripts/p" in done.stderr


@pytest.mark.parametrize("name", ["uss", "dbdc3"])
def test_a_config_of_ones_own_says_how_quality_is_learned(name: str, place: Path):
    (place / "elsewhere" / "own.yaml").write_text("")
    for config, shown in (
        ("own.yaml", f"{place}/elsewhere/own.yaml"),
        ("configs/base_gpu.yaml", "configs/base_gpu.yaml"),
    ):
        words = (*CALLS[name][:-1], f"../out of {Path(config).stem}")
        commands, done = call(place, *words, CONFIG=config)
        assert done.returncode == 0
        trained = [words for words in commands if words.startswith("labelgen finetune")]
        assert trained
        assert all(f"--config {shown} " in words and "quality_trained.yaml" in words for words in trained)
        assert not any("quality.yaml" in words or "--length" in words for words in trained)
        assert not any(table.startswith("results") for table in tables(commands))
