"""STAR, wizard-of-oz dialogues of paid workers (Mosig et al. 2020, "STAR: A Schema-Guided Dialog Dataset for Transfer
Learning", arXiv:2010.11853).

path: the corpus folder, its `dialogues` folder, or one file of it.

The users' own answers to the questionnaire, disconnects and early ends are feedback of the dialogue. Annotator `wizard`
gives the goals: a turn serves the task that the wizard had selected when replying. Before the first reply wizards click
through the tabs, so of those clicks only the last counts; turns before any click serve the task that is selected first.
A single-task dialogue is one goal. Annotator `user` repeats the answer about the task as that goal's outcome. The label
of the wizard's last reply in a turn is its category `wizard_action`.
The planner's fields are never input: task, level of completion and `happy` are in `extra`."""

import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from labelgen.base.errors import UsageError
from labelgen.data.dialogue import Category, Dialogue, Feedback, Turn
from labelgen.data.labels import Annotation, AtDialogue, AtGoal, Label, NoLabel
from labelgen.data.reader import Exchange, Options, Reader, exchanges, join_texts, read_bytes
from labelgen.data.record import Rejected, parse, validate

# Every other question of the users' questionnaire asks whether the task was done.
_NOT_ABOUT_THE_TASK = re.compile(r"stay calm and helpful|enjoy this task|say something about rain")
_REPLIES = ("pick_suggestion", "utter")


class _Event(msgspec.Struct, frozen=True, rename="pascal"):
    agent: str
    action: str
    text: str | None = None
    task: str | None = None
    action_label: str | None = None
    unix_time: float | None = None

    @property
    def by_user(self) -> bool:
        return self.agent == "User"

    @property
    def is_utterance(self) -> bool:
        if self.text is None:
            return False
        return self.action == "utter" if self.by_user else self.agent == "Wizard" and self.action in _REPLIES


class _Capability(msgspec.Struct, frozen=True, rename="pascal"):
    task: str


class _Scenario(msgspec.Struct, frozen=True, rename="pascal"):
    happy: bool
    multi_task: bool
    wizard_capabilities: tuple[_Capability, ...]


class _StarAnswer(msgspec.Struct, frozen=True, rename="pascal"):
    question: str
    answer: bool


class _StarDialogue(msgspec.Struct, frozen=True, rename="pascal"):
    scenario: _Scenario
    events: tuple[_Event, ...]
    completion_level: str
    dialogue_id: int = msgspec.field(name="DialogueID")
    user: str | None = msgspec.field(name="AnonymizedUserWorkerID", default=None)
    user_questionnaire: tuple[_StarAnswer, ...] | None = None


def _read(path: Path, options: Options) -> Iterator[Dialogue | Rejected]:
    for file in _files(path):
        record = parse(read_bytes(file), _StarDialogue, file.name)
        yield record if isinstance(record, Rejected) else validate(_dialogue(record), file.name)


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    folder = path / "dialogues" if (path / "dialogues").is_dir() else path
    files = sorted(folder.glob("*.json"), key=lambda file: (len(file.stem), file.stem))
    if not files:
        raise UsageError(f"no STAR dialogues in {path}", str(path), "name the folder with dialogues/1.json, ...")
    return files


def _dialogue(record: _StarDialogue) -> Dialogue:
    start = next((e.unix_time for e in record.events if e.unix_time is not None), None)
    turns = exchanges((e for e in record.events if e.is_utterance), lambda event: event.by_user)
    feedback = tuple(_feedback(record))
    goals = _goals(record, turns)
    return Dialogue(
        id=f"star/{record.dialogue_id}",
        user=record.user,
        start=None if start is None else datetime.fromtimestamp(start, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        source="star",
        turns=tuple(_turn(turn, start) for turn in turns),
        feedback=feedback,
        annotations=(_by_wizard(goals), *_by_user(goals, feedback)),
        extra=_extra(record),
    )


def _turn(turn: Exchange[_Event], start: float | None) -> Turn:
    actions = [event.action_label for event in turn.assistant if event.action_label is not None]
    return Turn(
        request=join_texts(event.text or "" for event in turn.user),
        response=join_texts(event.text or "" for event in turn.assistant),
        time_s=_since(start, turn.user),
        response_time_s=_since(start, turn.assistant),
        categories=tuple(Category(name="wizard_action", value=action) for action in actions[-1:]),
    )


def _since(start: float | None, events: Sequence[_Event]) -> float | None:
    """Seconds from the dialogue's start to the first of the events."""
    if not events or events[0].unix_time is None or start is None:
        return None
    return events[0].unix_time - start


def _feedback(record: _StarDialogue) -> Iterator[Feedback]:
    for answer in record.user_questionnaire or ():
        kind = "questionnaire" if _NOT_ABOUT_THE_TASK.search(answer.question) else "answer"
        yield Feedback(kind=kind, answer="yes" if answer.answer else "no", question=answer.question)
    if record.completion_level != "Complete":
        yield Feedback(kind="disconnect")


def _goals(record: _StarDialogue, turns: Sequence[Exchange[_Event]]) -> list[tuple[int, ...]]:
    """The turns of each goal, in the order of their first turns; a turn without a request serves none."""
    requests = [t for t, turn in enumerate(turns) if turn.user]
    if not record.scenario.multi_task:
        return [tuple(requests)] if requests else []
    selected = _selected(record.events)
    at_reply = {t: selected[id((*turns[t].user, *turns[t].assistant)[-1])] for t in requests}
    first = next((task for task in at_reply.values() if task is not None), None)
    goals: dict[str | None, tuple[int, ...]] = {}
    for t, task in at_reply.items():
        goals[task or first] = (*goals.get(task or first, ()), t)
    return list(goals.values())


def _selected(events: Sequence[_Event]) -> dict[int, str | None]:
    """The task that was selected when each event came, by the event's id(); None before the first click."""
    task_of: dict[int, str | None] = {}
    task: str | None = None
    for event in events:
        task = event.task if event.action == "select_task" else task
        task_of[id(event)] = task
    return task_of


def _by_wizard(goals: Sequence[tuple[int, ...]]) -> Annotation:
    none = () if goals else (NoLabel("goals", AtDialogue()),)
    return Annotation("wizard", "person", tuple(Label("goals", AtGoal(members), "goal") for members in goals), none)


def _by_user(goals: Sequence[tuple[int, ...]], feedback: Sequence[Feedback]) -> Iterator[Annotation]:
    """The user's answer about the task, where there was one goal to be asked about."""
    answers = [item.answer for item in feedback if item.kind == "answer"]
    if answers and len(goals) == 1:
        at = AtGoal(goals[0])
        outcome = "success" if answers[-1] == "yes" else "failure"
        yield Annotation("user", "user", (Label("goals", at, "goal"), Label("outcome", at, outcome)))


def _extra(record: _StarDialogue) -> str:
    tasks = [capability.task for capability in record.scenario.wizard_capabilities]
    task = {"tasks": tasks} if record.scenario.multi_task else {"task": tasks[0] if tasks else None}
    about = {**task, "happy": record.scenario.happy, "completion": record.completion_level}
    return msgspec.json.encode(about).decode()


READER = Reader(_read)
