"""Files that anybody may have written, given to libraries that were not made for them."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import msgspec

from labelgen.base.errors import IntegrityError, LabelgenError

COPY = "copy or train the model again"

Form = TypeVar("Form")


@contextmanager
def untrusted(what: str, where: Path, hint: str = COPY) -> Iterator[None]:
    """Whatever fails in the block is an IntegrityError: what failed, and the reason's first line. Errors of labelgen's own, a lack of
    memory and an interruption stay what they are."""
    try:
        yield
    except (LabelgenError, MemoryError):
        raise
    except BaseException as error:
        # Tokenizers are written in Rust, whose panics are no Exceptions.
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        raise IntegrityError(f"{what}: {first_line(error)}", str(where), hint) from error


def first_line(error: BaseException) -> str:
    """The first line of what an error says, else its name."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def read_file(path: Path, form: type[Form], hint: str = COPY) -> Form:
    """A JSON file. Raises IntegrityError where it cannot be read as `form`."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=form)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, OSError) as error:
        raise IntegrityError(f"{path.name} cannot be read: {error}", str(path), hint) from error
