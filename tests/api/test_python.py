"""labelgen from Python: logs of every kind in, the same kind out; the same results as the commands."""

import json
import pickle
import re
from pathlib import Path
from typing import Any, cast

import pandas
import pytest
from datasets import Dataset
from hypothesis import given
from msgspec.structs import replace
from strategies import dialogues
from tiny import write_tiny_encoder

import labelgen
from labelgen.api.results import TrainingRun
from labelgen.cli.main import main
from labelgen.data.dialogue import Signal
from labelgen.data.tables import COLUMNS

README = Path(__file__).parents[2] / "README.md"
ASKS = ("play a song", "what is the weather", "set a timer", "book a table")


def chats(count: int = 60) -> pandas.DataFrame:
    """A table of turns with thumbs: up where the assistant did what was asked, down where it did not understand."""
    rows = []
    for chat in range(count):
        for turn in range(2):
            ask = ASKS[(chat + turn) % len(ASKS)]
            right = (chat + turn) % 3 != 0
            answer = f"Sure, here is your {ask.split()[-1]}." if right else "Sorry, I did not understand that."
            row = {"chat": f"c{chat}", "who": f"u{chat % 30}", "asked": f"{ask} {chat}", "answered": answer}
            rows.append({**row, "thumb": "up" if right else "down"})
    return pandas.DataFrame(rows)


MAPPING = {
    "dialogue": "chat",
    "user": "who",
    "request": "asked",
    "response": "answered",
    "feedback": {"thumb": "thumbs"},
}


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> TrainingRun:
    folder = tmp_path_factory.mktemp("python")
    encoder = write_tiny_encoder(folder / "encoder")
    log = labelgen.load_log(chats(), mapping=MAPPING)
    return labelgen.finetune(
        labelgen.aggregate(log),
        out=folder / "run",
        tasks={"quality": {}},
        targets={"annotators": [], "feedback": True},
        model={"encoder": encoder},
        tracking={"wandb": "off"},
        length={"steps": 2},
        hardware={"threads": 1},
    )


@pytest.fixture(scope="module")
def annotator(run) -> labelgen.Annotator:
    return run.annotator()


