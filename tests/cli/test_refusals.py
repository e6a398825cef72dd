"""Paths that are not there, numbers that mean nothing, and outputs that are inputs: exit code 2, and nothing is written."""

from pathlib import Path

import pytest
from labeled import labeled_dialogue

from labelgen.cli.main import main
from labelgen.data.log import write_log


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a log, the same in a folder, answers without answers, and a run that holds a model."""
    monkeypatch.chdir(tmp_path)
    for path in ("log.jsonl", "logs/a.jsonl"):
        write_log(tmp_path / path, [labeled_dialogue(seed) for seed in range(4)])
    (tmp_path / "answers.json").write_text("[]")
    (tmp_path / "run" / "model").mkdir(parents=True)
    (tmp_path / "run" / "model" / "digests.json").write_text("{}")
    return tmp_path


def content(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("report nothere.json out.html", "nothere.json does not exist"),
        ("report run out.html", "run is a folder"),
        ("review import log.jsonl nothere.json out.jsonl", "nothere.json does not exist"),
        ("label log.jsonl out --workers 1 --model run", "did you mean run/model?"),
        ("label log.jsonl out --workers 1 --model logs", "name a folder that labelgen finetune wrote"),
        ("label log.jsonl out --model m --max-bad-rate 5", "--max-bad-rate is '5'"),
        ("data validate - --format chat", "'chat' is not read from standard input"),
        ("data convert log.jsonl --out out.jsonl", "give OUT without a name"),
        ("evaluate log.jsonl --out out --resamples 0", "--resamples is '0'"),
    ],
)
def test_what_is_not_there_or_means_nothing_is_refused(here, capsys, words, said):
    before = content(here)
    assert main(words.split()) == 2
    assert said in capsys.readouterr().err
    assert content(here) == before
    assert not (here / "out").exists()


@pytest.mark.parametrize(
    "words",
    [
        "consensus log.jsonl {out}",
        "data convert log.jsonl {out}",
        "feedback signals log.jsonl {out}",
        "review sample log.jsonl {out} --count 1 --strategy audit",
        "review import log.jsonl answers.json {out}",
    ],
)
def test_a_log_is_never_written_over_itself(here, capsys, words):
    before = content(here)
    for log, out in (("log.jsonl", "log.jsonl"), ("log.jsonl", "./logs/../log.jsonl"), ("logs", "logs/a.jsonl")):
        assert main([*words.format(out=out).replace(" log.jsonl", f" {log}", 1).split(), "--force"]) == 2
        assert "is read and would be overwritten" in capsys.readouterr().err
        assert content(here) == before
