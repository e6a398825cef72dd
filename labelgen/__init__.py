"""labelgen turns the feedback in an assistant's logs into labels.

The names of `__all__` are the public ones. Each is loaded on first use, so that importing labelgen costs nothing and only
what needs a model brings torch."""

from typing import TYPE_CHECKING, Any

from labelgen.base.torchaudio import prepare_torchaudio

if TYPE_CHECKING:
    from labelgen.api.annotator import Annotator as Annotator
    from labelgen.api.dialogues import Dialogues as Dialogues
    from labelgen.api.dialogues import load_log as load_log
    from labelgen.api.functions import aggregate as aggregate
    from labelgen.api.functions import calibrate as calibrate
    from labelgen.api.functions import certify as certify
    from labelgen.api.functions import consensus as consensus
    from labelgen.api.functions import diff as diff
    from labelgen.api.functions import evaluate as evaluate
    from labelgen.api.functions import explain as explain
    from labelgen.api.functions import find_signals as find_signals
    from labelgen.api.functions import finetune as finetune
    from labelgen.api.functions import import_answers as import_answers
    from labelgen.api.functions import init as init
    from labelgen.api.functions import labels as labels
    from labelgen.api.functions import pretrain as pretrain
    from labelgen.api.functions import prompts as prompts
    from labelgen.api.functions import run as run
    from labelgen.api.functions import simulate as simulate
    from labelgen.api.functions import split as split
    from labelgen.api.functions import training_data as training_data
    from labelgen.api.functions import user_answers as user_answers
    from labelgen.api.functions import write_encoder as write_encoder
    from labelgen.base.errors import LabelgenError as LabelgenError
    from labelgen.data.dialogue import Dialogue as Dialogue
    from labelgen.data.dialogue import Turn as Turn
    from labelgen.data.log import Log as Log
    from labelgen.data.log import write_log as write_log

__version__ = "0.4.0"

# What is imported after labelgen, such as transformers, may import torchaudio.
prepare_torchaudio()

_NAMES = {
    "labelgen.api.annotator": "Annotator",
    "labelgen.api.dialogues": "Dialogues load_log",
    "labelgen.api.functions": "aggregate calibrate certify consensus diff evaluate explain find_signals finetune "
    "import_answers init labels pretrain prompts run simulate split training_data user_answers write_encoder",
    "labelgen.base.errors": "LabelgenError",
    "labelgen.data.dialogue": "Dialogue Turn",
    "labelgen.data.log": "Log write_log",
}
_PUBLIC = {name: f"{module}:{name}" for module, names in _NAMES.items() for name in names.split()}

__all__ = ["__version__", *_PUBLIC]


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from labelgen.base.registry import resolve

    return resolve(_PUBLIC, name, "public name")


def __dir__() -> list[str]:
    return sorted(__all__)
