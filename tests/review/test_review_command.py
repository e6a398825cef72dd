"""`labelgen review` from the outside: sample, export, import, on logs in both forms."""

import json
from pathlib import Path

import pytest
from answered import accepted, said
from msgspec.structs import replace

from labelgen.cli.main import main
from labelgen.data.dialogue import Dialogue, Turn, extra
from labelgen.data.label_sets import LabelName
from labelgen.data.labels import Abstained, Annotation, AtGoal, AtSpan, AtTurn, Field, Label
from labelgen.data.log import Log, write_log
from labelgen.review.sampling import SAMPLE

COUNT = 12


def labeled(k: int) -> Dialogue:
    """Every third dialogue has a turn whose intent the model withheld; one has no turns."""
    turns = tuple(Turn(request=f"😀 play song {k}", response="Playing.") for _ in range(k % 3))
    labels = tuple(Label("intents", AtTurn(t), "play", 0.9 - k / 100) for t in range(len(turns) - (k % 3 == 2)))
    withheld = (
        (Abstained(Field("intents", AtTurn(1)), (Label("intents", AtTurn(1), "stop", 0.3),)),) if k % 3 == 2 else ()
    )
    model = Annotation("m", "model", labels, (), withheld)
    return Dialogue(id=f"d{k}", turns=turns, annotations=(model,), extra='{"mine":1}')


@pytest.fixture(params=["log.jsonl", "log.parquet"])
def log(request, tmp_path) -> Path:
    path: Path = tmp_path / request.param
    names = {"*": {"intents": (LabelName("play"), LabelName("other")), "slots": (LabelName("song"),)}}
    write_log(path, [labeled(k) for k in range(COUNT)], names)
    return path


def run(*words: object) -> int:
    return main(["review", *map(str, words)])


def read(path: Path) -> list[Dialogue]:
    return list(Log([path]))


def answer(folder: Path, who: object = "anna") -> Path:
    tasks = json.loads((folder / "tasks.json").read_text(encoding="utf-8"))
    out = folder / "answers.json"
    out.write_text(json.dumps([accepted(task, who) for task in tasks]), encoding="utf-8")
    return out


def test_review_loop_with_label_studio_adds_the_answers(log, tmp_path, capsys):
    sample, folder, out = tmp_path / f"sample{log.suffix}", tmp_path / "review", tmp_path / f"out{log.suffix}"
    assert run("sample", log, sample, "--count", 3, "--strategy", "abstained") == 0
    drawn = read(sample)
    assert len(drawn) == 3
    assert all(a.abstained for d in drawn for a in d.annotations)
    assert [json.loads(d.extra or "")["sample"]["rank"] for d in drawn] == [0, 1, 2]
    assert all(json.loads(d.extra or "")["mine"] == 1 for d in drawn)
    assert run("export", sample, folder, "--to", "label-studio", "--show-labels") == 0
    config = (folder / "config.xml").read_text(encoding="utf-8")
    assert all(f'value="{name}"' in config for name in ("play", "stop", "other", "song"))
    assert run("import", log, answer(folder), out) == 0
    assert "3 annotations in 12 dialogues" in capsys.readouterr().out
    after = {d.id: d for d in read(out)}
    assert list(after) == [f"d{k}" for k in range(COUNT)]
    for d in drawn:
        person = after[d.id].annotation("anna")
        assert person is not None
        assert said(person) == said(d.annotations[0])
    assert sum(d.annotation("anna") is not None for d in after.values()) == 3
    # Another person, and the first one again: what is known changes nothing.
    assert run("import", out, answer(folder, 7), tmp_path / "two.jsonl") == 0
    assert run("import", tmp_path / "two.jsonl", answer(folder), tmp_path / "three.jsonl") == 0
    assert (tmp_path / "two.jsonl").read_bytes() == (tmp_path / "three.jsonl").read_bytes()
    assert {a.annotator for a in read(tmp_path / "two.jsonl")[2].annotations} == {"m", "anna", "label-studio:7"}


def test_audit_sample_has_probabilities_and_depends_on_the_seed(log, tmp_path, capsys):
    drawn: list[bytes] = []
    for seed in (1, 1, 2):
        out = tmp_path / f"{len(drawn)}.jsonl"
        assert run("sample", log, out, "--count", 4, "--strategy", "audit", "--seed", seed) == 0
        drawn.append(out.read_bytes())
        # Four of the dialogues have no turns, and nobody can look at them.
        assert [extra(d)[SAMPLE]["probability"] for d in read(out)] == [0.5] * 4
    assert drawn[0] == drawn[1] != drawn[2]


@pytest.mark.parametrize("form", ["label-studio", "jsonl"])
def test_export_unless_asked_is_the_same_without_the_model(log, tmp_path, form, capsys):
    """Of the model only the names of its labels may be seen, which the label sets have too."""
    names = {"*": {"intents": (LabelName("play"), LabelName("stop")), "slots": (LabelName("song"),)}}
    marked = (Label("slots", AtSpan(0, 2, 6), "song", 0.4, "Play"), Label("goals", AtGoal((0,)), "goal", 0.6))
    whole = [labeled(k) for k in range(COUNT)]
    whole = [
        replace(d, annotations=tuple(replace(a, labels=(*a.labels, *marked)) for a in d.annotations)) if d.turns else d
        for d in whole
    ]
    folders = []
    for name, dialogues in (("with", whole), ("without", [replace(d, annotations=()) for d in whole])):
        write_log(tmp_path / f"{name}.jsonl", dialogues, names, force=True)
        folders.append(tmp_path / f"{name}-review")
        assert run("export", tmp_path / f"{name}.jsonl", folders[-1], "--to", form) == 0
    with_model, without = ({p.relative_to(f): p.read_bytes() for p in f.rglob("*") if p.is_file()} for f in folders)
    assert with_model
    assert with_model == without


@pytest.mark.parametrize("rate", [0.0, 0.5])
def test_import_with_faults_rejects_them_and_stops_at_too_many(log, tmp_path, rate, capsys):
    folder, out, bad = tmp_path / "review", tmp_path / "out.jsonl", tmp_path / "bad.jsonl"
    assert run("export", log, folder, "--to", "label-studio", "--show-labels") == 0
    answers = answer(folder)
    tasks = json.loads(answers.read_text())
    tasks[0]["data"]["dialogue"][1]["text"] = "another request"
    tasks[1]["annotations"][0]["was_cancelled"] = True
    answers.write_text(json.dumps(tasks))
    code = run("import", log, answers, out, "--quarantine", bad, "--max-bad-rate", rate)
    rejected = [json.loads(line) for line in bad.read_text().splitlines()]
    assert sorted(item["reason"].partition(":")[0] for item in rejected) == ["changed_text", "skipped"]
    assert all(json.loads(item["raw"])["completed_by"] == "anna" for item in rejected)
    if rate:
        assert code == 0
        assert len(read(out)) == COUNT
        assert sum(d.annotation("anna") is not None for d in read(out)) == len(tasks) - 2
    else:
        assert code == 3
        assert not out.exists()
        assert "1 of 7 annotations cannot be used" in capsys.readouterr().err
