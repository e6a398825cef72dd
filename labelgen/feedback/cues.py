"""Cues that several detectors read: feedback that the log recorded, phrases of users and assistants, and clocks.

Phrases come by language: one file for each (languages/*.yaml), with its source and license. A group is a regular expression, or a list of
phrases. Text is compared as `plain` makes it. A language may lack groups, and then says nothing where they are needed."""

import re
from collections.abc import Iterator, Mapping
from functools import cache, lru_cache
from itertools import pairwise
from pathlib import Path
from statistics import median_low
from typing import Any, Literal, NamedTuple

from labelgen.data.dialogue import Dialogue, Feedback, Turn
from labelgen.data.labels import language_of

_FOLDER = Path(__file__).with_name("languages")
_NOT_WORD = re.compile(r"[^\w']+")
_NEVER = re.compile(r"(?!)")


@lru_cache(maxsize=4096)
def plain(text: str) -> str:
    """Case-folded words with one space between them; punctuation but the apostrophe is removed."""
    return _NOT_WORD.sub(" ", text.replace("’", "'").casefold()).strip()


class Phrases:
    """The groups of one language. source, license: where the phrases come from."""

    def __init__(self, language: str, content: Mapping[str, Any]) -> None:
        self.language = language
        self.source: str = content.get("source", "")
        self.license: str = content.get("license", "")
        self.numbers: Mapping[str, float] = content.get("numbers", {})
        self.little: frozenset[str] = frozenset(content.get("little", ()))
        self._patterns = {
            name: _compiled(group, content.get("fillers", ())) for name, group in content["groups"].items()
        }

    def has(self, *groups: str) -> bool:
        """Whether the language has one of these groups."""
        return any(group in self._patterns for group in groups)

    def search(self, group: str, text: str) -> re.Match[str] | None:
        """The group anywhere in a text."""
        return self._patterns.get(group, _NEVER).search(plain(text))

    def match(self, group: str, text: str) -> re.Match[str] | None:
        """The group at the start of a text."""
        return self._patterns.get(group, _NEVER).match(plain(text))

    def fullmatch(self, group: str, text: str) -> re.Match[str] | None:
        """The group as the whole text."""
        return self._patterns.get(group, _NEVER).fullmatch(plain(text))


def _compiled(group: Mapping[str, Any], fillers: Any) -> re.Pattern[str]:
    if "pattern" in group:
        return re.compile(group["pattern"])
    listed = "|".join(re.escape(plain(phrase)) for phrase in sorted(group["phrases"], key=len, reverse=True))
    filler = "|".join(re.escape(plain(word)) for word in sorted(fillers, key=len, reverse=True)) or "(?!)"
    return re.compile(rf"\b(?:(?:{filler}) )*(?:{listed})\b(?: (?:{filler})\b)*")


GROUPS_OF_SIGNALS: Mapping[str, tuple[str, ...]] = {
    "answer": ("asking_if_served", "affirming", "denying"),
    "stop": ("giving_up", "stop"),
    "correction": ("correction",),
    "repetition": ("not_understood", "not_done"),
    "gratitude": ("thanks",),
}
"""The groups without which a detector finds nothing in words, for detectors that read little else."""


def missing_signals(locale: str | None) -> tuple[str, ...]:
    """The kinds of signals that cannot be found in words of the locale's language."""
    known = phrases(locale)
    return tuple(kind for kind, groups in GROUPS_OF_SIGNALS.items() if not known.has(*groups))


@cache
def phrases(locale: str | None) -> Phrases:
    """The phrases of a locale's language."""
    return _load(language_of(locale))


@cache
def _load(language: str) -> Phrases:
    import yaml

    path = _FOLDER / f"{language}.yaml"
    # The name comes from a log; only a file of this folder is opened.
    known = path.name in {file.name for file in _FOLDER.glob("*.yaml")}
    return Phrases(language, yaml.safe_load(path.read_text(encoding="utf-8")) if known else {"groups": {}})


Vote = Literal["good", "bad"]


class RecordedFeedback(NamedTuple):
    """turns: those it is about, ascending, at least one. evidence: the turn that holds it; () for the dialogue's."""

    feedback: Feedback
    turns: tuple[int, ...]
    evidence: tuple[int, ...]


def recorded_feedback(dialogue: Dialogue, kind: str) -> Iterator[RecordedFeedback]:
    """The recorded feedback of one kind: first the dialogue's, about all turns, then that of each turn, about the turn that
    holds it, or about another one that `about` names.

    Feedback about a turn that does not exist is left out. Only dialogues made in memory can hold some: a record with it
    is rejected when it is read (`no_such_turn`)."""
    everywhere = tuple(range(len(dialogue.turns)))
    recorded = [RecordedFeedback(f, everywhere, ()) for f in dialogue.feedback if f.kind == kind and everywhere]
    for t, turn in enumerate(dialogue.turns):
        recorded += [RecordedFeedback(f, (t,), (t,)) for f in turn.feedback if f.kind == kind]
    for each in recorded:
        about = each.feedback.about
        if about is None:
            yield each
        elif 0 <= about < len(dialogue.turns):
            yield each._replace(turns=(about,))


