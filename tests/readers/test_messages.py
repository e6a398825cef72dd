"""One chat, written in every form of messages, gives the same turns; tool results find their calls."""

import json
from pathlib import Path
from typing import Any

import pytest

from labelgen.data.dialogue import Step
from labelgen.readers.cells import CellError
from labelgen.readers.messages import read_messages, turns_of

ARGUMENTS = {"place": "Ely"}
ANSWER = '{"rain": true}'

SAMPLES = json.loads((Path(__file__).parent / "messages.json").read_text())
"""chats: one chat in several forms. answers: the answer to one request in several shapes."""


@pytest.mark.parametrize("form", SAMPLES["chats"])
def test_chat_in_any_form_gives_the_same_turns(form: str) -> None:
    first, second = turns_of(read_messages(SAMPLES["chats"][form]))
    assert (first.request, first.response, first.status) == ("Rain in Ely?", "Yes.", "tool_call")
    assert [(c.name, c.value) for c in first.categories] == [("attachment", "image_url")]
    assert first.steps == (Step(kind="tool", name="weather", arguments=json.dumps(ARGUMENTS), result=ANSWER),)
    assert (second.request, second.response, second.steps, second.status) == ("Thanks", "No.", (), None)


@pytest.mark.parametrize("shape", SAMPLES["answers"])
def test_answer_in_each_shape_is_read_with_its_steps(shape: str) -> None:
    (turn,) = turns_of(read_messages([{"role": "user", "content": "Rain in Ely?"}, *SAMPLES["answers"][shape]]))
    assert turn.response == "Yes."
    called = [(step.name, json.loads(step.arguments or ""), json.loads(step.result or "")) for step in turn.steps]
    assert called == (
        [("weather", ARGUMENTS, json.loads(ANSWER))] if "weather" in str(SAMPLES["answers"][shape]) else []
    )


@pytest.mark.parametrize(
    ("result", "error"),
    [
        ({"content": '{"error": "no such place"}'}, "no such place"),
        ({"content": '{"error": {"code": 5}}'}, '{"code":5}'),
        ({"content": '{"isError": true}'}, "error"),
        ({"content": "timed out", "status": "error"}, "error"),
        ({"content": '{"error": null, "rain": true}'}, None),
        ({"content": "no error"}, None),
        ({"content": '"error"'}, None),
    ],
)
def test_result_that_states_an_error_is_a_failed_step(result: dict[str, Any], error: str | None) -> None:
    (turn,) = turns_of(read_messages([{"role": "user", "content": "Go."}, {"role": "tool", **result}]))
    assert [step.error for step in turn.steps] == [error]
    assert turn.steps[0].result == result["content"]


@pytest.mark.parametrize(
    ("messages", "field"),
    [
        ("hi", "messages"),
        (["hi"], "messages[0]"),
        ([{"content": "hi"}], "messages[0].role"),
        ([{"role": "robot", "content": "hi"}], "messages[0].role"),
        ([{"from": "robot", "value": "hi"}], "messages[0].from"),
        ([{"role": "user", "content": 5}], "messages[0].content"),
        ([{"role": "user", "content": [5]}], "messages[0].content[0]"),
    ],
)
def test_messages_of_a_wrong_form_are_refused_with_their_field(messages: Any, field: str) -> None:
    with pytest.raises(CellError, match="bad_type") as error:
        read_messages(messages)
    assert error.value.column == field
