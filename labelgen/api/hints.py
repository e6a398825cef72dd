"""Errors whose hints speak Python: options and commands as a caller of labelgen's functions writes them."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from labelgen.base.errors import LabelgenError

FUNCTIONS = {
    "labelgen init": "labelgen.init",
    "labelgen run": "labelgen.run",
    "labelgen simulate": "labelgen.simulate",
    "labelgen doctor --encoder": "labelgen.write_encoder",
    "labelgen data import": "labelgen.load_log",
    "labelgen data split": "labelgen.split",
    "labelgen feedback signals": "labelgen.find_signals",
    "labelgen feedback aggregate": "labelgen.aggregate",
    "labelgen feedback explain": "labelgen.explain",
    "labelgen review import": "labelgen.import_answers",
    "labelgen consensus": "labelgen.consensus",
    "labelgen pretrain": "labelgen.pretrain",
    "labelgen finetune": "labelgen.finetune",
    "labelgen evaluate": "labelgen.evaluate",
    "labelgen calibrate": "labelgen.calibrate",
    "labelgen certify": "labelgen.certify",
}
"""Command -> the function that does the same. Other commands stay as they are."""

_OPTION = re.compile(r"(?<![\w-])--([a-z][a-z0-9_-]*)((?:\.[a-z0-9_]+)*)(=\S+|(?= [A-Z\[]))?")
_COMMAND = re.compile("|".join(map(re.escape, FUNCTIONS)))


@contextmanager
def python_hints() -> Iterator[None]:
    """Within the block, errors of labelgen name functions and their arguments in place of commands and options."""
    try:
        yield
    except LabelgenError as error:
        parts = [as_python(part) for part in (error.what, error.where, error.hint)]
        raise type(error)(*parts).with_traceback(error.__traceback__) from error.__cause__


def as_python(text: str) -> str:
    """The text with commands and options as Python has them: `--max-bad-rate 1` as `max_bad_rate=1`."""
    text = _COMMAND.sub(lambda match: f"{FUNCTIONS[match[0]]}()", text)
    return _OPTION.sub(_argument, text.replace("the command line", "the arguments"))


def _argument(match: re.Match[str]) -> str:
    name, section, value = match[1].replace("-", "_"), match[2], match[3] or ""
    return f"{name}{section}{value}"
