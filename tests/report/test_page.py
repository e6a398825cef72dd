"""Laws of the report page: nothing escapes, nothing is fetched, every number is the evaluation's own."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_evaluations import (
    answer,
    estimate,
    evaluate,
    evaluation,
    evaluations,
    labeled,
    named,
    render,
    task,
    verdict_of,
)
from parsed_page import Page
from strategies import dialogues

from labelgen.base.errors import InputError
from labelgen.base.terminal import printable
from labelgen.cli.main import main
from labelgen.data.dialogue import Dialogue, Turn
from labelgen.data.labels import QUALITY_NAMES, Annotation, AtGoal, AtSpan, AtTurn, Label, NoLabel
from labelgen.data.record import to_plain
from labelgen.evaluation.evaluate import Description
from labelgen.evaluation.protocol import with_reference
from labelgen.metrics.results import ExampleDialogue, Point, PrecisionCoverage, Setting, decode
from labelgen.report.page import enough, example_view
from labelgen.report.page import render as in_page
from labelgen.report.plots import ABSENT, count, number, percent
from labelgen.tasks.evaluation import tasks_of_units


def rows_of(html: str) -> list[dict[str, str]]:
    """The rows of the first table, by the texts of its headings."""
    table = html[html.index("<table") : html.index("</table>")]
    head, body = table.split("</thead>")

    def texts(part: str) -> list[str]:
        cells = re.findall(r"<t[dh][ >].*?</t[dh]>", part, re.DOTALL)
        return [" ".join(re.sub(r"<[^>]*>", " ", cell).split()) for cell in cells]

    return [dict(zip(texts(head), texts(row), strict=True)) for row in body.split("</tr>")[:-1]]


def numbers_in(value: Any) -> Iterator[float]:
    if isinstance(value, dict):
        for inner in value.values():
            yield from numbers_in(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from numbers_in(inner)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield float(value)


@settings(max_examples=40)
@given(evaluations())
def test_any_evaluation_becomes_a_whole_page_of_its_own_numbers(given_evaluation: dict[str, Any]) -> None:
    page = Page(render(given_evaluation))
    assert {tag for tag, _ in page.tags}.isdisjoint(
        {"script", "link", "img", "iframe", "object", "embed", "base", "form"}
    )
    for tag, attributes in page.tags:
        for name, value in attributes.items():
            assert not name.startswith("on"), f"{tag} {name}"
            if name in ("src", "href", "action", "srcset", "xlink:href"):
                assert (value or "").startswith("#")
    known = set(numbers_in(json.loads(json.dumps(given_evaluation))))
    assert page.numbers
    write = {"number": number, "percent": percent, "count": lambda v: count(int(v))}
    for kind, value, text in page.numbers:
        assert float(value) in known
        assert text == write[kind](float(value))


@given(dialogues())
def test_texts_of_a_dialogue_stand_as_they_are(dialogue: Dialogue) -> None:
    page = Page(render(evaluation(examples=(dialogue,))))
    text = re.sub(r"\s+", "", "".join(page.text))
    for turn in dialogue.turns:
        assert re.sub(r"\s+", "", printable(turn.response)) in text
    assert re.sub(r"\s+", "", dialogue.id) in text


def test_examples_list_where_the_system_differs() -> None:
    turns = tuple(Turn(request="play jazz", response="") for _ in range(4))
    truth = (
        *(Label("intents", AtTurn(k), "a") for k in (0, 1, 2)),
        Label("slots", AtSpan(0, 5, 9), "genre"),
        Label("goals", AtGoal((0, 1)), "goal"),
    )
    model = (Label("intents", AtTurn(0), "a", 0.9), Label("intents", AtTurn(1), "b"), Label("intents", AtTurn(3), "a"))
    annotations = (
        Annotation("truth", "person", truth),
        Annotation("model", "model", model, (NoLabel("slots", AtTurn(0)),)),
    )
    dialogue = Dialogue(id="d", turns=turns, annotations=annotations)
    seen = example_view(ExampleDialogue(record=to_plain(dialogue), system="model", reference="truth"), {"quality"})
    assert seen.differences == (
        ("goals", "the dialogue", "turns 0-1", "no answer"),
        ("intents", "turn 1", "a", "b"),
        ("intents", "turn 2", "a", "no answer"),
        ("slots", "turn 0", "genre: jazz", "none"),
    )
    assert list(seen.drawings) == ["truth", "model"]


def test_markup_in_every_place_is_text() -> None:
    bad = '<script>alert("1")</script>\'&'
    hostile = Dialogue(
        id=bad,
        turns=(Turn(request=bad, response=bad, domain=bad),),
        source=bad,
        annotations=tuple(
            Annotation(
                who,
                "person",
                (
                    Label("slots", AtSpan(0, 0, end), bad, 0.5, bad),
                    Label(bad, AtTurn(0), bad),
                    Label(bad, AtGoal((0,)), bad),
                ),
            )
            for who, end in (("truth", 8), ("model", 5))
        ),
    )
    asked = {**task(bad, (0.1, 0.2)), "left_out": [{"reason": bad, "items": 1}]}
    html = render({**evaluation(asked, examples=(hostile,)), "title": bad, "command": bad, "model": {bad: bad}})
    assert "<script" not in html
    assert 'alert("1")' not in html
    Page(html)


@given(st.floats(-1e9, 1e9), st.integers(0, 6))
def test_numbers_are_rounded_and_nothing_else(value: float, digits: int) -> None:
    text = number(value, digits)
    assert abs(float(text.replace(",", "")) - value) <= 0.5 * 10**-digits * (1 + 1e-9) + 1e-6 * abs(value) * 1e-6
    assert len(text.partition(".")[2]) == digits
    assert not re.fullmatch(r"-[0.]+", text)


def test_a_slice_is_weak_if_chance_among_so_many_does_not_explain_it() -> None:
    def part(name: str, value: float, p: float | None, metric: str = "score") -> dict[str, Any]:
        of = {"by": "length", "name": name, "system": "model", "metric": metric}
        return {**of, "value": value, "low": value - 0.1, "high": value + 0.1, "rest": 0.8, "p_adjusted": p}

    asked = task("q", (0.1, 0.2))
    asked["slices"] = [
        part("10 to 19", 0.6, 0.05),
        part("1 to 4", 0.5, 0.0501),
        part("5 to 9", 0.1, 0.01),
        part("20 or more", 0.0, None),
    ]
    found = evaluation(asked) | {"slices_tested": 3}
    html = render(found)
    weak = html[html.index('id="weak"') : html.index('id="tasks"')]
    assert re.findall(r"length: ([^<]+)<", weak) == ["5 to 9", "10 to 19"]
    listed = html[html.index("By length") :]
    assert re.findall(r'<th scope="row">(\d[^<]+)<', listed) == ["1 to 4", "5 to 9", "10 to 19", "20 or more"]
    assert "No slice of the data was tested" in render(evaluation(task("q", None)))


def test_as_right_as_a_human_baseline_is_the_widest_such_coverage() -> None:
    points = tuple(
        Point(threshold=t, coverage=c, precision=p)
        for t, c, p in ((0.9, 0.2, 1.0), (0.7, 0.5, 0.7), (0.5, 0.8, 0.9), (0.1, 1.0, 0.6))
    )
    assert enough(PrecisionCoverage(system="m", human_precision=0.8, points=list(points))) == points[2]
    assert enough(PrecisionCoverage(system="m", human_precision=1.1, points=list(points))) is None
    assert enough(PrecisionCoverage(system="m", human_precision=None, points=list(points))) is None


def test_what_is_no_evaluation_is_refused() -> None:
    good = evaluation(task("q", (0.1, 0.2)), examples=labeled(1, 0))
    for bad, word in (
        ({}, "no evaluation"),
        ({**good, "form": "labelgen evaluation 1"}, "of another version"),
        ({**good, "tasks": [{**good["tasks"][0], "items": "many"}]}, "int"),
        ({**good, "examples": [{**good["examples"][0], "record": {"id": "", "turns": []}}]}, "empty_id"),
    ):
        with pytest.raises(InputError, match=word):
            in_page(decode(json.dumps(bad), "evaluation.json"))


def test_the_command_writes_a_page(tmp_path: Any, capsys: pytest.CaptureFixture[str]) -> None:
    source, out = tmp_path / "evaluation.json", tmp_path / "report.html"
    found = evaluation(task("q", (0.1, 0.2)))
    source.write_text(json.dumps(found))
    assert main(["report", str(source), str(out)]) == 0
    assert out.read_text(encoding="utf-8") == render(found)
    assert main(["report", str(source), str(out)]) == 2
    assert main(["report", str(source), str(out), "--force"]) == 0
    source.write_text("[1")
    assert main(["report", str(source), str(out), "--force"]) == 3
    assert main(["report", str(tmp_path / "none.json"), str(out), "--force"]) == 2
    assert out.read_text(encoding="utf-8") == render(found)
    assert "hint:" in capsys.readouterr().err


def test_a_real_evaluation_is_shown_with_all_its_parts() -> None:
    setting = Setting(seed=1, resamples=20)
    questions = (
        *tasks_of_units("quality", ("turn", "dialogue"), ("macro_f1", "accuracy"), QUALITY_NAMES),
        *tasks_of_units("goals", ("goal",), ("exact_goal_f1",)),
        *tasks_of_units("slots", ("span",), ("slot_span_f1",)),
    )
    held = with_reference(labeled(30, 4), questions, setting)
    found = evaluate(held, questions, ("model",), setting, Description("Evaluation of model"))
    page = Page(render(found))
    text = " ".join(" ".join(page.text).split())
    for one in found["tasks"]:
        assert one["name"] in text
        for row in one["rows"]:
            for figure in row["metrics"].values():
                assert number(figure["value"]) in text
    assert sum(tag == "table" and a.get("class") == "confusion" for tag, a in page.tags) == sum(
        len(one["confusion"]) for one in found["tasks"]
    )
    assert all(example["record"]["id"] in text for example in found["examples"])


def unanswered(name: str, *others: str) -> dict[str, Any]:
    """A question that the model does not answer: a human baseline and these rules stand alone in it."""
    asked = task(name, (0.1, 0.2))
    asked["rows"] = [row for row in asked["rows"] if row["kind"] == "human"] + [
        {"system": other, "kind": "rule", "answered": 1.0, "metrics": {"score": estimate(0.3125)}} for other in others
    ]
    asked["ratios"] = [{**r, "system": other} for r in asked["ratios"] for other in others]
    return asked


@pytest.mark.parametrize("others", [(), ("baseline",)])
def test_a_task_that_the_model_lacks_is_not_answered_and_shows_nobody_in_its_place(others: tuple[str, ...]) -> None:
    tested = verdict_of("model", "no_baselines")
    found = evaluation(task("q0", (0.01, 0.1), True, tested), unanswered("q1", *others))
    found["systems"] = named("model", *others)
    said = answer(found)
    assert said == (
        "Of 1 task, model is better than one annotator (not compared with baselines) in 1 (q0)."
        " Not answered by this model: 1 (q1)."
    )
    html = render(found)
    section = html[html.index('id="answer"') : html.index('id="trust"')]
    assert "circle" not in section[section.index(">q1</a>") :], "no mark of the model is drawn"
    cells = next(row for row in rows_of(section) if row["Task"] == "q1")
    assert cells["Verdict"] == "not answered by this model"
    assert "0.750" in cells["Human baseline"]
    assert (cells["model"], cells["Ratio"]) == (ABSENT, ABSENT)
    trusted = html[html.index('id="trust"') : html.index('id="weak"')]
    assert [row["Answered"] for row in rows_of(trusted)] == ["100.0%", ABSENT]