def test_readme_script_goes_from_a_table_to_a_table_of_labels(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    chats(90).to_csv("chats.csv", index=False)
    write_tiny_encoder(tmp_path / "runs" / "encoder")
    script = next(
        block for block in re.findall(r"```py\n(.*?)```", README.read_text(), re.DOTALL) if "read_csv" in block
    )
    assert len([line for line in script.splitlines() if line.strip()]) <= 30
    names: dict[str, object] = {}
    exec(compile(script, "README.md", "exec"), names)
    labels = pandas.read_csv("labels.csv")
    assert list(labels.columns) == list(COLUMNS)
    assert set(labels["dialogue"]) == {f"c{k}" for k in range(90)}
    assert labels["probability"].between(0, 1).all()
    scores = names["scores"]
    assert isinstance(scores, pandas.DataFrame)
    assert {"model", "baseline: majority class"} <= set(scores["system"])


def test_a_table_keeps_its_rows_and_its_feedback():
    table = chats(7)
    log = labelgen.load_log(table, mapping=MAPPING)
    assert len(log) == 7
    back = log.to_pandas()
    assert back["request"].tolist() == table["asked"].tolist()
    ratings = [turn.feedback[0].rating for dialogue in log for turn in dialogue.turns]
    assert ratings == [5.0 if thumb == "up" else 1.0 for thumb in table["thumb"]]


@given(dialogues())
def test_a_dialogue_is_the_same_through_its_dict_and_through_a_dataset(dialogue):
    assert labelgen.Dialogue.from_dict(dialogue.to_dict()) == dialogue
    plain = labelgen.Dialogue.from_dict(json.loads(json.dumps(dialogue.to_dict())))
    assert plain == dialogue
    [again] = labelgen.load_log(labelgen.load_log([dialogue]).to_dataset())
    assert again == dialogue


def test_functions_write_what_the_commands_write(tmp_path):
    log = tmp_path / "log.jsonl"
    labelgen.load_log(chats(12), mapping=MAPPING).save(log)
    result = labelgen.aggregate(labelgen.find_signals(log))
    result.dialogues.save(tmp_path / "targets.jsonl")
    assert main(["feedback", "signals", str(log), str(tmp_path / "s.jsonl")]) == 0
    assert main(["feedback", "aggregate", str(tmp_path / "s.jsonl"), str(tmp_path / "t.jsonl")]) == 0
    assert (tmp_path / "targets.jsonl").read_bytes() == (tmp_path / "t.jsonl").read_bytes()
    counts = result.to_pandas()
    assert counts.loc[counts["unit"] == "turn", "count"].sum() == 24
    assert "<table>" in result._repr_html_()


def test_annotate_returns_the_kind_that_it_was_given(annotator):
    log = labelgen.load_log(chats(3), mapping=MAPPING)
    objects = list(log)
    annotations = annotator.annotate(objects)
    assert [one.kind for one in annotations] == ["model"] * 3
    names = [[label.name for label in one.labels] for one in annotations]

    # As a record has them: labels are in its order.
    expected = [
        labelgen.Dialogue.from_dict(replace(dialogue, annotations=(annotation,)).to_dict()).annotations
        for dialogue, annotation in zip(objects, annotations, strict=True)
    ]
    dicts = annotator.annotate(log.to_dicts())
    assert [labelgen.Dialogue.from_dict(one).annotations for one in dicts] == expected

    labeled = annotator.annotate(log)
    assert isinstance(labeled, labelgen.Dialogues)
    assert [[label.name for label in d.annotations[-1].labels] for d in labeled] == names

    table = annotator.annotate(chats(3), mapping=MAPPING)
    assert isinstance(table, pandas.DataFrame)
    assert table["label"].tolist() == [name for of_dialogue in names for name in of_dialogue]

    dataset = annotator.annotate(log.to_dataset())
    assert isinstance(dataset, Dataset)
    mapped = log.to_dataset().map(annotator, batched=True, batch_size=2)
    # Two batches in place of one: last digits of probabilities may differ.
    assert [[label.name for label in one.annotations[0].labels] for one in labelgen.load_log(mapped)] == [
        [label.name for label in annotations[0].labels] for annotations in expected
    ]
    assert [one.annotations for one in labelgen.load_log(dataset)] == expected


def test_an_annotator_is_the_same_after_saving_and_pickling(annotator, tmp_path):
    [dialogue, *_] = labelgen.load_log(chats(2), mapping=MAPPING)
    [expected] = annotator.annotate([dialogue])
    digest = annotator.save_pretrained(tmp_path / "copy")
    again = labelgen.Annotator.from_pretrained(str(tmp_path / "copy"), digest=digest)
    assert again.annotate([dialogue]) == [expected]
    assert pickle.loads(pickle.dumps(annotator)).annotate([dialogue]) == [expected]
    with pytest.raises(labelgen.LabelgenError, match="digest"):
        labelgen.Annotator.from_pretrained(tmp_path / "copy", digest="0" * 64)


def test_a_folder_with_other_files_is_not_replaced_by_a_model(annotator, tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(labelgen.LabelgenError, match="something else"):
        annotator.save_pretrained(tmp_path)
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


def test_what_users_said_is_the_reference_and_no_contradiction_is(annotator):
    said = labelgen.Turn(
        request="play jazz",
        response="Playing.",
        feedback=(labelgen.data.dialogue.Feedback(kind="rating", rating=5.0, scale=(1.0, 5.0)),),
    )
    both = labelgen.Turn(
        request="stop",
        response="No.",
        feedback=tuple(labelgen.data.dialogue.Feedback(kind="rating", rating=r, scale=(1.0, 5.0)) for r in (1.0, 5.0)),
    )
    [dialogue] = labelgen.user_answers([labelgen.Dialogue(id="d", turns=(said, both))])
    [annotation] = dialogue.annotations
    assert (annotation.annotator, annotation.kind) == ("user", "user")
    assert [(label.at.turn, label.name) for label in annotation.labels] == [(0, "good")]


def test_calibrate_and_evaluate_take_the_run_and_return_tables(run, tmp_path):
    judged = labelgen.user_answers(labelgen.load_log(chats(40), mapping={**MAPPING, "dialogue": "chat"}))
    fresh = [
        labelgen.Dialogue.from_dict({**d.to_dict(), "id": f"n{k}", "turns": _renamed(d)}) for k, d in enumerate(judged)
    ]
    calibration = labelgen.calibrate(fresh, model=run, reference="user", force=True)
    assert set(calibration.to_pandas()["task"]) == {"quality"}
    result = labelgen.evaluate(fresh, model=run, reference="user", resamples=20, out=tmp_path / "evaluation")
    table = result.to_pandas()
    assert {"task", "system", "metric", "value", "low", "high"} <= set(table.columns)
    assert "macro f1" in result._repr_html_()
    assert "<iframe" in result.report()._repr_html_()
    assert max(len(repr(one)) for one in (result, calibration, run, result.report())) < 300
    assert (tmp_path / "evaluation" / "report.html").is_file()


def _renamed(dialogue: labelgen.Dialogue) -> list[dict[str, object]]:
    return [{**turn, "request": f"please {turn['request']}"} for turn in dialogue.to_dict()["turns"]]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: labelgen.Turn(request=cast(Any, 5), response=""), "request of a Turn is 5, which is not text"),
        (lambda: labelgen.Turn(request="", response="", time_s=cast(Any, "now")), "time_s of a Turn"),
        (lambda: labelgen.Dialogue(id="d", turns=cast(Any, [])), "not a tuple"),
        (lambda: labelgen.Dialogue.from_dict({"id": "d"}), "turns"),
        (lambda: labelgen.load_log(cast(Any, 7)), "int is no log"),
        (lambda: labelgen.load_log([3.5]), "float is no dialogue"),
        (lambda: labelgen.load_log(pandas.DataFrame({"a": [1]})), "mapping="),
        (lambda: labelgen.Annotator.from_pretrained("./no/such/folder"), "no model folder"),
        (lambda: labelgen.evaluate([], modell="x"), "did you mean 'model'"),
        (lambda: labelgen.split([], train=0.5), "sum to 1"),
    ],
)
def test_what_cannot_be_is_refused_with_a_clear_message(make, words):
    with pytest.raises(labelgen.LabelgenError) as refused:
        make()
    assert words in str(refused.value)


