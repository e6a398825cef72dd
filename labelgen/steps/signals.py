"""The step from logs to signals of user feedback."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Annotated

from msgspec.structs import replace

from labelgen.base.options import Choices
from labelgen.data.dialogue import Dialogue, Signal
from labelgen.data.labels import language_of
from labelgen.feedback.cues import GROUPS_OF_SIGNALS, missing_signals
from labelgen.feedback.detectors import DETECTORS
from labelgen.feedback.signal import signals_of
from labelgen.steps.changed import Changed

_AT_ONCE = 64
"""Dialogues whose texts are encoded together."""


@dataclass(frozen=True, kw_only=True)
class SignalsOptions:
    """Find signals: write each record with the signals that the detectors find in it. They replace earlier signals."""

    kind: Annotated[tuple[str, ...], Choices("signal", DETECTORS), "KIND"] = ()
    """detector to run; all without a value"""


def find_signals(
    dialogues: Iterable[Dialogue],
    options: SignalsOptions,
    functions: Sequence[Callable[[Dialogue], Iterable[Signal]]] = (),
) -> Changed:
    """The dialogues with the signals that the detectors and these functions find."""

    def found() -> Iterator[Dialogue]:
        languages: Counter[str] = Counter()
        waiting = iter(dialogues)
        while group := list(islice(waiting, _AT_ONCE)):
            for dialogue, signals in zip(group, signals_of(group, kinds), strict=True):
                languages[language_of(dialogue.locale)] += 1
                more = (signal for function in functions for signal in function(dialogue))
                result = replace(dialogue, signals=(*signals, *more))
                made.counts.update((s.kind, "explicit" if s.explicit else "implicit", s.vote) for s in result.signals)
                yield result
        made.after.extend(_without_phrases(languages))
        if "reaction" in kinds:
            made.after.extend(_without_encoder())

    kinds = tuple(options.kind or DETECTORS)
    made = Changed(found(), "signals", ("kind", "feedback", "vote"))
    return made


def _without_encoder() -> Iterator[str]:
    from labelgen.features.pretrained import INSTALL, offline_weights

    if offline_weights() is None:
        yield f"no signals of kind reaction, which need an encoder: {INSTALL}"


def _without_phrases(languages: Counter[str]) -> Iterator[str]:
    """A line for each language that lacks phrases. languages: number of dialogues of each."""
    for language, count in sorted(languages.items()):
        if lacking := missing_signals(language):
            known = "has no phrases" if len(lacking) == len(GROUPS_OF_SIGNALS) else "has few phrases"
            dialogues = f"{count:,} dialogue{'s' if count != 1 else ''}"
            yield (
                f"language {language!r} of {dialogues} {known}: no signals from words of {', '.join(lacking)}; "
                "recorded feedback, times, steps and repeated requests are read"
            )
