"""An annotator without a model: quick, the same bits everywhere, and able to die at its work."""

import os
import signal
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from hashlib import sha256
from pathlib import Path

from labelgen.base.errors import UsageError
from labelgen.data.dialogue import Dialogue
from labelgen.data.labels import (
    Abstained,
    Annotation,
    AtDialogue,
    AtGoal,
    AtTurn,
    Field,
    Label,
    NoLabel,
    Provenance,
)


class FakeAnnotator:
    """diary: a file that gets one line for each dialogue, over all processes. before: called ahead of each dialogue
    with its number in this process."""

    def __init__(
        self,
        model: str = "m1",
        diary: Path | None = None,
        before: Callable[[int], None] | None = None,
        processor: str | None = None,
    ) -> None:
        self.name = "model"
        self.provenance = Provenance(model_digest=model, version="0", threads=1, processor=processor)
        self._diary = diary
        self._before = before
        self._done = 0
        self.audio_turns = 0
        self.audio_errors: Counter[str] = Counter()

    def refuses(self, source: str | None) -> UsageError | None:
        """Has labels for every source but `martian`."""
        if source == "martian":
            return UsageError("no label set is for records of the source 'martian'", "known: toy", "set the source")
        return None

    def out_of_vocabulary(self, dialogues: Iterable[Dialogue]) -> tuple[Counter[str], Counter[str]]:
        """Knows one domain, `home`, and one intent, `Play`."""
        unseen: Counter[str] = Counter()
        unknown: Counter[str] = Counter()
        for dialogue in dialogues:
            unseen["domain"] += sum(turn.domain not in (None, "home") for turn in dialogue.turns)
            names = [label.name for a in dialogue.annotations for label in a.labels if label.task == "intents"]
            unknown["intents"] += sum(name != "Play" for name in names)
        return +unseen, +unknown

    def annotate(self, dialogues: Sequence[Dialogue], *, root: Path | None = None) -> list[Annotation]:
        said = []
        for dialogue in dialogues:
            if self._before is not None:
                self._before(self._done)
            self._done += 1
            if self._diary is not None:
                with self._diary.open("a") as file:
                    file.write(f"{dialogue.id}\n")
            self._listen(dialogue, root)
            said.append(_annotation(self.name, dialogue))
        return said

    def _listen(self, dialogue: Dialogue, root: Path | None) -> None:
        for turn in dialogue.turns:
            if turn.audio is not None and root is not None:
                found = (root / turn.audio.path).is_file()
                self.audio_turns += found
                self.audio_errors += Counter(no_file=not found)


def stand_in(*_: object) -> FakeAnnotator:
    """In the place of what loads a model for `labelgen label`."""
    return FakeAnnotator()


def _annotation(name: str, dialogue: Dialogue) -> Annotation:
    labels: list[Label] = []
    none = [NoLabel("goals", AtDialogue())]
    abstained = []
    for k, turn in enumerate(dialogue.turns):
        chance = sha256(turn.request.encode()).digest()[0] / 255
        match int(chance * 3):
            case 0:
                none.append(NoLabel("intents", AtTurn(k)))
            case 1:
                guess = Label("intents", AtTurn(k), "Play", chance)
                abstained.append(Abstained(Field("intents", AtTurn(k)), (guess,)))
            case _:
                labels += [Label("intents", AtTurn(k), name, chance) for name in ("Play", "Stop")]
    if dialogue.turns:
        none = none[1:]
        labels.append(Label("goals", AtGoal(tuple(range(len(dialogue.turns)))), "goal", 0.5))
    return Annotation(name, "model", tuple(labels), tuple(none), tuple(abstained))


class DieAfter:
    """Kills its own process, as `kill -9` would, ahead of one dialogue; where `once` is a file, only until it exists."""

    def __init__(self, dialogues: int, once: Path | None = None) -> None:
        self._dialogues = dialogues
        self._once = once

    def __call__(self, done: int) -> None:
        if done < self._dialogues or (self._once is not None and self._once.exists()):
            return
        if self._once is not None:
            self._once.touch()
        os.kill(os.getpid(), signal.SIGKILL)


class KillParent:
    """Sends a signal to the process that started this one, ahead of one dialogue, then waits to be ended."""

    def __init__(self, number: signal.Signals = signal.SIGKILL, dialogues: int = 0) -> None:
        self._number = number
        self._dialogues = dialogues

    def __call__(self, done: int) -> None:
        if done >= self._dialogues:
            os.kill(os.getppid(), self._number)
            signal.pause()


class KillGroup:
    """Kills a whole process group, as `kill -9 -- -GROUP` would, ahead of the `dialogues`-th dialogue over all
    processes. steps: a file that counts them. group: a file with the number of the group."""

    def __init__(self, dialogues: int, steps: Path, group: Path) -> None:
        self._dialogues = dialogues
        self._steps = steps
        self._group = group

    def __call__(self, done: int) -> None:
        with self._steps.open("ab", buffering=0) as file:
            file.write(b".")
        if self._steps.stat().st_size == self._dialogues:
            os.killpg(int(self._group.read_text()), signal.SIGKILL)
