"""The step from logs to signals of user feedback."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated

from msgspec.structs import replace

from labelgen.base.options import Choices
from labelgen.data.dialogue import Dialogue, Signal
from labelgen.data.values import language_of
from labelgen.feedback.detectors import DETECTORS
from labelgen.feedback.phrases import GROUPS_OF_SIGNALS, missing_signals
from labelgen.feedback.signal import with_signals
from labelgen.steps.changed import Changed


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
        for dialogue in dialogues:
            languages[language_of(dialogue.locale)] += 1
            result = with_signals(dialogue, options.kind or None)
            more = tuple(signal for function in functions for signal in function(dialogue))
            result = replace(result, signals=(*result.signals, *more))
            made.counts.update((s.kind, "explicit" if s.explicit else "implicit", s.vote) for s in result.signals)
            yield result
        made.after.extend(_without_phrases(languages))

    made = Changed(found(), "signals", ("kind", "feedback", "vote"))
    return made


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
