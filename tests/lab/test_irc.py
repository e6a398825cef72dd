"""IRC: messages as turns, connected links as goals, and context that nobody annotated."""

from pathlib import Path

import pytest

from benchmarks.readers.irc import READER
from labelgen.base.errors import UsageError
from labelgen.data.dialogue import Dialogue
from labelgen.data.labels import division
from labelgen.data.record import Rejected

SAMPLE = Path(__file__).parent / "samples" / "irc"
SEVERAL = "irc/train/2020-02-03.train-b"


def several(**options: str) -> Dialogue:
    (found,) = (d for d in READER.read(SAMPLE, options) if isinstance(d, Dialogue) and d.id == SEVERAL)
    return found


def goals(dialogue: Dialogue, annotator: str) -> set[tuple[int, ...]]:
    annotation = dialogue.annotation(annotator)
    assert annotation is not None
    return {label.at.turns for label in division(annotation) or ()}  # type: ignore[union-attr]


@pytest.mark.parametrize("kept", [0, 1, 4])
def test_irc_context_option_cuts_messages_before_the_annotated_ones(kept: int):
    whole, cut = several(), several(context=str(kept))
    assert cut.turns == whole.turns[4 - kept :]
    assert goals(cut, "bo") == {tuple(t - 4 + kept for t in goal) for goal in goals(whole, "bo")}


def test_irc_link_to_a_missing_message_is_rejected_with_its_line(tmp_path: Path):
    (tmp_path / "day.ascii.txt").write_text("[00:01] <ana> hello\n[00:02] <bo> hi\n")
    (tmp_path / "day.annotation.txt").write_text("0 0 -\n1 2 -\n")
    (bad,) = READER.read(tmp_path, {})
    assert isinstance(bad, Rejected)
    assert (bad.file, bad.line) == ("day.annotation.txt", 2)
    assert bad.reason.startswith("bad_link:")


def test_irc_unknown_part_and_context_are_refused():
    with pytest.raises(UsageError, match="--part is 'valid'"):
        list(READER.read(SAMPLE, {"part": "valid"}))
    with pytest.raises(UsageError, match="not a whole number"):
        list(READER.read(SAMPLE, {"context": "some"}))


def test_file_by_its_bare_name_is_read_as_by_its_path(monkeypatch: pytest.MonkeyPatch):
    folder = SAMPLE / "data" / "train"
    file = next(folder.glob("*.ascii.txt"))
    whole = list(READER.read(file, {}))
    monkeypatch.chdir(folder)
    assert list(READER.read(Path(file.name), {})) == whole
