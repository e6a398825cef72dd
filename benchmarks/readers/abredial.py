"""AB-ReDial, recommendations of films rated by several people (Siro et al. 2023, "Understanding and Predicting User
Satisfaction with Conversational Recommender Systems", TOIS).

path: the corpus folder, its `Data` folder, or `annotated_dialogues.csv`. A row is a rater of a dialogue; rows with the same
ConvId and the same text are one dialogue, `abredial/ConvId/0`, because some ids name two dialogues. Raters are anonymous: row by
row they are annotators `<dialogue>/r1`, ... A dialogue is one goal, of all turns with a request. Task completion 3 is its
outcome `success`, 1 `failure`, and 2, partly, `unknown`; `--option partly=failure` makes it a failure. `dialogue-overall`
is the dialogue's quality. The other ratings are in `extra`.

If `annotated_turns.csv` is in the same folder, its rows are annotators `<dialogue>/t1`, ...: each shows three cuts of four
utterances, and `overallK` is the quality of the turn whose response is the third of them. A cut is located where most of its
utterances, and at least two, match the dialogue, because some were edited later; a row without a match is rejected."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple

import msgspec

from labelgen.base.errors import UsageError
from labelgen.data.dialogue import Dialogue, Turn
from labelgen.data.groups import UNKNOWN
from labelgen.data.labels import Annotation, AtDialogue, AtGoal, AtTurn, Label, NoLabel, quality_name
from labelgen.data.reader import Exchange, Reader, exchanges, join_texts
from labelgen.data.record import Rejected, validate
from labelgen.data.tables import rows_of
from labelgen.readers.cells import undecoded

_DIALOGUES, _TURNS = "annotated_dialogues.csv", "annotated_turns.csv"
_SCALE = {
    "understanding": (0, 3),
    "task-completion": (1, 3),
    "interest-arousal": (0, 3),
    "efficiency": (0, 1),
    "dialogue-overall": (1, 5),
}
_ASPECTS = tuple(_SCALE)
_OVERALL = ("overall1", "overall2", "overall3")
_CUT, _RATED = 4, 2
"""Utterances of a cut, and which of them, from 0, is the one that is rated."""
_LINE = re.compile(r"(?P<side>USER|SYSTEM)\b\s*(?P<text>.*)", re.DOTALL)


class _AbRedialLine(NamedTuple):
    by_user: bool
    text: str


@dataclass(slots=True)
class _AbRedialRatedDialogue:
    """A dialogue with the ratings of its raters, in their order. turns: of each rater of cuts, the rating by turn."""

    identity: str
    lines: tuple[_AbRedialLine, ...]
    first: int
    ratings: list[Mapping[str, float]] = field(default_factory=list)
    turns: list[Mapping[int, float]] = field(default_factory=list)


_RatedDialogues = dict[tuple[str, tuple[_AbRedialLine, ...]], _AbRedialRatedDialogue]
"""Dialogues by their ConvId and text, in the order of their first rows."""


class _RowError(ValueError):
    """column, and why its value cannot be used."""

    def __init__(self, column: str, reason: str) -> None:
        super().__init__(reason)
        self.column = column


@dataclass(frozen=True, kw_only=True)
class AbRedialOptions:
    """Options of the reader."""

    partly: Literal["unknown", "failure"] = "unknown"
    """outcome of a goal that was reached in part"""


def _read(path: Path, options: AbRedialOptions) -> Iterator[Dialogue | Rejected]:
    file = _file(path)
    rated_dialogues: _RatedDialogues = {}
    yield from _rows(file, ("ConvId", *_ASPECTS), lambda row, line: _rate(row, line, rated_dialogues))
    sidecar = file.with_name(_TURNS)
    if sidecar.is_file():
        yield from _rows(sidecar, ("ConvId", *_OVERALL), lambda row, line: _rate_turns(row, rated_dialogues))
    for rated in rated_dialogues.values():
        yield validate(_dialogue(rated, options.partly), file.name, rated.first)


def _file(path: Path) -> Path:
    file = next((f for f in (path / "Data" / _DIALOGUES, path / _DIALOGUES, path) if f.is_file()), None)
    if file is None:
        raise UsageError(f"no AB-ReDial dialogues in {path}", str(path), f"name the folder of {_DIALOGUES}")
    return file


def _rows(file: Path, columns: Sequence[str], use: Callable[[Mapping[str, str], int], None]) -> Iterator[Rejected]:
    """Each row is used, or comes back rejected."""
    for line, row in rows_of(file, file.name, columns):
        if isinstance(row, Rejected):
            yield row
            continue
        try:
            if (column := next((name for name, cell in row.items() if undecoded(cell)), None)) is not None:
                raise _RowError(column, "bad_text: this is not UTF-8")
            use(row, line)
        except _RowError as error:
            raw = repr(dict(row))
            reason = str(error)
            yield Rejected(
                file=file.name, line=line, dialogue=row["ConvId"], field=error.column, reason=reason, raw=raw
            )


def _rate(row: Mapping[str, str], line: int, rated_dialogues: _RatedDialogues) -> None:
    lines = tuple(text for _, text in _lines(row))
    ratings = {aspect: rating for aspect in _ASPECTS if (rating := _rating(row, aspect, *_SCALE[aspect])) is not None}
    same = sum(name == row["ConvId"] for name, _ in rated_dialogues)
    rated = rated_dialogues.setdefault(
        (row["ConvId"], lines), _AbRedialRatedDialogue(f"abredial/{row['ConvId']}/{same}", lines, line)
    )
    rated.ratings.append(ratings)


def _rate_turns(row: Mapping[str, str], rated_dialogues: _RatedDialogues) -> None:
    cuts = _lines(row)
    if len(cuts) != _CUT * len(_OVERALL):
        raise _RowError("utterance0", f"bad_cut: {len(cuts)} utterances, three cuts have {_CUT * len(_OVERALL)}")
    dialogues = [
        (rated, _places(rated.lines, cuts)) for (name, _), rated in rated_dialogues.items() if name == row["ConvId"]
    ]
    rated, places = max(dialogues, key=lambda pair: sum(place is not None for place in pair[1]), default=(None, ()))
    if rated is None:
        raise _RowError("ConvId", f"unknown_dialogue: {_DIALOGUES} has no {row['ConvId']!r}")
    turn_of = [t for t, turn in enumerate(_turns(rated.lines)) for _ in (*turn.user, *turn.assistant)]
    ratings = {}
    for k, place in enumerate(places):
        if place is None:
            raise _RowError(f"utterance{4 * k}", f"bad_cut: it is not in {rated.identity}")
        rating = _rating(row, _OVERALL[k], 1, 5)
        if rating is not None:
            ratings[turn_of[place + _RATED]] = rating
    rated.turns.append(ratings)


def _places(lines: Sequence[_AbRedialLine], cuts: Sequence[tuple[str, _AbRedialLine]]) -> list[int | None]:
    """Where each cut begins in the dialogue: where most of its lines stand; None where fewer than two do, or in two places
    as many."""
    starts: list[int | None] = []
    for first in range(0, len(cuts), _CUT):
        cut = [line for _, line in cuts[first : first + _CUT]]
        equal = [sum(a == b for a, b in zip(cut, lines[k:], strict=False)) for k in range(len(lines) - _RATED)]
        best = max(equal, default=0)
        starts.append(equal.index(best) if best >= 2 and equal.count(best) == 1 else None)
    return starts


def _lines(row: Mapping[str, str]) -> list[tuple[str, _AbRedialLine]]:
    """The utterances that a row holds, each with its column; blanks count as one."""
    utterances = []
    for column, cell in row.items():
        if column.startswith("utterance") and cell.strip():
            line = _LINE.fullmatch(cell.strip())
            if line is None:
                raise _RowError(column, f"bad_line: {cell!r} begins neither with USER nor with SYSTEM")
            utterances.append((column, _AbRedialLine(line["side"] == "USER", " ".join(line["text"].split()))))
    return utterances


def _rating(row: Mapping[str, str], column: str, least: float, most: float) -> float | None:
    """None for an empty cell."""
    cell = row[column].strip()
    try:
        rating = float(cell) if cell else None
    except ValueError:
        rating = -1.0
    if rating is not None and not (least <= rating <= most and rating.is_integer()):
        raise _RowError(column, f"bad_rating: {cell!r} is not a whole number from {least:g} to {most:g}")
    return rating


def _turns(lines: Sequence[_AbRedialLine]) -> list[Exchange[_AbRedialLine]]:
    return exchanges(lines, lambda line: line.by_user)


def _dialogue(rated: _AbRedialRatedDialogue, partly: str) -> Dialogue:
    turns = tuple(
        Turn(request=join_texts(x.text for x in turn.user), response=join_texts(x.text for x in turn.assistant))
        for turn in _turns(rated.lines)
    )
    goal = AtGoal(tuple(t for t, turn in enumerate(turns) if turn.request))
    of_dialogue = [_of_dialogue(ratings, goal, partly) for ratings in rated.ratings]
    of_turns = [
        Annotation(
            f"{rated.identity}/t{k}", "person", tuple(_quality(AtTurn(t), r) for t, r in sorted(of_turn.items()))
        )
        for k, of_turn in enumerate(rated.turns, 1)
    ]
    raters = [
        Annotation(f"{rated.identity}/r{k}", "person", labels, none) for k, (labels, none) in enumerate(of_dialogue, 1)
    ]
    return Dialogue(
        id=rated.identity,
        source="abredial",
        turns=turns,
        annotations=(*raters, *of_turns),
        extra=msgspec.json.encode({"ratings": rated.ratings}).decode(),
    )


def _of_dialogue(
    ratings: Mapping[str, float], goal: AtGoal, partly: str
) -> tuple[tuple[Label, ...], tuple[NoLabel, ...]]:
    labels: list[Label] = []
    none: list[NoLabel] = []
    done = ratings.get("task-completion")
    if done is not None and goal.turns:
        labels.append(Label("goals", goal, "goal"))
        outcome = {1.0: "failure", 2.0: partly, 3.0: "success"}[done]
        if outcome == UNKNOWN:
            none.append(NoLabel("outcome", goal))
        else:
            labels.append(Label("outcome", goal, outcome))
    if "dialogue-overall" in ratings:
        labels.append(_quality(AtDialogue(), ratings["dialogue-overall"]))
    return tuple(labels), tuple(none)


def _quality(at: AtTurn | AtDialogue, rating: float) -> Label:
    return Label("quality", at, quality_name(rating), value=rating)


READER = Reader(_read, options=AbRedialOptions)
