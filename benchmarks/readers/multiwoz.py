"""MultiWOZ 2.1 as ConvLab annotates it, users' acts included (Eric et al. 2020, "MultiWOZ 2.1: A Consolidated Multi-Domain
Dialogue Dataset with State Corrections and State Tracking Baselines", LREC; Zhu et al. 2023, "ConvLab-3", EMNLP).

path: the corpus folder with `train.json`, `val.json`, `test.json` (unzipped), or one of them. `source` is the file, `multiwoz/val`.

Intents are the user's acts (`Hotel-Inform`, `general-thank`), slots the spans of the user's words (`Hotel-Area`) with the value
if it differs from these words; acts without a span (`Hotel-Parking: yes`) are no slots. A goal is one domain:
a turn serves the domain of its acts. Of several domains a new one comes first, then the one with most acts. A turn without such an
act (thanks, "yes, please") serves the previous domain, or the first one at the start.
The outcome of a goal with a booking or a taxi is failure if nothing was booked; success if something was and no value of the
last state contradicts the written goal; else unknown. The outcome of other goals is unknown.
The assistant's acts and states are never input; the domains of the written goal are in `extra`."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from labelgen.base.errors import UsageError
from labelgen.data.dialogue import Dialogue, Turn
from labelgen.data.json_text import readable
from labelgen.data.labels import Annotation, AtDialogue, AtGoal, AtSpan, AtTurn, Label, NoLabel
from labelgen.data.reader import Exchange, Options, Reader, exchanges, join_texts, read_bytes
from labelgen.data.record import Rejected, parse, validate

_FILES = ("train.json", "val.json", "test.json")
_WORD = re.compile(r"\S+")
_OPEN = ("", "notmentioned", "none", "dontcare", "any")
_ABOUT_THE_PLAN = ("invalid", "pre_invalid")


class _MultiWozGoal(msgspec.Struct, frozen=True):
    info: Mapping[str, Any] = {}
    book: Mapping[str, Any] = {}
    reqt: Any = None


class _Goals(msgspec.Struct, frozen=True):
    """What the user was told to ask for, by domain."""

    restaurant: _MultiWozGoal = _MultiWozGoal()
    hotel: _MultiWozGoal = _MultiWozGoal()
    attraction: _MultiWozGoal = _MultiWozGoal()
    train: _MultiWozGoal = _MultiWozGoal()
    taxi: _MultiWozGoal = _MultiWozGoal()
    police: _MultiWozGoal = _MultiWozGoal()
    hospital: _MultiWozGoal = _MultiWozGoal()

    def of(self, domain: str) -> _MultiWozGoal:
        goal = getattr(self, domain) if domain in self.__struct_fields__ else _MultiWozGoal()
        assert isinstance(goal, _MultiWozGoal)
        return goal

    @property
    def domains(self) -> list[str]:
        return [name for name in self.__struct_fields__ if self.of(name) != _MultiWozGoal()]


class _MultiWozState(msgspec.Struct, frozen=True):
    semi: Mapping[str, Any] = {}
    book: Mapping[str, Any] = {}


class _MultiWozLine(msgspec.Struct, frozen=True):
    text: str
    metadata: Mapping[str, _MultiWozState]
    dialog_act: Mapping[str, Sequence[Any]]
    span_info: tuple[tuple[str, str, Any, int, int], ...] = ()

    @property
    def by_user(self) -> bool:
        return not self.metadata

    @property
    def domains(self) -> Counter[str]:
        """How much is said of each domain, in the order of the acts."""
        counts: Counter[str] = Counter()
        for act, slots in self.dialog_act.items():
            counts[act.partition("-")[0].lower()] += len(slots)
        del counts["general"]
        return counts


class _MultiWozDialogue(msgspec.Struct, frozen=True):
    goal: _Goals
    log: tuple[_MultiWozLine, ...]


def _read(path: Path, options: Options) -> Iterator[Dialogue | Rejected]:
    for file in _files(path):
        dialogues = parse(read_bytes(file), dict[str, msgspec.Raw], file.name)
        if isinstance(dialogues, Rejected):
            yield dialogues
            continue
        source = f"multiwoz/{file.stem}"
        for name, raw in dialogues.items():
            item = parse(bytes(raw), _MultiWozDialogue, file.name, dialogue=f"{source}/{name}")
            wrong = item if isinstance(item, Rejected) else _misplaced(item, f"{source}/{name}", file.name, bytes(raw))
            if wrong is not None:
                yield wrong
            elif isinstance(item, _MultiWozDialogue):
                yield validate(_dialogue(item, f"{source}/{name}", source), file.name)


def _files(path: Path) -> list[Path]:
    files = [path] if path.is_file() else [path / name for name in _FILES if (path / name).is_file()]
    if not files:
        raise UsageError(f"no MultiWOZ dialogues in {path}", str(path), "name the folder with val.json, ..., unzipped")
    return files


def _misplaced(item: _MultiWozDialogue, identity: str, file: str, raw: bytes) -> Rejected | None:
    """Rejected where a user's span is not of words of the text."""
    for k, line in enumerate(item.log):
        count = len(_WORD.findall(line.text))
        for j, (_, _, _, first, last) in enumerate(line.span_info if line.by_user else ()):
            if not 0 <= first <= last < count:
                reason = f"bad_span: words {first} to {last}, the text has {count}, counted from 0"
                field = f"log[{k}].span_info[{j}]"
                return Rejected(file=file, dialogue=identity, field=field, reason=reason, raw=readable(raw))
    return None


