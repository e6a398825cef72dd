"""labelgen init and run: from a log in any form to labels and a report, and on where it was interrupted."""

import csv
import json
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from labeled import LABELS, labeled_dialogue

from labelgen.base.errors import StorageError
from labelgen.cli import pipeline
from labelgen.cli.init import SAMPLE
from labelgen.cli.main import main
from labelgen.cli.pipeline import STATE, read_pipeline, stages_of
from labelgen.data.log import Log, write_log

Init = Callable[..., Path]


@pytest.fixture
def init(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_encoder: Path) -> Init:
    """Runs init in a folder of its own, and makes the training small. Gives the config."""
    monkeypatch.chdir(tmp_path)

    def call(*words: str) -> Path:
        assert main(["init", *words, "--out", "p"]) == 0
        config = Path("p/run.yaml")
        config.write_text(f"{config.read_text()}encoder: {tiny_encoder}\n")
        small: dict[str, dict[str, object]] = {
            "model": {"dialogue_width": 32, "dialogue_layers": 1, "dialogue_heads": 2},
            "length": {"steps": 2},
        }
        # Not `auto`, which is measured on each new training and may differ.
        small |= {"hardware": {"precision": "32"}, "tracking": {"wandb": "off"}}
        Path("p/training.yaml").write_text(yaml.safe_dump(small))
        return config

    return call


def chat(path: Path) -> Path:
    said = [
        ("user", "play jazz"),
        ("assistant", "Playing jazz."),
        ("user", "no the other one"),
        ("assistant", "Sorry."),
    ]
    lines = (
        json.dumps({"id": f"c{k}", "messages": [{"role": role, "content": f"{text} {k}"} for role, text in said]})
        for k in range(8)
    )
    path.write_text("\n".join(lines) + "\n")
    return path


def test_sample_goes_to_labels_and_report(init: Init, capsys: pytest.CaptureFixture[str]):
    config = init("--sample")
    shown = capsys.readouterr().out
    assert "in the 300 dialogues: 1,353 turns" in shown
    assert "next: labelgen run p/run.yaml" in shown
    assert main(["run", str(config)]) == 0
    assert "report: p/results/evaluation/report.html" in capsys.readouterr().out
    with SAMPLE.open(newline="") as file:
        turns = sum(1 for _ in csv.DictReader(file))
    labeled = list(Log([Path("p/results/labels")]))
    assert sum(len(dialogue.turns) for dialogue in labeled) == turns
    assert all(dialogue.annotation("model") is not None for dialogue in labeled)
    assert Path("p/results/evaluation/report.html").stat().st_size > 10_000
    assert json.loads(Path("p/results/evaluation/evaluation.json").read_text())
    table = Path("p/results/labels.csv").read_text().splitlines()
    assert table[0].startswith("dialogue,annotator,kind,task")
    assert len(table) > turns


def test_interrupted_run_goes_on_and_gives_the_same_labels(init: Init, monkeypatch: pytest.MonkeyPatch):
    config = init("--sample")
    assert main(["run", str(config)]) == 0
    whole = sorted((path.name, path.read_bytes()) for path in Path("p/results/labels").glob("*.jsonl"))
    table = Path("p/results/labels.csv").read_bytes()
    shutil.rmtree("p/results")
    for stop in ("split by user", "training", "labels of the whole log"):
        with monkeypatch.context() as patch:
            _break_after(patch, stop)
            assert main(["run", str(config)]) == StorageError.exit_code
    assert main(["run", str(config)]) == 0
    assert sorted((path.name, path.read_bytes()) for path in Path("p/results/labels").glob("*.jsonl")) == whole
    assert Path("p/results/labels.csv").read_bytes() == table


def _break_after(monkeypatch: pytest.MonkeyPatch, about: str) -> None:
    """The run fails after this step, before it is recorded."""
    write = pipeline._write

    def failing(file: Path, states: dict[str, pipeline._State], stage: pipeline.Stage, state: pipeline._State) -> None:
        if stage.about == about and state.done:
            raise StorageError("no room", str(file), "make some")
        write(file, states, stage, state)

    monkeypatch.setattr(pipeline, "_write", failing)


