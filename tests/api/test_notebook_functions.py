"""Functions for notebooks that do what a command does: the same files, texts and counts, for dialogues in memory too."""

import json
import re
from typing import Any

import pandas
import pytest
from rich.text import Text
from tiny import write_tiny_encoder

import labelgen
from labelgen.api.results import TrainingRun
from labelgen.cli.main import main
from labelgen.data.dialogue import Dialogue
from labelgen.report.terminal import DialogueView, PlainConsole, drawn_html


@pytest.fixture(scope="module")
def log() -> labelgen.Dialogues:
    return labelgen.simulate(12, seed=3, annotated=0.5)


def printed(capsys: pytest.CaptureFixture[str], *words: object) -> str:
    assert main([str(word) for word in words]) == 0
    return capsys.readouterr().out


def test_simulate_gives_the_log_of_the_command(log, tmp_path):
    assert main(f"simulate {tmp_path}/log.jsonl --dialogues 12 --seed 3 --annotated 0.5".split()) == 0
    assert list(log) == list(labelgen.load_log(tmp_path / "log.jsonl"))
    assert log.labels == labelgen.load_log(tmp_path / "log.jsonl").labels
    with pytest.raises(labelgen.LabelgenError, match="strictness"):
        labelgen.simulate(1, strictness=3)


def test_explain_shows_what_the_command_prints(log, tmp_path, capsys):
    log.save(tmp_path / "log.jsonl")
    dialogue = list(log)[1].id
    shown = printed(capsys, "feedback", "explain", tmp_path / "log.jsonl", dialogue, "--width", 100)
    explanation = labelgen.explain(log, dialogue)
    assert str(explanation).split() == shown.split()
    assert dialogue in explanation._repr_html_()
    with pytest.raises(labelgen.LabelgenError, match="no dialogue nobody"):
        labelgen.explain(log, "nobody")


def test_prompts_and_answers_as_dicts_equal_those_of_the_commands(log, tmp_path, capsys):
    log.save(tmp_path / "log.jsonl")
    printed(
        capsys, "review", "export", tmp_path / "log.jsonl", tmp_path / "prompts", "--to", "jsonl", "--task", "quality"
    )
    lines = (tmp_path / "prompts" / "questions.jsonl").read_text(encoding="utf-8").splitlines()
    prompts = labelgen.prompts(log, task=["quality"])
    assert prompts == [json.loads(line) for line in lines]

    answers = [{"id": one["id"], "answer": {"quality": 4}} for one in prompts]
    (tmp_path / "answers.jsonl").write_text("".join(f"{json.dumps(one)}\n" for one in answers))
    by_dicts = labelgen.import_answers(log, answers, annotator="gpt")
    by_file = labelgen.import_answers(log, tmp_path / "answers.jsonl", from_="jsonl", annotator="gpt")
    assert list(by_dicts) == list(by_file)
    assert by_dicts.counts == {("gpt",): 12}
    assert {a.kind for d in by_dicts for a in d.annotations if a.annotator == "gpt"} == {"llm"}
    assert len(by_dicts.details().query("annotator == 'gpt'")) == 12


def test_rejected_answers_are_counted_in_the_notes(log):
    dialogues = list(log)
    answers = [{"id": d.id, "answer": {"quality": 4}} for d in dialogues[1:]] + [
        {"id": dialogues[0].id, "answer": "no"}
    ]
    imported = labelgen.import_answers(log, answers, annotator="gpt", max_bad_rate=0.2)
    assert imported.counts == {("gpt",): 11}
    assert "bad_answer" in "".join(imported.notes)
    assert "bad_answer" in imported._repr_html_()
    with pytest.raises(labelgen.LabelgenError, match="max-bad-rate"):
        labelgen.import_answers(log, answers, annotator="gpt")


