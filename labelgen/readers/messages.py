"""Messages of language models in the forms that logs have, and turns made of them.

Read are: OpenAI chat messages (`role`, `content` as text or parts, `tool_calls`, `function_call`), ShareGPT (`from`, `value`),
OpenTelemetry (`role`, `parts`; JSON schemas of gen_ai.input.messages and gen_ai.output.messages), LangChain messages (`type`,
`content` or `data`; also serialized with `lc` and `kwargs`), content blocks `tool_use` and `tool_result`, Gemini parts, and parts of
the AI SDK (`tool-invocation`, `tool-NAME`)."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from types import NoneType
from typing import Any

import msgspec
from msgspec.structs import replace

from labelgen.data.dialogue import TOOL, Category, Feedback, Step, Turn
from labelgen.data.json_text import decoded, json_text, object_of
from labelgen.data.reader import exchanges, join_texts
from labelgen.readers.cells import CellError

USER, ASSISTANT, TOOLS, INSTRUCTIONS = "user", "assistant", "tool", "system"

_ROLES = {
    **dict.fromkeys(("user", "human", "customer", "client", "humanmessage", "humanmessagechunk"), USER),
    **dict.fromkeys(
        ("assistant", "ai", "gpt", "chatgpt", "bot", "bing", "bard", "model", "agent", "chatbot"), ASSISTANT
    ),
    **dict.fromkeys(("aimessage", "aimessagechunk", "function_call", "tool_call"), ASSISTANT),
    **dict.fromkeys(("tool", "function", "observation", "ipython", "tool_response", "function_response"), TOOLS),
    **dict.fromkeys(("toolmessage", "functionmessage", "toolmessagechunk", "functionmessagechunk"), TOOLS),
    **dict.fromkeys(("system", "developer", "instructions", "systemmessage", "systemmessagechunk"), INSTRUCTIONS),
}
"""Role, in lower case -> side of the dialogue."""

_ROLE_KEYS = ("role", "from", "type", "speaker", "author", "sender")
_TEXT_KEYS = ("content", "value", "text", "parts", "message")
_PART_KEYS = ("text", "content", "refusal", "transcript", "value", "output_text", "input_text")
_CALL_PARTS = ("tool_call", "tool_use", "function_call", "server_tool_call", "server_tool_use", "functionCall")
_RESULT_PARTS = (
    *("tool_call_response", "tool_result", "function_call_output", "server_tool_call_response", "functionResponse"),
    *("tool_response", "function_response"),
)
_NOT_SHOWN = ("reasoning", "thinking", "redacted_thinking", "compaction", "step-start")
_MEDIA = ("blob", "image", "audio", "file", "uri")
_READ = {*_ROLE_KEYS, *_TEXT_KEYS, "refusal", "tool_calls", "function_call", "tool_call_id", "name", "status"}
_READ |= {"additional_kwargs"}


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
    """A list of messages. Raises CellError for anything else, and for an unknown role."""
    if not isinstance(items, list):
        raise CellError(field, f"bad_type: Expected `array`, got `{_json_type(items)}`")
    return [message for k, item in whole_messages(items) for message in read_message(item, f"{field}[{k}]")]


def whole_messages(items: Sequence[Any]) -> Iterator[tuple[int, Any]]:
    """The entries of a list of messages with their places; pieces of one streamed message, which stand one after the other, as one."""
    for chunk, group in groupby(enumerate(items), lambda item: _chunk_of(item[1])):
        each = list(group)
        if chunk is None:
            yield from each
            continue
        k, first = each[0]
        whole = _unpacked(first)
        for _, item in each[1:]:
            piece = _unpacked(item)
            for name in ("content", "tool_calls"):
                if isinstance(piece.get(name), type(whole.get(name))) and isinstance(piece.get(name), str | list):
                    whole = {**whole, name: whole[name] + piece[name]}
        yield k, whole


def _chunk_of(item: Any) -> tuple[str | None, ...] | None:
    """What pieces of one streamed message share, `type` and `id` of LangChain's chunks; None for a whole message."""
    if not isinstance(item, dict):
        return None
    item = _unpacked(item)
    kind = next((str(item[key]) for key in _ROLE_KEYS if isinstance(item.get(key), str)), "")
    return (kind, text_of(item.get("id"))) if kind.casefold().endswith("messagechunk") else None