def test_done_steps_are_kept_and_those_behind_a_change_are_repeated(init: Init, capsys: pytest.CaptureFixture[str]):
    config = init("--sample")
    assert main(["run", str(config)]) == 0
    stages = stages_of(read_pipeline(config))
    capsys.readouterr()
    assert main(["run", str(config)]) == 0
    assert capsys.readouterr().out.count("done before") == len(stages)
    config.write_text(config.read_text().replace("train=0.6,valid=0.2,test=0.2", "train=0.5,valid=0.2,test=0.3"))
    assert main(["run", str(config)]) == 0
    assert capsys.readouterr().out.count("done before") == 3
    with Path("p/sample.csv").open("a") as file:
        file.write("new,u1,2026-05-02T08:00:00Z,hello,Hi.,,,\n")
    assert main(["run", str(config)]) == 0
    assert "done before" not in capsys.readouterr().out
    assert any(dialogue.id == "new" for dialogue in Log([Path("p/results/labels")]))
    state = json.loads(Path("p/results", STATE).read_text())
    assert all(step["done"] for step in state.values())


def test_chat_log_is_recognized_and_runs_without_a_reference(
    init: Init, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    config = init(str(chat(tmp_path / "chat.jsonl")))
    assert "form: chat; in the 8 dialogues: 16 turns" in capsys.readouterr().out
    options = read_pipeline(config)
    assert (options.format, options.mapping, options.reference) == ("chat", None, None)
    names = [stage.about for stage in stages_of(options)]
    assert "evaluation" not in names
    assert "calibration" not in names


def test_records_of_three_people_are_compared_with_their_consensus(init: Init, tmp_path: Path, capsys):
    write_log(tmp_path / "log" / "a.jsonl", [labeled_dialogue(seed) for seed in range(30)], LABELS)
    options = read_pipeline(init(str(tmp_path / "log")))
    assert "form: labelgen" in capsys.readouterr().out
    assert options.annotators == ("kind=person",)
    assert set(options.tasks) == {"goals", "outcome", "quality", "intents", "slots"}
    assert options.reference is not None


def test_incomplete_mapping_is_written_and_taken_up(init: Init, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """A table with German names of columns, semicolons and Windows letters."""
    rows = [
        "Vorgang;Frage;Antwort;Bewertung",
        "1;spiel was für Jörg;Gern.;8",
        "1;nein, lauter;Größer.;2",
        "2;Licht an;An.;10",
    ]
    (tmp_path / "log.csv").write_bytes("\r\n".join(rows).encode("cp1252"))
    assert main(["init", "log.csv", "--out", "p"]) == 2
    error = capsys.readouterr().err
    assert "write what is missing into p/mapping.yaml" in error
    assert not Path("p/run.yaml").exists()
    mapping = Path("p/mapping.yaml")
    assert "encoding: cp1252" in mapping.read_text()
    assert "# Columns: Vorgang, Frage, Antwort, Bewertung\n" in mapping.read_text()
    assert "# dialogue:  # column of the dialogue's id" in mapping.read_text()
    added = "dialogue: Vorgang\nrequest: Frage\nresponse: Antwort\nfeedback: {Bewertung: 'rating 1..10'}\n"
    mapping.write_text(mapping.read_text() + added)
    config = init("log.csv", "--mapping", str(mapping))
    assert "in the 2 dialogues: 3 turns" in capsys.readouterr().out
    assert read_pipeline(config).mapping == mapping


def test_log_that_can_hardly_be_read_names_why_and_runs_with_a_higher_rate(
    init: Init, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    said = ["2026-03-01 08:00:00", "2026-03-01 08:00:05"]
    rows = [f"{k},{at},{who},hi {k}" for k in range(20) for at, who in zip(said, ("user", "bot"), strict=True)]
    zones = ["x,2026-03-01T08:00:00Z,user,hi", "x,2026-03-01 08:00:05,bot,ho", ",2026-03-01 08:00:05,bot,ho"]
    (tmp_path / "t.csv").write_text("\n".join(["conv_id,at,who,text", *rows, *zones]) + "\n")
    config = init("t.csv")
    shown = capsys.readouterr().out
    assert "20 dialogues name no language and are read as English; for another one state default_locale" in shown
    assert "2 of 22 rows or dialogues cannot be read (empty_id 1, mixed_zones 1); a run allows 1%" in shown
    assert (
        "next: correct p/mapping.yaml, then labelgen init t.csv --out p --mapping p/mapping.yaml --force; or" in shown
    )
    assert main(["run", str(config)]) == 3
    config.write_text(config.read_text().replace("max_bad_rate: 0.01", "max_bad_rate: 0.2"))
    assert stages_of(read_pipeline(config))[0].values["max_bad_rate"] == 0.2
    mapping = Path("p/mapping.yaml")
    mapping.write_text(f"{mapping.read_text()}zone: UTC\n")
    assert main(["init", "t.csv", "--out", "p", "--mapping", str(mapping), "--force"]) == 0
    shown = capsys.readouterr().out
    assert "user  hi 0" in shown
    assert "1 of 22 rows or dialogues cannot be read (empty_id 1)" in shown


def test_unreadable_log_is_refused_with_its_reasons(tmp_path: Path, monkeypatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "t.csv").write_text("conv_id,who,text\nc,somebody,hi\n")
    assert main(["init", "t.csv", "--out", "p"]) == 3
    error = capsys.readouterr().err
    assert "no dialogue could be read as the form mapped: bad_speaker 1" in error
    assert "correct p/mapping.yaml, then labelgen init t.csv --out p --mapping p/mapping.yaml" in error


def test_paths_of_a_chat_that_are_not_read_are_named(init: Init, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    said = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "Hello.", "ui": {"thumbs": "up"}}]
    (tmp_path / "c.jsonl").write_text(json.dumps({"conversation": {"uuid": "c1"}, "messages": said}) + "\n")
    init("c.jsonl")
    shown = capsys.readouterr().out
    words = shlex.split(next(line for line in shown.splitlines() if line.startswith("  --option")))
    assert words == ["--option", "dialogue=conversation.uuid", "--option", "feedback={ui.thumbs: thumbs}", "--force"]
    config = init("c.jsonl", *words)
    assert "feedback: rating 1" in capsys.readouterr().out
    assert read_pipeline(config).option == {"dialogue": "conversation.uuid", "feedback": "{ui.thumbs: thumbs}"}


@pytest.mark.parametrize(
    ("text", "words", "what"),
    [
        (None, ["nowhere.csv"], "nowhere.csv does not exist"),
        ("a,b,c\n1,2,3\n", ["odd.csv"], "the mapping does not say what a row is"),
        ("a,b,c\n1,2,3\n", ["odd.csv", "--sample"], "a log and the sample are named"),
        ("\n", ["odd.csv", "--format", "nonsense"], "nonsense"),
        (None, [], "no log is named"),
    ],
)
def test_wrong_logs_are_refused(tmp_path: Path, monkeypatch, capsys, text: str | None, words: list[str], what: str):
    monkeypatch.chdir(tmp_path)
    if text is not None:
        (tmp_path / "odd.csv").write_text(text)
    assert main(["init", *words, "--out", "p"]) == 2
    error = capsys.readouterr().err
    assert what in error
    assert "hint:" in error
    assert not Path("p/run.yaml").exists()


def test_written_files_are_replaced_with_force_only(init: Init, capsys: pytest.CaptureFixture[str]):
    config = init("--sample")
    before = config.read_text()
    assert main(["init", "--sample", "--out", "p"]) == 2
    assert "hint:" in capsys.readouterr().err
    assert config.read_text() == before
    assert main(["init", "--sample", "--out", "p", "--force"]) == 0
    assert config.read_text() != before


def test_failed_step_is_named_and_several_processes_are_refused(init: Init, capsys: pytest.CaptureFixture[str]):
    config = init("--sample")
    capsys.readouterr()
    mapping = Path("p/mapping.yaml")
    mapping.write_text(mapping.read_text().replace("request: user_message", "request: nothing"))
    assert main(["run", str(config)]) in (2, 3)
    error = capsys.readouterr().err
    assert "step 1 of" in error
    assert "import" in error
    assert "hint:" in error
    training = Path("p/training.yaml")
    training.write_text("hardware: {devices: 2}\n")
    assert main(["run", str(config)]) == 2
    assert "a pipeline trains in one process" in capsys.readouterr().err


def test_python_runs_the_same(init: Init):
    import labelgen

    table = labelgen.run(init("--sample"), reference=None).to_pandas()
    assert set(table["dialogue"]) == {dialogue.id for dialogue in Log([Path("p/results/log.jsonl")])}
    assert not Path("p/results/evaluation").exists()
