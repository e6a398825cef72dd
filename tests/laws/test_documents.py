"""What README and documentation show works: commands, options, Python, records, configs, links.

Blocks of `sh` and `console` are run in order, page by page, in a small world of logs and an untrained model. Blocks of `bash` need what
tests lack (a GPU, a corpus, a cluster); their commands and options are checked against the help."""

import doctest
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from tiny import write_tiny_encoder

from labelgen.cli.commands import FIRST_WORDS
from labelgen.cli.main import main

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted(
    p for p in (*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("tests/*/*.md"), *ROOT.glob("scripts/*.sh"))
)
FENCE = re.compile(r"^ *```(\w*)\n(.*?)^ *```", re.M | re.S)
CURRENT = [p for p in DOCUMENTS if p.name != "CHANGELOG.md"]
"""Documents of this version; the changelog names what older ones had."""
PAGES = [p for p in DOCUMENTS if p.suffix == ".md"]
LANGUAGES = {"bash", "console", "csv", "json", "py", "python", "sh", "text", "toml", "yaml"}
SMALL = [
    *("--model.dialogue_width=32", "--model.dialogue_heads=2", "--model.dialogue_layers=1", "--model.words=0"),
    *("--length.steps=1", "--hardware.accelerator=cpu", "--hardware.precision=32", "--tracking.wandb=off"),
]
"""Options that make any training take a moment."""
COMMAND = re.compile(r"(?:^|[\s;&|(`])labelgen +([a-z][\w-]*)((?: +[^\s|;&>`]+)*)", re.M)


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def shell(path: Path) -> str:
    """The parts of a document that are to be typed, a continued line as one."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".md":
        blocks = [body for language, body in FENCE.findall(text) if language in ("", "sh", "bash", "console", "shell")]
        inline = [
            code for code in re.findall(r"`(labelgen [^`]+)`", text) if code.split()[1] in FIRST_WORDS or " --" in code
        ]
        text = "\n".join([*blocks, *re.findall(r"^ {4,}(labelgen .*)", FENCE.sub("", text), re.M), *inline])
    text = re.sub(r"^ *#.*$", "", text, flags=re.M)
    return re.sub(r"\\\n\s*", " ", text)


@pytest.mark.parametrize("path", CURRENT, ids=name)
def test_shown_commands_and_options_exist(path: Path, helps):
    for command, rest in COMMAND.findall(shell(path)):
        assert command in helps.shown, f"labelgen {command}"
        words = rest.split()
        known = f"{command} {words[0]}" if words and f"{command} {words[0]}" in helps.shown else command
        text = helps.shown[known][1]
        for option in re.findall(r"(?<!\S)--[a-z][\w-]*", rest):
            assert option in text, f"labelgen {known} knows no {option}"


@pytest.mark.parametrize("path", CURRENT, ids=name)
def test_shown_make_targets_exist(path: Path):
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.M))
    text = path.read_text(encoding="utf-8")
    shown = set(re.findall(r"`make ([a-z]+)", text)) | set(re.findall(r"^ *(?:\$ )?make ([a-z]+)", text, re.M))
    assert shown <= targets


@pytest.mark.parametrize("path", [p for p in DOCUMENTS if p.suffix == ".md"], ids=name)
def test_links_within_the_project_lead_to_files(path: Path):
    """The pages of commands are generated when the site is built (docs/hooks.py)."""
    links = re.findall(r"\]\(([^)#\s]+)", FENCE.sub("", path.read_text(encoding="utf-8")))
    local = [to for to in links if "://" not in to and not to.startswith("mailto:") and "reference/commands/" not in to]
    assert [to for to in local if not (path.parent / to).exists()] == []


def python(path: Path) -> str:
    """The Python of a document, its blocks one after the other."""
    return "\n".join(body for language, body in FENCE.findall(path.read_text(encoding="utf-8")) if language == "python")


def faults(session: str) -> str:
    """What a session at the prompt prints otherwise than it shows; nothing is shown is a fault too."""
    test = doctest.DocTestParser().get_doctest(session, {}, "session", None, None)
    if not any(example.want for example in test.examples):
        return "it shows no output"
    told: list[str] = []
    doctest.DocTestRunner(verbose=False).run(test, out=told.append)
    return "".join(told)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the files that pages take for granted: logs, parts, signals, targets, a tiny encoder, a model, labels."""
    folder = tmp_path_factory.mktemp("world")
    before = Path.cwd()
    os.chdir(folder)
    try:
        for command in (
            "simulate logs/a.jsonl --dialogues 60 --seed 1 --annotated 0.7",
            "simulate log.jsonl --dialogues 30 --seed 2",
            "data split logs/ parts/ --parts train=0.4,valid=0.3,test=0.3",
            "feedback signals parts/train.jsonl signals.jsonl",
            "feedback aggregate signals.jsonl targets-train.jsonl",
        ):
            assert main(command.split()) == 0
        shutil.copy("parts/labels.json", "labels.json")
        rows = ("call,at,who,text,liked,team", "c1,{}:00Z,user,louder please,,north", "c1,{}:02Z,assistant,OK,up,north")
        Path("calls.csv").write_text("".join(row.format("2026-03-01T08:00") + "\n" for row in rows))
        write_tiny_encoder(Path("runs/encoder"))
        train = ["--config=public_cpu", "--model.encoder=runs/encoder", "--data.train=[log.jsonl]", "--out=runs/tuned"]
        assert main(["finetune", *train, "--targets.annotators=[anna]", *SMALL]) == 0
        assert main(["label", "parts/test.jsonl", "labeled", "--model", "runs/tuned/model", "--workers", "1"]) == 0
    finally:
        os.chdir(before)
    return folder