def _dialogue(item: _MultiWozDialogue, identity: str, source: str) -> Dialogue:
    turns = exchanges(item.log, lambda line: line.by_user)
    return Dialogue(
        id=identity,
        source=source,
        turns=tuple(
            Turn(request=join_texts(x.text for x in turn.user), response=join_texts(x.text for x in turn.assistant))
            for turn in turns
        ),
        annotations=(_annotation(item, turns),),
        extra=msgspec.json.encode({"goal": item.goal.domains}).decode(),
    )


def _annotation(item: _MultiWozDialogue, turns: Sequence[Exchange[_MultiWozLine]]) -> Annotation:
    labels: list[Label] = []
    none: list[NoLabel] = []
    state = next((line.metadata for line in reversed(item.log) if line.metadata), {})
    for domain, members in _goals(turns).items():
        labels.append(Label("goals", AtGoal(members), "goal"))
        outcome = _outcome(domain, item.goal.of(domain), state.get(domain, _MultiWozState()))
        labels += [] if outcome is None else [Label("outcome", AtGoal(members), outcome)]
    if not labels:
        none.append(NoLabel("goals", AtDialogue()))
    for t, turn in enumerate(turns):
        if not turn.user:
            continue
        intents = dict.fromkeys(act for line in turn.user for act in line.dialog_act)
        labels += [Label("intents", AtTurn(t), name) for name in intents]
        slots = list(_slots(t, turn.user))
        labels += slots
        none += [NoLabel("intents", AtTurn(t))] * (not intents) + [NoLabel("slots", AtTurn(t))] * (not slots)
    return Annotation("multiwoz", "person", tuple(labels), tuple(none))


def _goals(turns: Sequence[Exchange[_MultiWozLine]]) -> dict[str, tuple[int, ...]]:
    """domain -> turns that serve it, in the order of their first turns."""
    serves: list[str | None] = []
    for turn in turns:
        counts = sum((line.domains for line in turn.user), Counter[str]())
        new = [name for name in counts if name not in serves]
        before = serves[-1] if serves else None
        serves.append(max(new or counts, key=counts.__getitem__, default=before))
    first = next((name for name in serves if name is not None), None)
    goals: dict[str, tuple[int, ...]] = {}
    for t, turn in enumerate(turns):
        name = serves[t] or first
        if turn.user and name is not None:
            goals[name] = (*goals.get(name, ()), t)
    return goals


def _outcome(domain: str, goal: _MultiWozGoal, state: _MultiWozState) -> str | None:
    if not goal.book and not (domain == "taxi" and goal.info):
        return None
    if not state.book.get("booked"):
        return "failure"
    wanted = [(name, value, state.semi) for name, value in goal.info.items()]
    wanted += [(name, value, state.book) for name, value in goal.book.items() if name not in _ABOUT_THE_PLAN]
    agrees = all(
        (state_value := _plain(had.get(name, ""))) in _OPEN or state_value == _plain(value)
        for name, value, had in wanted
    )
    return "success" if agrees else None


def _plain(value: object) -> str:
    """A value without what is only spelling: `the Cow Pizza Kitchen` and `cow pizza kitchen` are one."""
    return "".join(letter for letter in str(value).lower().removeprefix("the ") if letter.isalnum())


def _slots(t: int, lines: Sequence[_MultiWozLine]) -> Iterator[Label]:
    shift = 0
    for line in lines:
        words = list(_WORD.finditer(line.text))
        seen: set[tuple[str, int, int]] = set()
        for act, slot, value, first, last in line.span_info:
            name, start, end = f"{act.partition('-')[0]}-{slot}", words[first].start(), words[last].end()
            if (name, start, end) not in seen:
                seen.add((name, start, end))
                same = str(value).lower() == " ".join(line.text[start:end].lower().split())
                yield Label("slots", AtSpan(t, shift + start, shift + end), name, value=None if same else str(value))
        shift += len(line.text) + 1


READER = Reader(_read)