def read_message(item: Any, field: str) -> list[Message]:
    """One message; two where results of tools stand beside a text of the user. Raises CellError as read_messages does."""
    if not isinstance(item, dict):
        raise CellError(field, f"bad_type: Expected `object`, got `{_json_type(item)}`")
    item = _unpacked(item)
    key = next((key for key in _ROLE_KEYS if isinstance(item.get(key), (str, dict))), None)
    if key is None:
        raise CellError(f"{field}.role", "bad_type: a message needs a role")
    name = item[key]["role"] if isinstance(item[key], dict) and isinstance(item[key].get("role"), str) else item[key]
    role = _ROLES.get(str(name).casefold())
    if role is None:
        raise CellError(
            f"{field}.{key}", f"bad_type: unknown role {str(name)[:40]!r}; known: {', '.join(sorted(_ROLES))}"
        )
    content = Content.of(_content(item), f"{field}.content")
    calls, results = content.calls + _calls_of(item), content.results
    calls = calls or _calls_of(object_of(item.get("additional_kwargs")))
    if isinstance(item.get("refusal"), str) and not content.texts:
        content.texts.append(item["refusal"])
    text = content.text
    if str(name).casefold() in ("function_call", "tool_call") and not calls:
        calls, text = [_call(one) for one in _list(decoded(text))], ""
    if role == TOOLS and not results:
        failed = "error" if item.get("status") == "error" else None
        results = [Result(text_of(item.get("tool_call_id")), text_of(item.get("name")), text, _error(text) or failed)]
        text = ""
    extra = {name: value for name, value in item.items() if name not in _READ and value not in (None, [], {}, "")}
    before = []
    if role == USER and results:
        before, results = [Message(TOOLS, results=tuple(results))], []
        if not text and not content.attachments:
            return before
    return [*before, Message(role, text, tuple(content.attachments), tuple(calls), tuple(results), extra=extra)]


def _unpacked(item: dict[str, Any]) -> dict[str, Any]:
    """A LangChain message without its wrapping."""
    if isinstance(item.get("kwargs"), dict) and isinstance(item.get("id"), list) and item["id"]:
        return {**item["kwargs"], "type": str(item["id"][-1])}
    if isinstance(item.get("data"), dict) and isinstance(item.get("type"), str) and "content" in item["data"]:
        return {**item["data"], "type": item["type"]}
    return item


def _content(item: Mapping[str, Any]) -> Any:
    """The first content that is not empty."""
    return next((item[key] for key in _TEXT_KEYS if item.get(key) not in (None, "", [], {})), None)


_GOES_ON = re.compile(r"\s|[.,;:!?)\]]")
"""How a piece of text begins that goes on with the piece before it."""