@pytest.fixture
def here(world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the world, as the current folder."""
    monkeypatch.chdir(shutil.copytree(world, tmp_path / "here"))
    return tmp_path / "here"


def small(words: list[str], helps) -> list[str]:
    """The command with less work: few dialogues, one step of training, few resamples; outputs may be replaced."""
    name = f"{words[0]} {words[1]}" if " ".join(words[:2]) in helps.shown else words[0]
    text = helps.shown[name][1]
    for i, word in enumerate(words[:-1]):
        if word == "--dialogues":
            words[i + 1] = str(min(60, int(words[i + 1])))
        if word == "--workers":
            words[i + 1] = "1"
    if name in ("pretrain", "finetune"):
        shutil.rmtree(words[words.index("--out") + 1], ignore_errors=True)
        more = [*SMALL, "--model.encoder=runs/encoder", "--batch.turns=64", "--data.workers=0"]
        keys = {word.partition("=")[0] for word in more}
        words = [w for w, last in zip(words, ["", *words], strict=False) if not keys & {w.partition("=")[0], last}]
        words += more
    if name == "label" and "--workers" not in words and "-" not in words:
        words += ["--workers", "1"]
    if "--resamples" in text:
        words += ["--resamples", "20"]
    if re.search(r"^ +--force", text, re.M) and not (name == "label" and "-" in words):
        words.append("--force")
    return words


def run(line: str, helps) -> int:
    """Exit code of one line of a block of `sh`; a pipe runs in processes of its own."""
    if " | " in line:
        line = re.sub(r"(^|\| )labelgen ", rf"\1{shlex.quote(sys.executable)} -m labelgen.cli.main ", line)
        return subprocess.run(["bash", "-o", "pipefail", "-c", line], stdout=subprocess.DEVNULL, check=False).returncode
    words = shlex.split(line)
    assert words[0] == "labelgen", f"only labelgen runs in blocks of sh: {line}"
    if words[1] == "encoder":
        if words[2] != "runs/encoder":
            shutil.copytree("runs/encoder", words[2])
        return 0
    return main(small(words[1:], helps))


def blocks(path: Path, *languages: str) -> list[str]:
    return [body for language, body in FENCE.findall(path.read_text(encoding="utf-8")) if language in languages]


@pytest.mark.parametrize("path", PAGES, ids=name)
def test_code_block_has_a_language_that_is_checked(path: Path):
    assert {language for language, _ in FENCE.findall(path.read_text(encoding="utf-8"))} <= LANGUAGES


@pytest.mark.slow
@pytest.mark.parametrize("path", [p for p in PAGES if blocks(p, "sh")], ids=name)
def test_commands_of_a_page_run_in_order(path: Path, here: Path, helps):
    for block in blocks(path, "sh"):
        for line in re.sub(r"\\\n\s*", " ", block).splitlines():
            command = line.partition(" #")[0].strip()
            if command and not command.startswith("#"):
                assert run(command, helps) == 0, command


@pytest.mark.parametrize("path", [p for p in PAGES if blocks(p, "console")], ids=name)
def test_session_prints_what_is_shown(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(tmp_path)
    for session in blocks(path, "console"):
        for step in session.split("$ labelgen ")[1:]:
            command, _, shown = step.partition("\n")
            assert main(command.split()) == 0
            assert [line.rstrip() for line in capsys.readouterr().out.splitlines()] == shown.splitlines(), command


@pytest.mark.parametrize("path", [p for p in PAGES if python(p)], ids=name)
def test_python_prints_what_is_shown(path: Path, here: Path):
    assert not faults(python(path))


@pytest.mark.parametrize("path", [p for p in PAGES if blocks(p, "json", "yaml", "toml")], ids=name)
def test_data_block_parses(path: Path):
    for block in blocks(path, "json"):
        json.loads(block)
    for block in blocks(path, "yaml"):
        assert yaml.safe_load(block)
    for block in blocks(path, "toml"):
        assert tomllib.loads(block)


@pytest.mark.parametrize("session", [">>> 1 + 1\n3\n", ">>> two = 1 + 1\n", ">>> two\n2\n", "two = 1 + 1\n"])
def test_session_with_other_or_no_output_is_noticed(session: str):
    assert faults(session)
    assert not faults(">>> 1 + 1\n2\n")


def test_paths_in_the_architecture_page_exist():
    text = (ROOT / "docs" / "explanation" / "architecture.md").read_text(encoding="utf-8")
    paths = set(re.findall(r"`([a-z_]+/[a-z_/]+\.py)`", text))
    assert len(paths) > 30
    assert {path for path in paths if not (ROOT / "labelgen" / path).exists() and not (ROOT / path).exists()} == set()
