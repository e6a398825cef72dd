"""Scripts whose tables are about goals: what they judge on is what they say."""

import json
from pathlib import Path

import goal_rows
import public_segments
import spliced_goals
from heard import talk

from labelgen.corpora.segments import READER
from labelgen.data.dialogue import Dialogue
from labelgen.data.labels import GOALS, Annotation, AtGoal, Label
from labelgen.data.log import Log, write_log


def dialogue(name: str, turns: int = 3, **extra: object) -> Dialogue:
    said = [f"{side} {k} of {name}" for k in range(turns) for side in ("question", "reply")]
    return talk(*said, id=name, source="star", extra=json.dumps(extra))


def divided(one: Dialogue, annotator: str, *goals: tuple[int, ...], kind: str = "person") -> Dialogue:
    labels = tuple(Label(GOALS, AtGoal(goal), "goal") for goal in goals)
    return Dialogue(
        id=one.id,
        source=one.source,
        turns=one.turns,
        extra=one.extra,
        annotations=(*one.annotations, Annotation(annotator, kind, labels)),
    )


def test_splices_of_one_domain_and_of_others_are_what_they_say():
    log = [dialogue(f"{task}{k}", task=f"{task}_book") for task in ("bank", "hotel") for k in range(4)]
    made = list(spliced_goals.splices(log, 0))
    assert len(made) == 2 * len(log)
    assert made == list(spliced_goals.splices(log, 0))
    for one in made:
        kind, _, name = one.id.partition(": ")
        parts = name.split("+")
        assert len({*parts}) == len(parts) in (2, 3)
        assert json.loads(one.extra or "{}") == {"kind": kind}
        domains = [part[:-1] for part in parts]
        assert len({*domains}) == (1 if kind == "same domain" else 2 if len(parts) == 2 else len(parts))
        goals = [x.at.turns for x in one.annotations[0].labels if isinstance(x.at, AtGoal)]
        assert sorted(t for goal in goals for t in goal) == list(range(len(one.turns)))
        for goal, part in zip(sorted(goals), dict.fromkeys(t.request.split()[-1] for t in one.turns), strict=True):
            assert {one.turns[t].request.split()[-1] for t in goal} == {part}
    few = list(spliced_goals.splices(log, 0, most=3))
    assert len(few) == 6
    assert {x.id for x in few} <= {x.id for x in made}


def test_only_dialogues_of_one_task_are_parts_and_only_served_ones_are_judged(tmp_path: Path):
    one = divided(dialogue("one", task="bank_book", completion="Complete"), "wizard", (0, 1, 2))
    many = divided(dialogue("many", tasks=["a", "b"], completion="Complete"), "wizard", (0, 2), (1,))
    left = divided(dialogue("left", tasks=["a", "b"], completion="EarlyDisconnect"), "wizard", (0, 2), (1,))
    single = divided(dialogue("single", tasks=["a", "b"], completion="Complete"), "wizard", (0, 1, 2))
    write_log(tmp_path / "log.jsonl", [one, many, left, single, dialogue("short", turns=1)])
    log = Log([tmp_path / "log.jsonl"])
    parts = list(spliced_goals.parts_of(log))
    assert [(d.id, d.annotations) for d in parts] == [("one", ())]
    assert [d.id for d in spliced_goals.several(log, completed=True)] == ["many"]
    assert [d.id for d in spliced_goals.several(log, completed=False)] == ["many", "left", "single"]


def test_a_record_of_segments_is_read_back_with_its_borders(tmp_path: Path):
    many = divided(dialogue("many"), "wizard", (0, 2), (1,))
    write_log(tmp_path / "log.jsonl", [many, dialogue("unmarked")])
    log, out = str(tmp_path / "log.jsonl"), str(tmp_path / "s.jsonl")
    assert public_segments.main(["write", log, out, "--annotator", "wizard"]) == 0
    (read,) = READER.read(tmp_path / "s.jsonl", {})
    assert isinstance(read, Dialogue)
    assert [x.at for x in read.annotations[0].labels] == [AtGoal((0, 1)), AtGoal((2, 3)), AtGoal((4, 5))]
    assert [t.request + t.response for t in read.turns] == [x for t in many.turns for x in (t.request, t.response)]
    assert public_segments.main(["line", log, str(tmp_path / "l.jsonl"), "--most", "1"]) == 0
    (laid,) = READER.read(tmp_path / "l.jsonl", {})
    assert isinstance(laid, Dialogue)
    assert len(laid.annotations[0].labels) == 2


def test_the_table_of_segments_sets_rules_beside_the_model(tmp_path: Path):
    marked = [divided(dialogue(f"d{k}", turns=6), "segments", (0, 1), (2, 3, 4, 5)) for k in range(5)]
    judged = [divided(one, "model", (0, 1), (2, 3, 4, 5), kind="model") for one in marked]
    (tmp_path / "evaluation").mkdir()
    write_log(tmp_path / "evaluation" / "predictions.jsonl", judged)
    rows = {row[0]: [x["value"] for x in row[2:]] for row in public_segments.table(tmp_path, "Title")["rows"][:4]}
    assert rows["model"] == [0.0, 0.0, 1.0]
    assert rows["no boundary"][2] == 0.0
    assert rows["no boundary"][0] == rows["no boundary"][1] > 0.0
    assert set(rows) == {"model", *public_segments.RULES}


def test_rows_of_goals_hold_the_rules_and_only_who_divides_everything():
    marked = [divided(dialogue(f"d{k}", turns=4), "wizard", (0, 1), (2, 3)) for k in range(4)]
    judged = [divided(one, "m", (0, 1), (2, 3), kind="model") for one in marked]
    judged[0] = divided(judged[0], "sometimes", (0, 1, 2, 3))
    items = [goal_rows.Judged(one, one.annotations[0]) for one in judged]
    names = goal_rows.candidates_of(items, without=("wizard",))
    assert names == ["m", goal_rows.ONE_GOAL, goal_rows.EACH_ALONE]
    rows = goal_rows.goal_rows(items, names, ["exact_goal_f1", "boundary_f1"])
    values = {row[0]: [row[2]["value"], row[3]["value"]] for row in rows}
    assert values["m"] == [1.0, 1.0]
    assert values[goal_rows.ONE_GOAL] == [0.0, 0.0]
    assert values[goal_rows.EACH_ALONE] == [0.0, 0.5]
