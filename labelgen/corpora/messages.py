"""Messages of language models in the forms that logs have, and turns made of them.

Read are: OpenAI chat messages (`role`, `content` as text or parts, `tool_calls`, `function_call`), ShareGPT (`from`, `value`),
OpenTelemetry (`role`, `parts`; JSON schemas of gen_ai.input.messages and gen_ai.output.messages), LangChain messages (`type`,
`content` or `data`; also serialized with `lc` and `kwargs`), and content blocks `tool_use` and `tool_result`."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
from msgspec.structs import replace

from labelgen.data.dialogue import TOOL, Category, Feedback, Step, Turn
from labelgen.data.reader import exchanges, join_texts

USER, ASSISTANT, TOOLS, INSTRUCTIONS = "user", "assistant", "tool", "system"

_ROLES = {
    **dict.fromkeys(("user", "human", "customer", "client", "humanmessage"), USER),
    **dict.fromkeys(
        ("assistant", "ai", "gpt", "chatgpt", "bot", "bing", "bard", "model", "agent", "chatbot"), ASSISTANT
    ),
    **dict.fromkeys(("aimessage", "aimessagechunk", "function_call", "tool_call"), ASSISTANT),
    **dict.fromkeys(("tool", "function", "observation", "ipython", "tool_response", "function_response"), TOOLS),
    **dict.fromkeys(("toolmessage", "functionmessage"), TOOLS),
    **dict.fromkeys(("system", "developer", "instructions", "systemmessage"), INSTRUCTIONS),
}
"""Role, in lower case -> side of the dialogue."""

_ROLE_KEYS = ("role", "from", "type", "speaker", "author", "sender")
_TEXT_KEYS = ("content", "value", "text", "parts", "message")
_CALL_PARTS = ("tool_call", "tool_use", "function_call", "server_tool_call", "server_tool_use")
_RESULT_PARTS = ("tool_call_response", "tool_result", "function_call_output", "server_tool_call_response")
_NOT_SHOWN = ("reasoning", "thinking", "redacted_thinking", "compaction")
_READ = {
    *_ROLE_KEYS,
    *_TEXT_KEYS,
    "refusal",
    "tool_calls",
    "function_call",
    "tool_call_id",
    "name",
    "status",
    "additional_kwargs",
}


class MessageError(ValueError):
    """A message that cannot be read. field: path within the messages."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(reason)
        self.field = field


class Call(msgspec.Struct, frozen=True):
    """A tool call of the assistant. arguments: JSON text."""

    name: str | None = None
    id: str | None = None
    arguments: str | None = None


class Result(msgspec.Struct, frozen=True):
    """What a tool returned. text: JSON or any text. error: why it failed, in the log's words."""

    id: str | None = None
    name: str | None = None
    text: str | None = None
    error: str | None = None


class Message(msgspec.Struct, frozen=True):
    """One message. role: USER, ASSISTANT, TOOLS or INSTRUCTIONS. time_s: seconds on the clock of the log. extra: fields that
    are not read."""

    role: str
    text: str = ""
    attachments: tuple[str, ...] = ()
    calls: tuple[Call, ...] = ()
    results: tuple[Result, ...] = ()
    feedback: tuple[Feedback, ...] = ()
    time_s: float | None = None
    extra: dict[str, Any] = {}

    @property
    def said(self) -> tuple[Any, ...]:
        """What makes two copies of a message equal: its role, words, calls and results."""
        names = tuple((call.name, call.arguments) for call in self.calls)
        return self.role, " ".join(self.text.split()), names, tuple(result.text for result in self.results)


def read_messages(items: Any, field: str = "messages") -> list[Message]:
    """A list of messages. Raises MessageError for anything else, and for an unknown role."""
    if not isinstance(items, list):
        raise MessageError(field, f"bad_type: Expected `array`, got `{_json_type(items)}`")
    return [_read_message(item, f"{field}[{k}]") for k, item in enumerate(items)]


