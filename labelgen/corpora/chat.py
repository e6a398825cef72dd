"""Chat messages as language-model services log them: JSON Lines of `{"messages": [{"role", "content"}, ...]}`.

path: a `.jsonl` or `.jsonl.gz` file, or a folder of them. Text parts of a content make the text, other parts (images,
sound) are named in the category `attachment`. System and developer messages are instructions, not turns. A turn in
which the assistant called tools has the status `tool_call` and their names as the category `tool`; the calls, and what
the tools answered, are in the turn's `extra`. A record without `id` is named after its file and line. `user` may be
given; every other field goes to `extra`."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec

from labelgen.data.dialogue import Category, Dialogue, Turn
from labelgen.data.reader import Exchange, Options, Reader, exchanges, files_of, join_texts, lines_of
from labelgen.data.record import Rejected, parse, validate

_SUFFIXES = (".jsonl", ".jsonl.gz", ".jsonl.zst")


class _Part(msgspec.Struct, frozen=True):
    type: str
    text: str | None = None
    refusal: str | None = None


class _Function(msgspec.Struct, frozen=True):
    name: str
    arguments: Any = None


class _ToolCall(msgspec.Struct, frozen=True, omit_defaults=True):
    function: _Function
    id: str | None = None


class _Message(msgspec.Struct, frozen=True):
    role: Literal["user", "assistant", "system", "developer", "tool", "function"]
    content: str | tuple[_Part, ...] | None = None
    refusal: str | None = None
    tool_calls: tuple[_ToolCall, ...] | None = None
    function_call: _Function | None = None
    tool_call_id: str | None = None
    name: str | None = None

    @property
    def text(self) -> str:
        if self.content is None or isinstance(self.content, str):
            return self.content or self.refusal or ""
        return join_texts(text for part in self.content if (text := part.text or part.refusal))

    @property
    def attachments(self) -> tuple[str, ...]:
        if self.content is None or isinstance(self.content, str):
            return ()
        return tuple(part.type for part in self.content if part.text is None and part.refusal is None)

    @property
    def calls(self) -> tuple[_ToolCall, ...]:
        old = () if self.function_call is None else (_ToolCall(self.function_call),)
        return (*(self.tool_calls or ()), *old)


class _ChatLog(msgspec.Struct, frozen=True):
    messages: tuple[_Message, ...]
    id: str | int | None = None
    user: str | None = None


def _read(path: Path, options: Options) -> Iterator[Dialogue | Rejected]:
    for file in files_of(path, _SUFFIXES):
        name = file.relative_to(path).as_posix() if path.is_dir() else file.name
        for number, text in lines_of(file):
            # All of it is decoded first, since what is unknown is kept, and must be good too.
            plain = parse(text, dict[str, Any], name, number)
            item = parse(text, _ChatLog, name, number)
            if isinstance(plain, Rejected):
                yield plain
            elif isinstance(item, Rejected):
                yield item
            else:
                yield validate(_dialogue(item, f"{name}:{number}", _extra(plain)), name, number)


def _dialogue(item: _ChatLog, fallback: str, extra: str | None) -> Dialogue:
    utterances = [m for m in item.messages if m.role not in ("system", "developer")]
    return Dialogue(
        id=fallback if item.id is None else str(item.id),
        user=item.user,
        turns=tuple(_turn(turn) for turn in exchanges(utterances, lambda message: message.role == "user")),
        extra=extra,
    )


def _turn(turn: Exchange[_Message]) -> Turn:
    calls = [call for message in turn.assistant for call in message.calls]
    results = [message for message in turn.assistant if message.role in ("tool", "function")]
    categories = {
        "attachment": [kind for message in turn.user for kind in message.attachments],
        "tool": [call.function.name for call in calls],
    }
    return Turn(
        request=join_texts(message.text for message in turn.user),
        response=join_texts(m.text for m in turn.assistant if m.role == "assistant" and m.text),
        status="tool_call" if calls else None,
        categories=tuple(
            Category(name=name, value="+".join(sorted(set(values)))) for name, values in categories.items() if values
        ),
        extra=_tools(calls, results),
    )


def _tools(calls: Sequence[_ToolCall], results: Sequence[_Message]) -> str | None:
    if not calls and not results:
        return None
    tool_results = [{"tool_call_id": m.tool_call_id, "name": m.name, "content": m.text} for m in results]
    return msgspec.json.encode({"tool_calls": calls, "tool_results": tool_results}).decode()


def _extra(plain: Mapping[str, Any]) -> str | None:
    rest = {key: value for key, value in plain.items() if key not in ("messages", "id", "user")}
    return msgspec.json.encode(rest, order="sorted").decode() if rest else None


READER = Reader(_read)
