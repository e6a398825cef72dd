"""Lines of two sides put together to turns."""

from collections.abc import Callable, Iterable
from typing import Generic, NamedTuple, TypeVar

Line = TypeVar("Line")


class Exchange(NamedTuple, Generic[Line]):
    """One turn as it came: the user's lines, then the assistant's; either may be empty, not both."""

    user: tuple[Line, ...]
    assistant: tuple[Line, ...]


def exchanges(lines: Iterable[Line], by_user: Callable[[Line], bool]) -> list[Exchange[Line]]:
    """Turns of a dialogue, in order. Lines in a row by one side join one turn; where the assistant opens, the first
    turn has no line of the user."""
    found: list[Exchange[Line]] = []
    user: list[Line] = []
    assistant: list[Line] = []
    for line in lines:
        if not by_user(line):
            assistant.append(line)
            continue
        if assistant:
            found.append(Exchange(tuple(user), tuple(assistant)))
            user, assistant = [], []
        user.append(line)
    if user or assistant:
        found.append(Exchange(tuple(user), tuple(assistant)))
    return found


def joined(texts: Iterable[str]) -> str:
    """Utterances of one side as the text of a turn."""
    return "\n".join(texts)