def test_details_have_a_row_for_each_signal_and_target(log):
    signals = labelgen.find_signals(log)
    targets = labelgen.aggregate(signals)
    assert len(signals.details()) == sum(signals.counts.values()) == sum(len(d.signals) for d in signals)
    rows = targets.details()
    assert len(rows) == sum(targets.counts.values())
    quality = rows[(rows.task == "quality") & (rows.unit == "turn")]
    assert quality.went_well.between(0, 1).all()
    assert quality.turn.notna().all()
    assert rows[rows.task == "goals"].went_well.isna().all()
    assert "signals in 12 dialogues" in repr(signals)
    assert "targets in 12 dialogues" in repr(targets)


def test_init_returns_a_config_that_run_reads(log, tmp_path, capsys):
    log.save(tmp_path / "log.jsonl")
    config = labelgen.init(tmp_path / "log.jsonl", out=tmp_path / "labeling")
    assert config == tmp_path / "labeling" / "run.yaml"
    assert "12 dialogues" in capsys.readouterr().out
    with pytest.raises(labelgen.LabelgenError, match="workers"):
        labelgen.run(config, workers=0)


def test_finetune_keeps_dialogues_that_are_in_no_file_with_the_run(log, tmp_path):
    encoder = write_tiny_encoder(tmp_path / "encoder")

    def train(dialogues: Any) -> TrainingRun:
        return labelgen.finetune(
            dialogues,
            out=tmp_path / "run",
            tasks={"quality": {}},
            model={"encoder": encoder, "dialogue_width": 32, "dialogue_heads": 2},
            length={"steps": 1},
            hardware={"threads": 1},
            tracking={"wandb": "off"},
        )

    dialogues = list(log)
    train(dialogues)
    assert list(labelgen.load_log(tmp_path / "run" / "data" / "train.jsonl")) == dialogues
    assert "already done" in str(train(dialogues))
    assert "already done" in str(train(log))  # a temporary file counts as none
    with pytest.raises(labelgen.LabelgenError, match="other dialogues"):
        train(labelgen.split(log, train=0.5, test=0.5)["train"])


def test_finetune_into_a_folder_with_other_files_is_refused(log, tmp_path):
    (tmp_path / "run" / "data").mkdir(parents=True)
    (tmp_path / "run" / "data" / "thesis.txt").write_text("years of work")
    with pytest.raises(labelgen.LabelgenError, match="not a training run"):
        labelgen.finetune(list(log), out=tmp_path / "run", tasks={"quality": {}})


def test_write_encoder_refuses_a_folder_that_is_there(tmp_path):
    (tmp_path / "encoder").mkdir()
    (tmp_path / "encoder" / "thesis.txt").write_text("years of work")
    with pytest.raises(labelgen.LabelgenError, match="not empty"):
        labelgen.write_encoder(tmp_path / "encoder")


def test_console_in_a_notebook_prints_text_in_its_place(monkeypatch, capsys):
    monkeypatch.setattr("rich.console._is_jupyter", lambda: True)
    print("before")
    PlainConsole(width=60).print(DialogueView(Dialogue(id="d7", turns=()), None))
    print("after")
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "before"
    assert lines[1].startswith("d7")
    assert lines[-1] == "after"


def test_log_of_a_table_shows_what_became_of_its_rows_once_it_was_read():
    rows = [{"chat": "c1", "at": 1.0, "ask": "play jazz", "say": "Playing."}] * 2
    mapping = {"dialogue": "chat", "time": "at", "request": "ask", "response": "say"}
    log = labelgen.load_log(pandas.DataFrame(rows), mapping=mapping)
    assert len(log) == 1
    for _ in range(2):
        assert "2 rows: 1 in dialogues, 1" in log._repr_html_()


def test_drawing_as_html_has_every_color_of_the_terminal():
    parts = [Text("x", style) for k in range(8) for style in (f"color({k})", f"color({k + 8})")]
    colors = re.findall(r"(?<!-)color: (#\w{6})", drawn_html(*parts))
    assert len(colors) == 16
    assert "#ffffff" not in colors  # on a white page


def test_log_in_a_temporary_file_names_no_path(log):
    assert "labelgen-" not in repr(log)