def is_recorded(dialogue: Dialogue, turn: int, kind: str) -> bool:
    """Whether the log holds feedback of this kind about this turn, or about the dialogue as a whole."""
    return any(turn in turns for _, turns, _ in recorded_feedback(dialogue, kind))


def records_feedback(dialogue: Dialogue) -> bool:
    """Whether the log holds any feedback on the dialogue, so that silence of its other kinds is informative."""
    return bool(dialogue.feedback) or any(turn.feedback for turn in dialogue.turns)


FAILED_STATUSES = frozenset(
    ("failed", "failure", "error", "no_match", "no_result", "not_understood", "unanswered", "timeout", "rejected")
)
"""Statuses of requests that were not served."""

_LONGEST_GREETING, _LONGEST_PARTING = 3, 8
"""Words of a request that only greets, or only takes leave, at most."""


@lru_cache(maxsize=4096)
def failure_strength(response: str, locale: str | None = None) -> float:
    """How clearly a response says that the request was not served, 0..1: not understood .9, not done .8, only an
    apology .5."""
    words = phrases(locale)
    if words.search("not_understood", response):
        return 0.9
    if words.search("not_done", response):
        return 0.8
    return 0.5 if words.search("sorry", response) else 0.0


@lru_cache(maxsize=4096)
def is_closing(text: str, locale: str | None = None) -> bool:
    """Whether a text is a farewell or an offer of more help, which may be repeated without failure and needs no answer."""
    return phrases(locale).search("closing", text) is not None


@lru_cache(maxsize=4096)
def asks_if_served(response: str, locale: str | None = None) -> bool:
    """Whether the assistant asks if it helped, as in "did I answer your question?". "Is that correct?" asks before the action, and
    a no to it is no verdict."""
    return phrases(locale).search("asking_if_served", response) is not None


def gives_up(request: str, locale: str | None = None) -> bool:
    """Whether the request only takes back what was asked for: "never mind", "forget it"."""
    return phrases(locale).fullmatch("giving_up", request) is not None


def says_stop(request: str, locale: str | None = None) -> bool:
    """Whether the request is only "stop", "cancel that", "be quiet", which may also be a plain command."""
    return phrases(locale).fullmatch("stop", request) is not None


def takes_leave(request: str, locale: str | None = None) -> bool:
    """Whether the user ends the dialogue with thanks or a farewell."""
    return phrases(locale).search("leaving", request) is not None


def asks_for_detail(turn: Turn, locale: str | None = None) -> bool:
    """Whether the assistant asks for something that the goal needs; offers of more help, and questions whether it helped, need
    no answer."""
    asks = turn.status == "clarify" or turn.response.rstrip().endswith("?")
    return asks and not is_closing(turn.response, locale) and not asks_if_served(turn.response, locale)


def only_greets(request: str, locale: str | None = None) -> bool:
    """Whether the request is a greeting and asks for nothing."""
    return phrases(locale).match("greeting", request) is not None and plain(request).count(" ") < _LONGEST_GREETING


def only_takes_leave(request: str, locale: str | None = None) -> bool:
    """Whether the request thanks or says goodbye and asks for nothing; also one without words."""
    text = plain(request)
    if text.count(" ") >= _LONGEST_PARTING or phrases(locale).search("asking", request):
        return False
    return not text or takes_leave(request, locale)


def went_wrong(turn: Turn, locale: str | None = None) -> bool:
    """Whether the log or the assistant says that the request was not served, or the request got no response."""
    if turn.status is not None and turn.status.casefold() in FAILED_STATUSES:
        return True
    return bool(turn.request) and (not turn.response or failure_strength(turn.response, locale) >= 0.8)


LONG_GAP_S, REACH_S = 300.0, 90.0
"""After a longer gap another goal begins; a later request is no reaction to a response, and repeats no request. Those of a quick dialogue."""
_LONG_GAPS, _REACH_GAPS, _LEAST_GAPS = 10.0, 3.0, 3
"""The same as times of the median gap of a dialogue with so many gaps: customers answer a ticket after hours."""


def limits_s(dialogue: Dialogue) -> tuple[float, float]:
    """The gap after which another goal begins, and that within which a request reacts or repeats, in units of the dialogue's own pace."""
    gaps = [gap for one, other in pairwise(dialogue.turns) if (gap := gap_s(one, other)) is not None]
    pace = median_low(gaps) if len(gaps) >= _LEAST_GAPS else 0.0
    return max(LONG_GAP_S, _LONG_GAPS * pace), max(REACH_S, _REACH_GAPS * pace)


def gap_s(earlier: Turn, later: Turn) -> float | None:
    """Seconds from the end of one turn (its response, else its request) to the next request; None without clocks, or where
    they run backwards."""
    end_s = earlier.time_s if earlier.response_time_s is None else earlier.response_time_s
    if end_s is None or later.time_s is None or later.time_s < end_s:
        return None
    return later.time_s - end_s