def test_a_log_is_a_collection():
    log = labelgen.load_log([{"id": f"d{k}", "turns": [{"request": "hi", "response": ""}]} for k in range(4)])
    assert (len(log), log[0].id, log[-1].id) == (4, "d0", "d3")
    assert [d.id for d in log.head(2)] == ["d0", "d1"]
    assert [d.id for d in log.filter(lambda d: d.id != "d1")] == ["d0", "d2", "d3"]
    for place in (4, -5):
        with pytest.raises(IndexError, match="no dialogue"):
            log[place]


CHAT = {"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "yes"}]}


def test_chats_are_a_log():
    for log in ([CHAT, CHAT], Dataset.from_list([CHAT, CHAT])):
        assert [[(t.request, t.response) for t in d.turns] for d in labelgen.load_log(log)] == [[("hi", "yes")]] * 2
    with pytest.raises(labelgen.LabelgenError, match="robot"):
        labelgen.load_log([{"messages": [{"role": "robot", "content": "x"}]}])


def test_a_table_gives_the_log_back():
    log = labelgen.simulate(6, seed=2)
    bare = [replace(d, feedback=(), annotations=(), turns=tuple(replace(t, feedback=()) for t in d.turns)) for d in log]
    assert list(labelgen.load_log(labelgen.load_log(bare).to_pandas())) == bare


@pytest.mark.parametrize(
    ("cells", "requests"),
    [
        ([7, "z"], ["7", "z"]),
        ([1.5, None], ["1.5", ""]),
        ([True, "x"], ["True", "x"]),
        (pandas.to_datetime(["2026-01-01", "2026-01-02"]), ["2026-01-01T00:00:00", "2026-01-02T00:00:00"]),
        (pandas.array([1, None], dtype="Int64"), ["1", ""]),
    ],
)
def test_columns_of_mixed_types_are_texts(cells, requests):
    frame = pandas.DataFrame({"q": cells, "a": ["", ""], "odd": [ValueError("e"), ["l"]]})
    log = labelgen.load_log(frame, mapping={"request": "q", "response": "a"})
    assert [d.turns[0].request for d in log] == requests


@pytest.mark.parametrize(
    ("frame", "named"),
    [
        (pandas.DataFrame([["x", "y", "z"]], columns=["q", "a", "a"]), "two columns 'a'"),
        (pandas.DataFrame({"q": ["x"], "b": ["y"]}), "no column 'a'"),
        (pandas.DataFrame({"q": [ValueError("e")], "a": ["y"]}), "'q'"),
    ],
)
def test_a_mapping_error_names_the_column_when_the_table_is_loaded(frame, named):
    with pytest.raises(labelgen.LabelgenError, match=named):
        labelgen.load_log(frame, mapping={"request": "q", "response": "a"})


def test_a_function_is_a_detector():
    def swears(dialogue):
        yield Signal(kind="swears", turns=(0,), vote="bad", evidence=(1,))

    log = labelgen.load_log([{"id": "c", "messages": CHAT["messages"] * 2}])
    found = labelgen.find_signals(log, detectors=[swears])
    assert "swears" in [signal.kind for d in found for signal in d.signals]
    assert any("swears" in target.origin for d in labelgen.aggregate(found) for target in d.targets)
