"""Chats as language-model services log them: JSON Lines of `{"messages": [{"role", "content"}, ...]}`, or of ShareGPT's
`{"conversations": [{"from", "value"}, ...]}`.

path: a `.jsonl` or `.jsonl.gz` file, or a folder of them. readers/messages.py names the forms of a message. Text parts of a
content make the text, other parts (images, sound) are named in the category `attachment`. System and developer messages are
instructions, not turns. A turn in which the assistant called tools has the status `tool_call`, and the calls as `steps` with
their arguments, results and errors.

Options name paths, such as `metadata.rating` or `meta.session[0].id`. A record without an id is named after its file and line.
What is not read goes to `extra`."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

from msgspec.structs import replace

from labelgen.base.errors import UsageError
from labelgen.data.dialogue import Dialogue, Feedback
from labelgen.data.json_text import readable
from labelgen.data.reader import Reader, Remark, lines_of, named_files
from labelgen.data.record import Rejected, parse, validate
from labelgen.readers.cells import EPOCH_S, MISSING, CellError, Clock, Moment, cell_id, cell_number, is_empty
from labelgen.readers.mapping import JsonPath, Meaning
from labelgen.readers.messages import Message, extra_text, read_message, turns_of, whole_messages

_SUFFIXES = (".jsonl", ".jsonl.gz", ".jsonl.zst")
_LISTS = ("messages", "conversations", "conversation")

Column = Annotated[str | None, "PATH"]


@dataclass(frozen=True, kw_only=True)
class ChatOptions:
    """Paths of a record and of its messages."""

    messages: Column = None
    """PATH of the list of messages; messages, conversations or conversation without a value"""
    dialogue: Column = "id"
    """PATH of the id of the chat"""
    user: Column = "user"
    """PATH of the id of the user"""
    device: Column = None
    """PATH of the device"""
    locale: Column = None
    """PATH of language and country, such as en-US"""
    start: Column = None
    """PATH of the start of the chat, in ISO 8601 or seconds; the first time of a message without a value"""
    time: Column = None
    """PATH in a message of its time, in ISO 8601, or seconds to nanoseconds since 1970"""
    feedback: Annotated[Mapping[str, str], "MEANING"] = field(default_factory=dict)
    """PATH of user feedback, in the record or in a message, and what it means: thumbs, 'rating 1..5', yes_no, regenerate, retry, edit,
    edit_response, copy, barge_in, stop or disconnect; 'of previous' where it is about the turn before"""

    @cached_property
    def paths(self) -> Mapping[str, JsonPath]:
        """The path of each option that has one."""
        named = ((item.name, getattr(self, item.name)) for item in fields(self) if item.name != "feedback")
        return {name: JsonPath.of(text) for name, text in named if text is not None}

    @cached_property
    def meanings(self) -> Mapping[str, tuple[JsonPath, Meaning]]:
        """Path and meaning of each feedback."""
        return {name: (JsonPath.of(name), Meaning.of_text(name, text)) for name, text in self.feedback.items()}


def _read(path: Path, options: ChatOptions) -> Iterator[Dialogue | Rejected | Remark]:
    # A path that no record has may be a typing error, and feedback would be lost in silence.
    default = ChatOptions()
    unseen = {name for name in options.paths if getattr(options, name) != getattr(default, name)} | {*options.meanings}
    count = 0
    for name, file in named_files(path, _SUFFIXES):
        for number, text in lines_of(file):
            count += 1
            plain = parse(text, dict[str, Any], name, number)
            if isinstance(plain, Rejected):
                yield plain
                continue
            try:
                dialogue = _dialogue(plain, f"{name}:{number}", options, unseen)
            except CellError as error:
                yield error.rejected(name, number, raw=readable(text))
            else:
                yield validate(dialogue, name, number)
    if unseen and count:
        missed = ", ".join(sorted(getattr(options, one, None) or one for one in unseen))
        yield Remark(f"no record of {path} has {missed}; correct the path, if there should be some")


def is_record(plain: Mapping[str, Any]) -> bool:
    """Whether it is a record of labelgen, and no chat."""
    return "turns" in plain or not any(isinstance(plain.get(key), list) for key in _LISTS)


def chat_dialogue(plain: Mapping[str, Any], fallback: str) -> Dialogue:
    """The dialogue of one chat in the default options. fallback: its id where it has none. Raises UsageError for messages that
    cannot be read."""
    try:
        return _dialogue(dict(plain), fallback, ChatOptions(), set())
    except CellError as error:
        raise UsageError(
            f"{fallback}: {error}", error.column or fallback, error.hint or "see the forms of chats"
        ) from error


def _dialogue(plain: dict[str, Any], fallback: str, options: ChatOptions, unseen: set[str]) -> Dialogue:
    def value(name: str) -> Any:
        found = options.paths[name].get(plain) if name in options.paths else MISSING
        if found is not MISSING:
            unseen.discard(name)
        return None if found is MISSING or found == "" else found

    key = next((key for key in _LISTS if key in plain), None)
    listed = value("messages") if "messages" in options.paths else plain.get(key or "")
    if listed is None:
        missing = options.messages or _LISTS[0]
        raise CellError("", f"bad_type: Object missing required field `{missing}`")
    where = options.messages or key or ""
    if not isinstance(listed, list):
        raise CellError(where, f"bad_type: Expected `array`, got {str(listed)[:40]!r}")
    kinds: set[str] = set()
    messages = [
        message
        for k, entry in whole_messages(listed)
        for message in _with_metadata(read_message(entry, f"{where}[{k}]"), entry, options, unseen, kinds)
    ]
    texts = {name: _text(value(name), name) for name in ("dialogue", "user", "device", "locale")}
    first = next((m.time_s for m in messages if m.time_s is not None), None)
    start_s = _seconds(value("start"), options.start, kinds)
    if {"epoch", "local"} <= kinds:
        reason = "mixed_zones: some times of this chat name a time zone and some do not"
        raise CellError(options.time or "", reason, "write all times with their zone, such as Z for UTC")
    start_s = first if start_s is None else start_s
    clocked = start_s if start_s is not None and (first is None or abs(first) >= EPOCH_S) else 0.0
    turns = turns_of(messages, clocked)
    read = {options.messages or key, options.dialogue, options.user, options.device, options.locale}
    return Dialogue(
        id=cell_id(texts["dialogue"]) or fallback,
        user=cell_id(texts["user"], of_user=True),
        device=texts["device"],
        locale=texts["locale"],
        start=Moment(start_s, "epoch").iso() if start_s is not None and start_s >= EPOCH_S else None,
        turns=tuple(replace(turn, feedback=tuple(_about(f, t) for f in turn.feedback)) for t, turn in enumerate(turns)),
        feedback=tuple(_feedback(plain, options, unseen)),
        extra=extra_text({name: rest for name, rest in plain.items() if name not in read}),
    )


def _with_metadata(
    messages: list[Message], entry: Mapping[str, Any], options: ChatOptions, unseen: set[str], kinds: set[str]
) -> list[Message]:
    """The messages of an entry with its time, the last of them with its feedback. kinds: of the times, which grow."""
    time = options.paths["time"].get(entry) if "time" in options.paths else MISSING
    if not is_empty(time):
        unseen.discard("time")
        time_s = _seconds(time, options.time, kinds)
        messages = [replace(message, time_s=time_s) for message in messages]
    if feedback := _feedback(entry, options, unseen):
        messages[-1] = replace(messages[-1], feedback=tuple(feedback))
    return messages


def _seconds(value: Any, path: str | None, kinds: set[str]) -> float | None:
    moment = None if is_empty(value) else _CLOCK.read(path or "", value)
    kinds.update(() if moment is None else (moment.kind,))
    return None if moment is None else moment.seconds


_CLOCK = Clock()
_PREVIOUS = -1


def _feedback(part: Mapping[str, Any], options: ChatOptions, unseen: set[str]) -> list[Feedback]:
    """The feedback in a record or a message. `of previous` is marked, since the number of the turn is not known yet."""
    found = []
    for name, (path, meaning) in options.meanings.items():
        value = path.get(part)
        if value is MISSING:
            continue
        unseen.discard(name)
        each = meaning.read(name, value, cell_number)
        found += [replace(one, about=_PREVIOUS) if meaning.of == "previous" else one for one in each]
    return found


def _about(feedback: Feedback, turn: int) -> Feedback:
    return replace(feedback, about=max(0, turn - 1)) if feedback.about == _PREVIOUS else feedback


def _text(value: Any, name: str) -> str | None:
    if value is None or isinstance(value, (str, int)):
        return None if value is None else str(value)
    raise CellError(name, f"bad_type: Expected `str`, got {str(value)[:40]!r}")


READER = Reader(_read, options=ChatOptions)