def _read_message(item: Any, field: str) -> Message:
    if not isinstance(item, dict):
        raise MessageError(field, f"bad_type: Expected `object`, got `{_json_type(item)}`")
    item = _unpacked(item)
    key = next((key for key in _ROLE_KEYS if isinstance(item.get(key), (str, dict))), None)
    if key is None:
        raise MessageError(f"{field}.role", "bad_type: a message needs a role")
    name = item[key]["role"] if isinstance(item[key], dict) and isinstance(item[key].get("role"), str) else item[key]
    role = _ROLES.get(str(name).casefold())
    if role is None:
        raise MessageError(
            f"{field}.{key}", f"bad_type: unknown role {str(name)[:40]!r}; known: {', '.join(sorted(_ROLES))}"
        )
    texts, attachments, calls, results = _Parts().read(_content(item), field)
    calls += [_call(one) for one in _list(item.get("tool_calls"))]
    calls += [_call(one) for one in _list(item.get("function_call"))]
    kwargs = item.get("additional_kwargs")
    if isinstance(kwargs, dict) and not calls:
        calls += [_call(one) for one in (*_list(kwargs.get("tool_calls")), *_list(kwargs.get("function_call")))]
    if isinstance(item.get("refusal"), str) and not texts:
        texts.append(item["refusal"])
    text = join_texts(texts)
    if str(name).casefold() in ("function_call", "tool_call") and not calls:
        calls, text = [_call(one) for one in _list(_decoded(text))], ""
    if role == TOOLS and not results:
        failed = "error" if item.get("status") == "error" else None
        results = [Result(_text(item.get("tool_call_id")), _text(item.get("name")), text, _error(text) or failed)]
        text = ""
    if role == USER and results and not text:
        role = TOOLS
    extra = {name: value for name, value in item.items() if name not in _READ and value not in (None, [], {}, "")}
    return Message(role, text, tuple(attachments), tuple(calls), tuple(results), extra=extra)


def _unpacked(item: dict[str, Any]) -> dict[str, Any]:
    """A LangChain message without its wrapping."""
    if isinstance(item.get("kwargs"), dict) and isinstance(item.get("id"), list) and item["id"]:
        return {**item["kwargs"], "type": str(item["id"][-1])}
    if isinstance(item.get("data"), dict) and isinstance(item.get("type"), str) and "content" in item["data"]:
        return {**item["data"], "type": item["type"]}
    return item


def _content(item: Mapping[str, Any]) -> Any:
    found = next((item[key] for key in _TEXT_KEYS if item.get(key) is not None), None)
    # An export of ChatGPT has {"content_type": "text", "parts": [...]}.
    return found["parts"] if isinstance(found, dict) and isinstance(found.get("parts"), list) else found


class _Parts:
    """The parts of a content, by what they are."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.attachments: list[str] = []
        self.calls: list[Call] = []
        self.results: list[Result] = []

    def read(self, content: Any, field: str) -> tuple[list[str], list[str], list[Call], list[Result]]:
        if isinstance(content, str):
            self.texts.append(content)
        elif isinstance(content, list):
            for k, part in enumerate(content):
                self._part(part, f"{field}.content[{k}]")
        elif isinstance(content, dict):
            self._part(content, f"{field}.content")
        elif content is not None:
            raise MessageError(
                f"{field}.content", f"bad_type: Expected `str | array | null`, got `{_json_type(content)}`"
            )
        return [text for text in self.texts if text], self.attachments, self.calls, self.results

    def _part(self, part: Any, field: str) -> None:
        if isinstance(part, str):
            self.texts.append(part)
            return
        if not isinstance(part, dict):
            raise MessageError(field, f"bad_type: Expected `str | object`, got `{_json_type(part)}`")
        kind = str(part.get("type", "text"))
        if kind in _CALL_PARTS:
            self.calls.append(_call(part))
        elif kind in _RESULT_PARTS:
            self.results.append(_result(part))
        elif (
            text := next(
                (part[key] for key in ("text", "content", "refusal", "transcript") if _is_text(part, key)), None
            )
        ) is None:
            self.attachments.append(kind)
        elif kind in ("blob", "image", "audio", "file", "uri"):
            self.attachments.append(kind)
            if isinstance(part.get("transcript"), str):
                self.texts.append(part["transcript"])
        elif kind not in _NOT_SHOWN:
            self.texts.append(text)


def _is_text(part: Mapping[str, Any], key: str) -> bool:
    return isinstance(part.get(key), str)


def _call(item: Any) -> Call:
    """A tool call in any of the forms."""
    if not isinstance(item, dict):
        return Call()
    function = item.get("function")
    inner = function if isinstance(function, dict) else item
    nested = item.get("server_tool_call")
    arguments = next((inner[key] for key in ("arguments", "args", "input", "parameters") if key in inner), nested)
    return Call(_text(inner.get("name")), _text(item.get("id") or item.get("call_id")), json_text(arguments))


def _result(part: Mapping[str, Any]) -> Result:
    keys = ("response", "result", "content", "output", "server_tool_call_response")
    value = next((part[key] for key in keys if part.get(key) is not None), None)
    if isinstance(value, list) and all(isinstance(one, dict) and isinstance(one.get("text"), str) for one in value):
        value = join_texts(one["text"] for one in value)
    text = json_text(value)
    failed = part.get("is_error") is True or part.get("status") == "error"
    identity = next((part[key] for key in ("id", "tool_use_id", "call_id", "tool_call_id") if part.get(key)), None)
    return Result(
        _text(identity), _text(part.get("name")), text, _error(text) or ((text or "error") if failed else None)
    )


_ERROR = re.compile(r'"(?:error|isError|is_error|status)"')


def _error(text: str | None) -> str | None:
    """The error that a result states: a JSON object with `error`, `isError` or the status `error`."""
    if not text or _ERROR.search(text) is None:
        return None
    value = _decoded(text)
    if not isinstance(value, dict):
        return None
    if value.get("error"):
        return value["error"] if isinstance(value["error"], str) else json_text(value["error"])
    return (
        "error"
        if value.get("isError") is True or value.get("is_error") is True or value.get("status") == "error"
        else None
    )


def turns_of(messages: Iterable[Message], start_s: float = 0.0) -> tuple[Turn, ...]:
    """Turns of a dialogue; instructions are left out. start_s: the dialogue's start on the clock of the messages."""
    utterances = [message for message in messages if message.role != INSTRUCTIONS]
    return tuple(
        exchange_turn(turn.user, turn.assistant, start_s)
        for turn in exchanges(utterances, lambda message: message.role == USER)
    )


