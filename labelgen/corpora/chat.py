"""Chats as language-model services log them: JSON Lines of `{"messages": [{"role", "content"}, ...]}`, or of ShareGPT's
`{"conversations": [{"from", "value"}, ...]}`.

path: a `.jsonl` or `.jsonl.gz` file, or a folder of them. corpora/messages.py names the forms of a message. Text parts of a
content make the text, other parts (images, sound) are named in the category `attachment`. System and developer messages are
instructions, not turns. A turn in which the assistant called tools has the status `tool_call`, and the calls as `steps` with
their arguments, results and errors. A record without `id` is named after its file and line. `user` may be given; every other
field goes to `extra`."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from labelgen.corpora.messages import MessageError, extra_text, read_messages, turns_of
from labelgen.data.dialogue import Dialogue
from labelgen.data.reader import Options, Reader, files_of, lines_of
from labelgen.data.record import Rejected, parse, readable, validate

_SUFFIXES = (".jsonl", ".jsonl.gz", ".jsonl.zst")
_LISTS = ("messages", "conversations", "conversation")


def _read(path: Path, options: Options) -> Iterator[Dialogue | Rejected]:
    for file in files_of(path, _SUFFIXES):
        name = file.relative_to(path).as_posix() if path.is_dir() else file.name
        for number, text in lines_of(file):
            plain = parse(text, dict[str, Any], name, number)
            if isinstance(plain, Rejected):
                yield plain
                continue
            try:
                dialogue = _dialogue(plain, f"{name}:{number}")
            except MessageError as error:
                field = error.field or None
                yield Rejected(file=name, line=number, field=field, reason=str(error), raw=readable(text))
            else:
                yield validate(dialogue, name, number)


def _dialogue(plain: Mapping[str, Any], fallback: str) -> Dialogue:
    key = next((key for key in _LISTS if key in plain), None)
    if key is None:
        raise MessageError("", f"bad_type: Object missing required field `{_LISTS[0]}`")
    rest = {name: value for name, value in plain.items() if name not in (key, "id", "user")}
    user = plain.get("user")
    return Dialogue(
        id=fallback if plain.get("id") is None else str(plain["id"]),
        user=None if user is None else str(user),
        turns=turns_of(read_messages(plain[key], key)),
        extra=extra_text(rest),
    )


READER = Reader(_read)