@dataclass
class Content:
    """What a content says: a text, parts, or an object with parts. The one place that decides what of it is text.

    attachments: kinds of the parts without text, such as `image_url`."""

    texts: list[str] = field(default_factory=list)
    cited: bool = False
    attachments: list[str] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    results: list[Result] = field(default_factory=list)

    @classmethod
    def of(cls, value: Any, name: str) -> "Content":
        """Raises CellError where it is neither text nor parts. name: the path of the value."""
        made = cls()
        if not isinstance(value, (str, list, dict, NoneType)):
            raise CellError(name, f"bad_type: Expected `str | array | null`, got `{_json_type(value)}`")
        made._add(value, name)
        return made

    @property
    def text(self) -> str:
        """All texts, one a line. Pieces of one sentence, as they have blanks at their borders or citations, are put together."""
        joined: list[str] = []
        for text in filter(None, self.texts):
            if joined and (self.cited or joined[-1][-1].isspace() or _GOES_ON.match(text)):
                joined[-1] += text
            else:
                joined.append(text)
        return join_texts(joined)

    def _add(self, value: Any, name: str) -> None:
        if isinstance(value, str):
            self.texts.append(value)
        elif isinstance(value, list):
            for k, part in enumerate(value):
                self._add(part, f"{name}[{k}]")
        elif isinstance(value, dict):
            self._add_part(value, name)
        elif value is not None:
            raise CellError(name, f"bad_type: Expected `str | object`, got `{_json_type(value)}`")

    def _add_part(self, part: dict[str, Any], name: str) -> None:
        kind = str(
            part.get("type")
            or part.get("content_type")
            or next((key for key in (*_CALL_PARTS, *_RESULT_PARTS) if key in part), "text")
        )
        inner = part.get(kind) if isinstance(part.get(kind), dict) else None
        if kind == "tool-invocation" or kind.startswith(("tool-", "dynamic-tool")):
            self._add_invocation({"toolName": kind.removeprefix("tool-"), **part, **part.get("toolInvocation", {})})
        elif kind in _CALL_PARTS:
            self.calls.append(_call(inner or part))
        elif kind in _RESULT_PARTS:
            self.results.append(_result(inner or part))
        elif kind in _MEDIA:
            self.attachments.append(kind)
            self._add(part.get("transcript"), name)
        elif kind not in _NOT_SHOWN and not part.get("thought"):
            value = next((part[key] for key in (*_PART_KEYS, "parts") if part.get(key) not in (None, "")), None)
            self.cited = self.cited or bool(part.get("citations") or part.get("annotations"))
            if isinstance(value, (str, list, dict)):
                self._add(value, name)
            elif not any(key in part for key in _PART_KEYS):
                self.attachments.append(kind)

    def _add_invocation(self, part: dict[str, Any]) -> None:
        """A call and its result in one part, as the AI SDK has them."""
        identity = text_of(part.get("toolCallId"))
        arguments = next((part[key] for key in ("input", "args") if key in part), None)
        self.calls.append(Call(text_of(part.get("toolName")), identity, json_text(arguments)))
        value = next((part[key] for key in ("output", "result") if part.get(key) is not None), None)
        error = text_of(part.get("errorText"))
        if value is not None or error is not None:
            self.results.append(Result(identity, None, json_text(value), error or _error(json_text(value))))


def _calls_of(part: Mapping[str, Any]) -> list[Call]:
    return [_call(one) for name in ("tool_calls", "function_call") for one in _list(part.get(name))]


def _call(item: Any) -> Call:
    """A tool call in any of the forms."""
    item = object_of(item)
    inner = item["function"] if isinstance(item.get("function"), dict) else item
    nested = item.get("server_tool_call")
    arguments = next((inner[key] for key in ("arguments", "args", "input", "parameters") if key in inner), nested)
    return Call(text_of(inner.get("name")), text_of(item.get("id") or item.get("call_id")), json_text(arguments))


def _result(part: Mapping[str, Any]) -> Result:
    keys = ("response", "result", "content", "output", "server_tool_call_response")
    value = next((part[key] for key in keys if part.get(key) is not None), None)
    if isinstance(value, list) and all(isinstance(one, dict) and isinstance(one.get("text"), str) for one in value):
        value = join_texts(one["text"] for one in value)
    text = json_text(value)
    failed = part.get("is_error") is True or part.get("status") == "error"
    identity = next((part[key] for key in ("id", "tool_use_id", "call_id", "tool_call_id") if part.get(key)), None)
    return Result(
        text_of(identity), text_of(part.get("name")), text, _error(text) or ((text or "error") if failed else None)
    )


_ASKED_KEYS = "messages input question query prompt message text user_input human_input content chat_input"
_ANSWER_KEYS = "messages output answer response completion result text content message reply"
"""Names that the input and the output of a call usually have."""
_CUT = re.compile(
    r"""\s*(?:\[\s*)*\{\s*(?:"(?:role|parts|messages|lc|type|content|kwargs|choices|generations)"\s*:\s*["\[{0-9]"""
    r"""|"(?:input|inputs|output|outputs|data)"\s*:\s*(?:\[\s*)*\{\s*"(?:role|messages|lc|type|content)")"""
)
"""How JSON of messages begins."""