def exchange_turn(user: Sequence[Message], assistant: Sequence[Message], start_s: float) -> Turn:
    """The turn of one exchange. start_s: the dialogue's start on the clock of the messages."""
    steps = tuple(step for _, step in identified_steps(assistant))
    attachments = sorted({kind for message in user for kind in message.attachments})
    answers = [message for message in assistant if message.role == ASSISTANT and message.text]
    extras = [message.extra for message in (*user, *assistant) if message.extra]
    return Turn(
        request=join_texts(message.text for message in user),
        response=join_texts(message.text for message in answers),
        time_s=_since(user, start_s),
        response_time_s=_since(answers, start_s),
        status="tool_call" if steps else None,
        categories=(Category(name="attachment", value="+".join(attachments)),) if attachments else (),
        feedback=tuple(feedback for message in (*user, *assistant) for feedback in message.feedback),
        steps=steps,
        extra=extra_text({"messages": extras} if extras else {}),
    )


def _since(messages: Sequence[Message], start_s: float) -> float | None:
    times = [message.time_s for message in messages if message.time_s is not None]
    return times[0] - start_s if times else None


def identified_steps(messages: Iterable[Message]) -> list[tuple[str | None, Step]]:
    """The tool calls of messages as steps, with the ids of the calls. A result belongs to the call of its id; without ids, to
    the first call that has none yet. A result without a call is a step of its own."""
    steps: list[tuple[str | None, Step]] = []
    waiting: dict[int, Call] = {}
    for message in messages:
        for call in message.calls:
            waiting[len(steps)] = call
            steps.append((call.id, Step(kind=TOOL, name=call.name, arguments=call.arguments)))
        for result in message.results:
            known = (k for k, call in waiting.items() if (call.id == result.id if result.id and call.id else True))
            k = next(known, None)
            if k is None:
                steps.append((result.id, Step(kind=TOOL, name=result.name, result=result.text, error=result.error)))
            else:
                del waiting[k]
                steps[k] = (steps[k][0], replace(steps[k][1], result=result.text, error=result.error))
    return steps


def json_text(value: Any) -> str | None:
    """A value as JSON text; a text stays as it is. None for None."""
    return value if value is None or isinstance(value, str) else msgspec.json.encode(value).decode()


def extra_text(fields: Mapping[str, Any]) -> str | None:
    """Unknown fields as the JSON text of `extra`; None where there are none."""
    return msgspec.json.encode(fields, order="sorted").decode() if fields else None


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None or value == "" else [value]


def _decoded(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None


def _text(value: Any) -> str | None:
    return None if value is None else value if isinstance(value, str) else json_text(value)


def _json_type(value: Any) -> str:
    names = {dict: "object", list: "array", str: "str", bool: "bool", int: "int", float: "float", type(None): "null"}
    return names.get(type(value), type(value).__name__)
