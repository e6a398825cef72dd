"""The data export of ChatGPT: conversations as trees of messages, and the thumbs of the user.

path: `conversations.json` (also `conversations-000.json` and so on), or the folder of the export, whose `message_feedback.json` has
the thumbs. A dialogue is a conversation along its current path, from `current_node` up. Messages to a tool (`recipient`) are its
calls, those of the role `tool` its results; hidden messages, instructions and thoughts are left out.

A response that was replaced is feedback `regenerate` of its turn, with the replaced text. A request that was replaced is feedback
`edit`, with the request as it was edited as its text; the old one is in `extra` as `replaced_requests`. A thumb is a rating; one on
a response that was replaced is kept in `extra`, since nobody sees its response in the dialogue. The form is that of the export of
2024 to 2026, which OpenAI does not document."""

import re
from collections.abc import Generator, Mapping, Sequence
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from labelgen.base.errors import UsageError
from labelgen.data.dialogue import Dialogue, Feedback
from labelgen.data.json_text import decoded, object_of
from labelgen.data.reader import Items, Reader, Remark
from labelgen.data.record import Rejected, validate
from labelgen.readers.cells import UTC_CLOCK, CellError, Moment, cell_id, cell_number, is_empty, seconds_since_1970
from labelgen.readers.exports import json_objects
from labelgen.readers.mapping import Meaning
from labelgen.readers.messages import ASSISTANT, TOOLS, USER, Call, Content, Message, Result, extra_text, turns_of

_FILES = re.compile(r"conversations(?:-\d+)?\.json(?:\.gz|\.zst)?")
_THUMBS = "message_feedback.json"
_SIDES = {"user": USER, "assistant": ASSISTANT, "tool": TOOLS}
_NOT_SAID = ("thoughts", "reasoning_recap", "model_editable_context", "user_editable_context", "system_error")
_MEANING = Meaning.of_text("rating", "thumbs")

Nodes = Mapping[str, Mapping[str, Any]]


def _read(path: Path, options: Any) -> Items:
    files = [path]
    if path.is_dir():
        files = [file for file in sorted(path.iterdir()) if _FILES.fullmatch(file.name)]
        if not files:
            raise UsageError(f"no conversations.json in {path}", str(path), "name the unpacked folder of the export")
    thumbs: dict[str, list[Feedback]] = {}
    for file in files:
        thumbs |= yield from _thumbs(file.parent / _THUMBS)
    unused = {name for name, feedback in thumbs.items() if feedback}
    for file in files:
        for name, line, text, value in json_objects(file):
            if isinstance(value, Rejected):
                yield value
            elif not isinstance(value.get("mapping"), dict):
                reason = "bad_type: no conversation of ChatGPT, which has its messages in `mapping`"
                yield Rejected(file=name, line=line, reason=reason, raw=text.decode("utf-8", "replace"))
            else:
                try:
                    dialogue = _dialogue(value, f"{name}:{line}", thumbs, unused)
                except CellError as error:
                    yield error.rejected(name, line)
                else:
                    yield validate(dialogue, name, line)
    if unused:
        yield Remark(f"{len(unused):,} thumbs are on responses that are in no dialogue any more")


def _thumbs(file: Path) -> Generator[Rejected, None, dict[str, list[Feedback]]]:
    """Message -> its feedback."""
    found: dict[str, list[Feedback]] = {}
    for name, line, _, value in json_objects(file) if file.is_file() else ():
        if isinstance(value, Rejected):
            yield value
            continue
        content = decoded(value.get("content"))
        words = content if isinstance(content, dict) else {"text": content}
        tags = words.get("tags")
        said = (words.get("text"), *(tags if isinstance(tags, list) else ()))
        comment = ", ".join(str(one) for one in said if not is_empty(one))
        try:
            feedback = _MEANING.read("rating", value.get("rating"), cell_number)
        except CellError as error:
            yield error.rejected(name, line)
            continue
        key = str(value.get("message_id") or value.get("id"))
        found[key] = [replace(one, text=comment or None) for one in feedback]
    return found