def messages_in(value: Any, role: str) -> tuple[Message, ...]:
    """The messages in the input (USER) or output (ASSISTANT) of a call; none where there are none.

    Forms: a text; a message or a list of messages; an object with `messages`, `choices` (OpenAI), `generations` (LangChain), a
    text under a usual name such as `input` or `answer`, or a single text. The whole value may be text of JSON, if it has messages or a text
    under a usual name: other JSON a user may have typed, and so are texts within it, whatever they look like. Raises CellError for JSON of messages that was cut off."""
    plain = decoded(value)
    if isinstance(plain, str) and _CUT.match(plain):
        hint = "raise the limit on the length of attributes (OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT), and export again"
        raise CellError(
            "",
            "cut_messages: this begins as JSON of messages and cannot be decoded to its end, so what was said is not known",
            hint,
        )
    typed = isinstance(plain, list) and not any(isinstance(one, (dict, list)) for one in plain)
    if plain is not value and not typed and (found := _messages_in(plain, role, named=True)):
        return found
    return _messages_in(value, role)


def _messages_in(value: Any, role: str, named: bool = False) -> tuple[Message, ...]:
    """named: whether a text needs a usual name."""
    if isinstance(value, str):
        return (Message(role, value),) if value.strip() else ()
    if isinstance(value, list):
        return _in_list(value, role)
    if not isinstance(value, dict):
        return ()
    for name in ("generations", "choices"):
        if isinstance(value.get(name), list):
            rows = [one for row in value[name] for one in (row if isinstance(row, list) else [row])]
            first = rows[0] if rows and isinstance(rows[0], dict) else {}
            return _messages_in(first.get("message") or first.get("text"), role)
    if any(key in value for key in ("role", "from", "type", "kwargs")):
        try:
            return tuple(read_messages([value]))
        except CellError:
            pass
    history = _messages_in(value["chat_history"], role) if isinstance(value.get("chat_history"), list) else ()
    for key in (_ASKED_KEYS if role == USER else _ANSWER_KEYS).split():
        if found := _messages_in(value.get(key), role):
            return (*history, *found)
    texts = [text for text in value.values() if isinstance(text, str)]
    return (Message(role, texts[0]),) if len(texts) == 1 and not named else ()


def _in_list(value: list[Any], role: str) -> tuple[Message, ...]:
    if len(value) == 1 and isinstance(value[0], list):
        return _in_list(value[0], role)
    try:
        return tuple(read_messages(value))
    except CellError:
        texts = [text for text in value if isinstance(text, str)]
        if texts and len(texts) == len(value):
            return (Message(role, "\n".join(texts)),)
        return tuple(message for one in value if isinstance(one, dict) for message in _messages_in(one, role))


_ERROR = re.compile(r'"(?:error|isError|is_error|status)"')


def _error(text: str | None) -> str | None:
    """The error that a result states: a JSON object with `error`, `isError` or the status `error`."""
    if not text or _ERROR.search(text) is None:
        return None
    value = object_of(decoded(text))
    if value.get("error"):
        return json_text(value["error"])
    failed = True in (value.get("isError"), value.get("is_error")) or value.get("status") == "error"
    return "error" if failed else None


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


def extra_text(fields: Mapping[str, Any]) -> str | None:
    """Unknown fields as the JSON text of `extra`; None where there are none."""
    return msgspec.json.encode(fields, order="sorted").decode() if fields else None


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None or value == "" else [value]


def text_of(value: Any) -> str | None:
    """A value as text; None for None and an empty text."""
    return None if value is None or value == "" else json_text(value)


def _json_type(value: Any) -> str:
    names = {dict: "object", list: "array", str: "str", bool: "bool", int: "int", float: "float", type(None): "null"}
    return names.get(type(value), type(value).__name__)
