"""One chat, written in every form of messages, gives the same turns; tool results find their calls."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labelgen.data.dialogue import Step
from labelgen.readers.cells import CellError
from labelgen.readers.messages import messages_in, read_messages, turns_of

ARGUMENTS = {"place": "Ely"}
ANSWER = '{"rain": true}'

FORMS: dict[str, list[dict[str, Any]]] = {
    "openai": [
        {"role": "developer", "content": "Be kind."},
        {"role": "user", "content": [{"type": "text", "text": "Rain in Ely?"}, {"type": "image_url", "image_url": {}}]},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": json.dumps(ARGUMENTS)}}
            ],
        },
        {"role": "tool", "tool_call_id": "c1", "content": ANSWER},
        {"role": "assistant", "content": "Yes."},
        {"role": "user", "content": "Thanks"},
        {"role": "assistant", "content": None, "refusal": "No."},
    ],
    "sharegpt": [
        {"from": "system", "value": "Be kind."},
        {"from": "human", "value": ["Rain in Ely?", {"type": "image_url"}]},
        {"from": "function_call", "value": json.dumps({"name": "weather", "arguments": json.dumps(ARGUMENTS)})},
        {"from": "observation", "value": ANSWER},
        {"from": "gpt", "value": "Yes."},
        {"from": "human", "value": "Thanks"},
        {"from": "gpt", "value": "No."},
    ],
    "opentelemetry": [
        {"role": "system", "parts": [{"type": "text", "content": "Be kind."}]},
        {
            "role": "user",
            "parts": [{"type": "text", "content": "Rain in Ely?"}, {"type": "image_url", "uri": "x"}],
        },
        {
            "role": "assistant",
            "parts": [
                {"type": "reasoning", "content": "Hm."},
                {"type": "tool_call", "id": "c1", "name": "weather", "arguments": json.dumps(ARGUMENTS)},
            ],
        },
        {"role": "tool", "parts": [{"type": "tool_call_response", "id": "c1", "response": ANSWER}]},
        {"role": "assistant", "parts": [{"type": "text", "content": "Yes."}]},
        {"role": "user", "parts": [{"type": "text", "content": "Thanks"}]},
        {"role": "assistant", "parts": [{"type": "text", "content": "No."}]},
    ],
    "langchain": [
        {"lc": 1, "type": "constructor", "id": ["langchain", "SystemMessage"], "kwargs": {"content": "Be kind."}},
        {"type": "human", "data": {"content": [{"type": "text", "text": "Rain in Ely?"}, {"type": "image_url"}]}},
        {
            "type": "ai",
            "content": "",
            "tool_calls": [{"name": "weather", "args": json.dumps(ARGUMENTS), "id": "c1"}],
        },
        {"type": "tool", "content": ANSWER, "tool_call_id": "c1"},
        {"type": "ai", "content": "Yes."},
        {"type": "human", "content": "Thanks"},
        {"type": "AIMessageChunk", "content": "No."},
    ],
    "blocks": [
        {"role": "user", "content": [{"type": "text", "text": "Rain in Ely?"}, {"type": "image_url"}]},
        {
            "role": "assistant",
            "content": [{"type": "tool_use", "id": "c1", "name": "weather", "input": json.dumps(ARGUMENTS)}],
        },
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c1", "content": ANSWER}]},
        {"role": "assistant", "content": "Yes."},
        {"role": "user", "content": "Thanks"},
        {"role": "assistant", "content": [{"type": "text", "text": "No."}]},
    ],
}


@pytest.mark.parametrize("form", FORMS)
def test_chat_in_any_form_gives_the_same_turns(form: str) -> None:
    first, second = turns_of(read_messages(FORMS[form]))
    assert (first.request, first.response, first.status) == ("Rain in Ely?", "Yes.", "tool_call")
    assert [(c.name, c.value) for c in first.categories] == [("attachment", "image_url")]
    assert first.steps == (Step(kind="tool", name="weather", arguments=json.dumps(ARGUMENTS), result=ANSWER),)
    assert (second.request, second.response, second.steps, second.status) == ("Thanks", "No.", (), None)


CALLED = Step(kind="tool", name="weather", arguments='{"place":"Ely"}', result=ANSWER)
SHAPES: dict[str, tuple[list[dict[str, Any]], tuple[Step, ...]]] = {
    "parts beside empty content": (
        [{"role": "assistant", "content": "", "parts": [{"type": "text", "text": "Yes."}]}],
        (),
    ),
    "Gemini": (
        [
            {"role": "model", "parts": [{"functionCall": {"name": "weather", "args": ARGUMENTS}}]},
            {"role": "user", "parts": [{"functionResponse": {"name": "weather", "response": {"rain": True}}}]},
            {"role": "model", "parts": [{"thought": True, "text": "Hm."}, {"text": "Yes."}]},
        ],
        (Step(kind="tool", name="weather", arguments='{"place":"Ely"}', result='{"rain":true}'),),
    ),
    "tool invocation": (
        [
            {
                "role": "assistant",
                "content": "",
                "parts": [
                    {"type": "step-start"},
                    {"type": "tool-weather", "toolCallId": "c1", "input": ARGUMENTS, "output": ANSWER},
                    {"type": "text", "text": "Yes."},
                ],
            }
        ],
        (CALLED,),
    ),
    "older tool invocation": (
        [
            {
                "role": "assistant",
                "parts": [
                    {
                        "type": "tool-invocation",
                        "toolInvocation": {"toolName": "weather", "args": ARGUMENTS, "result": ANSWER},
                    },
                    {"type": "text", "text": "Yes."},
                ],
            }
        ],
        (CALLED,),
    ),
    "nested text": ([{"role": "assistant", "content": [{"type": "text", "text": {"value": "Yes."}}]}], ()),
    "output text": ([{"role": "assistant", "content": [{"type": "output_text", "text": "Yes."}]}], ()),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_answer_in_each_shape_is_read_with_its_steps(shape: str) -> None:
    messages, steps = SHAPES[shape]
    (turn,) = turns_of(read_messages([{"role": "user", "content": "Rain in Ely?"}, *messages]))
    assert (turn.response, turn.steps) == ("Yes.", steps)


def test_result_beside_a_text_of_the_user_stays_with_its_call() -> None:
    first, second = turns_of(
        read_messages(
            [
                {"role": "user", "content": "Rain in Ely?"},
                {"role": "assistant", "content": [{"type": "tool_use", "id": "c1", "name": "weather", "input": {}}]},
                {
                    "role": "user",
                    "content": [
                        {"type": "tool_result", "tool_use_id": "c1", "content": "no"},
                        {"type": "text", "text": "So?"},
                    ],
                },
            ]
        )
    )
    assert ([step.result for step in first.steps], second.request) == (["no"], "So?")


@pytest.mark.parametrize("text", ['{"role": "user", "con', '{"a": {"b": 1}}', "[" * 9999, '["\\ud83d"]', "[NaN]"])
def test_text_that_is_no_message_stays_text(text: str) -> None:
    assert [(message.role, message.text) for message in messages_in(text, "user")] == [("user", text)]
    assert messages_in({"input": '{"query": "x"}'}, "user")[0].text == '{"query": "x"}'


@given(st.permutations(range(4)), st.booleans())
def test_results_in_any_order_find_the_calls_of_their_ids(order: list[int], together: bool) -> None:
    calls = [{"id": f"c{k}", "function": {"name": f"tool{k}", "arguments": "{}"}} for k in range(4)]
    asked = [{"role": "user", "content": "Go."}]
    called = [
        {"role": "assistant", "tool_calls": calls if together else [call]}
        for call in (calls[:1] if together else calls)
    ]
    results = [{"role": "tool", "tool_call_id": f"c{k}", "content": f"result {k}"} for k in order]
    (turn,) = turns_of(read_messages([*asked, *called, *results]))
    assert [(step.name, step.result) for step in turn.steps] == [(f"tool{k}", f"result {k}") for k in range(4)]


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
