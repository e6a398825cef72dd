"""labelgen turns the feedback in an assistant's logs into labels.

The names of `__all__` are the public ones. Each is loaded on first use, so that importing labelgen costs nothing and only
`Annotator` brings torch."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from labelgen.base.errors import LabelgenError as LabelgenError
    from labelgen.data.dialogue import Dialogue as Dialogue
    from labelgen.data.dialogue import Turn as Turn
    from labelgen.data.log import Log as Log
    from labelgen.data.log import write_log as write_log
    from labelgen.model.annotator import Annotator as Annotator

__version__ = "0.3.0"

_PUBLIC = {
    "Annotator": "labelgen.model.annotator:Annotator",
    "Dialogue": "labelgen.data.dialogue:Dialogue",
    "LabelgenError": "labelgen.base.errors:LabelgenError",
    "Log": "labelgen.data.log:Log",
    "Turn": "labelgen.data.dialogue:Turn",
    "write_log": "labelgen.data.log:write_log",
}

__all__ = ["__version__", *_PUBLIC]


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from labelgen.base.registry import resolve

    return resolve(_PUBLIC, name, "public name")


def __dir__() -> list[str]:
    return sorted(__all__)
