"""What the documents and scripts tell people to type exists."""

import doctest
import re
import shutil
from pathlib import Path

import pytest
from labeled import LABELS, labeled_dialogue

from labelgen.cli.main import COMMANDS
from labelgen.model.build import build_model
from labelgen.model.folder import save_model
from labelgen.model.options import ModelOptions
from labelgen.tasks import TASKS
from labelgen.tasks.options import TaskOptions

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted(
    p for p in (*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("tests/*/*.md"), *ROOT.glob("scripts/*.sh"))
)
FENCE = re.compile(r"^ *```(\w*)\n(.*?)^ *```", re.M | re.S)
COMMAND = re.compile(r"(?:^|[\s;&|(`])labelgen +([a-z][\w-]*)((?: +[^\s|;&>`]+)*)", re.M)


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def shell(path: Path) -> str:
    """The parts of a document that are to be typed, a continued line as one."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".md":
        blocks = [body for language, body in FENCE.findall(text) if language in ("", "sh", "bash", "console", "shell")]
        inline = [
            code for code in re.findall(r"`(labelgen [^`]+)`", text) if code.split()[1] in COMMANDS or " --" in code
        ]
        text = "\n".join([*blocks, *re.findall(r"^ {4,}(labelgen .*)", FENCE.sub("", text), re.M), *inline])
    text = re.sub(r"^ *#.*$", "", text, flags=re.M)
    return re.sub(r"\\\n\s*", " ", text)


@pytest.mark.parametrize("path", DOCUMENTS, ids=name)
def test_every_command_and_option_that_is_shown_exists(path: Path, helps):
    for command, rest in COMMAND.findall(shell(path)):
        assert command in helps.shown, f"labelgen {command}"
        words = rest.split()
        known = f"{command} {words[0]}" if words and f"{command} {words[0]}" in helps.shown else command
        text = helps.shown[known][1]
        for option in re.findall(r"(?<!\S)--[a-z][\w-]*", rest):
            assert option in text, f"labelgen {known} knows no {option}"


@pytest.mark.parametrize("path", DOCUMENTS, ids=name)
def test_every_make_target_that_is_shown_exists(path: Path):
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.M))
    text = path.read_text(encoding="utf-8")
    shown = set(re.findall(r"`make ([a-z]+)", text)) | set(re.findall(r"^ *(?:\$ )?make ([a-z]+)", text, re.M))
    assert shown <= targets


@pytest.mark.parametrize("path", [p for p in DOCUMENTS if p.suffix == ".md"], ids=name)
def test_every_link_within_the_project_leads_somewhere(path: Path):
    links = re.findall(r"\]\(([^)#\s]+)", FENCE.sub("", path.read_text(encoding="utf-8")))
    missing = [
        to for to in links if "://" not in to and not to.startswith("mailto:") and not (path.parent / to).exists()
    ]
    assert not missing


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
def model(tiny_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder, untrained."""
    options = ModelOptions(encoder=str(tiny_encoder), dialogue_width=32, dialogue_heads=2, dialogue_layers=1)
    tasks = {task: TaskOptions() for task in TASKS}
    folder = tmp_path_factory.mktemp("documents") / "model"
    save_model(build_model(options, tasks, LABELS, [labeled_dialogue(0)]), folder, {})
    return folder


@pytest.mark.parametrize("path", [p for p in DOCUMENTS if p.suffix == ".md" and python(p)], ids=name)
def test_python_that_is_shown_prints_what_is_shown(
    path: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(model, "runs/tuned/model")
    assert not faults(python(path))


@pytest.mark.parametrize("session", [">>> 1 + 1\n3\n", ">>> two = 1 + 1\n", ">>> two\n2\n", "two = 1 + 1\n"])
def test_a_session_that_shows_something_else_or_nothing_is_noticed(session: str):
    assert faults(session)
    assert not faults(">>> 1 + 1\n2\n")