def _dialogue(
    conversation: Mapping[str, Any], fallback: str, thumbs: Mapping[str, list[Feedback]], unused: set[str]
) -> Dialogue:
    nodes: Nodes = conversation["mapping"]
    path = _path(nodes, conversation.get("current_node"))
    messages: list[Message] = []
    others: list[dict[str, Any]] = []
    for name in path:
        message = _message(nodes[name], name)
        if message is None:
            continue
        replaced = [
            other
            for sibling in _siblings(nodes, name)
            if (other := _first(nodes, sibling, message.role)) is not None and other.text != message.text
        ]
        if message.role == ASSISTANT:
            again = tuple(Feedback(kind="regenerate", text=other.text) for other in replaced)
            message = replace(message, feedback=(*thumbs.get(name, ()), *again))
            unused.discard(name)
        elif message.role == USER and replaced:
            edits = tuple(Feedback(kind="edit", text=message.text) for _ in replaced)
            message = replace(message, feedback=edits, extra={"replaced_requests": [other.text for other in replaced]})
        messages.append(message)
    for name in nodes.keys() - set(path):
        if name in unused:
            unused.discard(name)
            others += [{"message": name, "rating": one.rating, "text": one.text} for one in thumbs[name]]
    start_s = seconds_since_1970(conversation.get("create_time"))
    first = next((message.time_s for message in messages if message.time_s is not None), start_s)
    shown = {name: conversation[name] for name in ("title",) if conversation.get(name)}
    return Dialogue(
        id=cell_id(conversation.get("conversation_id") or conversation.get("id")) or fallback,
        start=None if first is None else Moment(first, "epoch").iso(),
        turns=turns_of(messages, first or 0.0),
        extra=extra_text({**shown, **({"feedback_on_replaced": others} if others else {})}),
    )


def _path(nodes: Nodes, last: Any) -> list[str]:
    """The nodes from the root to the current one. Raises CellError where that cannot be followed."""
    path: list[str] = []
    at, seen = last, set[str]()
    while at is not None:
        if at not in nodes or at in seen:
            raise CellError("current_node", f"bad_tree: the message {str(at)[:40]!r} is missing or its own ancestor")
        seen.add(at)
        path.append(at)
        at = nodes[at].get("parent")
    return path[::-1]


def _siblings(nodes: Nodes, name: str) -> Sequence[str]:
    """The other answers to the same message."""
    above = str(nodes[name].get("parent"))
    children = nodes[above].get("children") if above in nodes else None
    return [one for one in children or () if one != name and one in nodes]


def _first(nodes: Nodes, name: str, role: str) -> Message | None:
    """The first message of a side from a node on, if it comes before one of the user: the response that a tool led to."""
    seen: set[str] = set()
    while name in nodes and name not in seen:
        seen.add(name)
        message = _message(nodes[name], name)
        if message is not None and message.role == role and message.text:
            return message
        if message is not None and message.role == USER:
            return None
        children = nodes[name].get("children") or ()
        name = children[0] if children else ""
    return None


def _message(node: Mapping[str, Any], name: str) -> Message | None:
    """The message of a node; None for one that nobody saw."""
    message = object_of(node.get("message"))
    author, content, metadata = (object_of(message.get(part)) for part in ("author", "content", "metadata"))
    role = _SIDES.get(str(author.get("role")))
    hidden = metadata.get("is_visually_hidden_from_conversation") or content.get("content_type") in _NOT_SAID
    if role is None or hidden:
        return None
    value = content.get("parts") or content.get("text") or content.get("result")
    read = Content.of(value, f"mapping.{name}.message.content")
    moment = None if is_empty(message.get("create_time")) else UTC_CLOCK.read("create_time", message["create_time"])
    time_s = None if moment is None else moment.seconds
    recipient = message.get("recipient")
    if role == ASSISTANT and recipient not in (None, "all"):
        return Message(role, calls=(Call(name=str(recipient), arguments=read.text),), time_s=time_s)
    if role == TOOLS:
        return Message(role, results=(Result(name=author.get("name"), text=read.text),), time_s=time_s)
    return Message(role, read.text, tuple(read.attachments), time_s=time_s)


READER = Reader(_read)
