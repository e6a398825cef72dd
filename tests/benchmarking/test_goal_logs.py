"""Logs of spliced dialogues and of several tasks, and scores of boundaries."""

import json
from pathlib import Path

from heard import talk
from msgspec.structs import replace

from benchmarks import corpora
from labelgen.data.dialogue import Dialogue, Feedback
from labelgen.data.labels import GOALS, Annotation, AtGoal, Label
from labelgen.data.log import Log, write_log
from labelgen.data.record import decode, encode


def dialogue(name: str, turns: int = 3, **extra: object) -> Dialogue:
    said = [f"{side} {k} of {name}" for k in range(turns) for side in ("question", "reply")]
    return talk(*said, id=name, source="star", extra=json.dumps(extra))


def divided(one: Dialogue, annotator: str, *goals: tuple[int, ...], kind: str = "person") -> Dialogue:
    labels = tuple(Label(GOALS, AtGoal(goal), "goal") for goal in goals)
    return replace(one, annotations=(*one.annotations, Annotation(annotator, kind, labels)))


def test_splices_of_one_domain_and_of_others_are_what_they_say():
    log = [dialogue(f"{task}{k}", task=f"{task}_book") for task in ("bank", "hotel") for k in range(4)]
    made = list(corpora.splices(log, 0))
    assert len(made) == 2 * len(log)
    assert made == list(corpora.splices(log, 0))
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
    few = list(corpora.splices(log, 0, most=3))
    assert len(few) == 6
    assert {x.id for x in few} <= {x.id for x in made}


def test_only_dialogues_of_one_task_are_parts_and_only_served_ones_are_judged(tmp_path: Path):
    one = divided(dialogue("one", task="bank_book", completion="Complete"), "wizard", (0, 1, 2))
    many = divided(dialogue("many", tasks=["a", "b"], completion="Complete"), "wizard", (0, 2), (1,))
    left = divided(dialogue("left", tasks=["a", "b"], completion="EarlyDisconnect"), "wizard", (0, 2), (1,))
    single = divided(dialogue("single", tasks=["a", "b"], completion="Complete"), "wizard", (0, 1, 2))
    write_log(tmp_path / "log.jsonl", [one, many, left, single, dialogue("short", turns=1)])
    log = Log([tmp_path / "log.jsonl"])
    parts = list(corpora.parts_of(log))
    assert [(d.id, d.annotations) for d in parts] == [("one", ())]
    assert [d.id for d in corpora.several(log, completed=True)] == ["many"]
    assert [d.id for d in corpora.several(log, completed=False)] == ["many", "left", "single"]


def test_segments_of_a_perfect_model_and_of_one_goal(tmp_path: Path):
    paths = []
    for seed in (0, 1):
        log = []
        for k in range(6):
            one = replace(dialogue(f"d{k}", turns=6), user=f"u{k // 2}")
            one = divided(one, "wizard", (0, 1), (2, 3, 4, 5))
            one = divided(one, "right", (0, 1), (2, 3, 4, 5), kind="model")
            late = (0, 1, 2) if seed else (0, 1)
            one = divided(one, "varied", late, tuple(range(len(late), 6)), kind="model")
            log.append(divided(one, "rule", (0, 1, 2, 3, 4, 5), kind="rule"))
        paths.append(tmp_path / f"seed-{seed}" / "predictions.jsonl")
        paths[-1].parent.mkdir()
        write_log(paths[-1], log)
    names = {"right": "right", "varied": "varied", "rule": "one goal"}
    made = corpora.segments(paths, "C", "test", "wizard", names, [["right", "one goal"]])
    rows = {(r.system, r.baseline, r.metric): r for r in made}
    for metric in corpora.SEGMENT_METRICS:
        right = rows["right", "", metric]
        assert (right.value, right.low, right.high, right.seed, right.n) == (1.0, 1.0, 1.0, "0 1", 6)
        assert rows["one goal", "", metric].value == 0.0
        assert rows["right", "one goal", metric].value == 1.0
        assert rows["varied", "", metric].value == 0.5


def test_bare_logs_have_no_answers(tmp_path: Path):
    one = replace(
        divided(dialogue("one", task="bank_book"), "wizard", (0, 1, 2)), feedback=(Feedback(kind="disconnect"),)
    )
    write_log(tmp_path / "log.jsonl", [one])
    corpora.write_bare([tmp_path / "log.jsonl"], [tmp_path / "bare.jsonl"])
    (bare,) = Log([tmp_path / "bare.jsonl"])
    assert (bare.annotations, bare.feedback, bare.extra) == ((), (), None)
    assert bare.turns == one.turns


def test_rules_on_a_dialogue_without_turns_make_a_valid_record():
    empty = corpora.with_rules(Dialogue(id="d", turns=()))
    assert isinstance(decode(encode(empty), "log"), Dialogue)


def test_plain_divisions_are_annotators_of_every_dialogue():
    one = corpora.with_rules(dialogue("d", turns=3))
    assert [[x.at.turns for x in a.labels if isinstance(x.at, AtGoal)] for a in one.annotations[-2:]] == [
        [(0, 1, 2)],
        [(0,), (1,), (2,)],
    ]
