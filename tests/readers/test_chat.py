"""Chats with metadata: feedback, times and ids at any path."""

import json
from pathlib import Path
from typing import Any

import pytest

from labelgen.base.registry import resolve
from labelgen.data.dialogue import Dialogue, Feedback
from labelgen.data.reader import READERS, Reader, Remark
from labelgen.data.record import Rejected

DOWN = Feedback(kind="rating", rating=1.0, scale=(1.0, 5.0))


def chat(**more: Any) -> dict[str, Any]:
    return {
        "meta": {"chat": {"id": 7}, "client": {"user": "u3", "lang": "de-DE", "kind": "phone"}, "began": 1772352000},
        "log": {
            "messages": [
                {"role": "user", "content": "Rain?", "at": "2026-03-01T08:00:05Z"},
                {
                    "role": "assistant",
                    "content": "Yes.",
                    "at": "2026-03-01T08:00:07Z",
                    "ui": {"thumb": "down", "copied": 2},
                },
                {"role": "user", "content": "Sure?", "at": "2026-03-01T08:00:30Z", "ui": {"helped": "no"}},
                {"role": "assistant", "content": "No.", "at": "2026-03-01T08:00:31Z", "ui": {"thumb": None}},
            ]
        },
        "survey": {"stars": 4},
        **more,
    }


OPTIONS = {
    "messages": "log.messages",
    "dialogue": "meta.chat.id",
    "user": "meta.client.user",
    "locale": "meta.client.lang",
    "device": "meta.client.kind",
    "time": "at",
    "feedback": "{ui.thumb: thumbs, ui.copied: copy, ui.helped: yes_no of previous, survey.stars: rating 0..10}",
}


def read(folder: Path, records: list[Any], options: dict[str, str]) -> list[Dialogue | Rejected | Remark]:
    path = folder / "chat.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    reader: Reader = resolve(READERS, "chat", "format")
    return list(reader.read(path, options))


def test_metadata_at_any_path_is_read(tmp_path: Path) -> None:
    (dialogue,) = read(tmp_path, [chat()], OPTIONS)
    assert isinstance(dialogue, Dialogue), dialogue
    assert (dialogue.id, dialogue.user, dialogue.locale, dialogue.device) == ("7", "u3", "de-DE", "phone")
    assert dialogue.start == "2026-03-01T08:00:05Z"
    assert [(turn.time_s, turn.response_time_s) for turn in dialogue.turns] == [(0.0, 2.0), (25.0, 26.0)]
    copied = Feedback(kind="copy")
    assert dialogue.turns[0].feedback == (DOWN, copied, copied)
    assert dialogue.turns[1].feedback == (Feedback(kind="answer", answer="no", about=0),)
    assert dialogue.feedback == (Feedback(kind="rating", rating=4.0, scale=(0.0, 10.0)),)
    assert json.loads(dialogue.extra or "")["survey"] == {"stars": 4}


def test_path_that_no_record_has_is_named(tmp_path: Path) -> None:
    *dialogues, remark = read(
        tmp_path, [chat(), chat()], {**OPTIONS, "device": "meta.devise", "feedback": "{ui.thum: thumbs}"}
    )
    assert len(dialogues) == 2
    assert isinstance(remark, Remark)
    assert "meta.devise, ui.thum" in remark.text


@pytest.mark.parametrize(
    ("options", "field", "reason"),
    [
        ({"feedback": "{ui.thumb: thumbs good=x bad=y}"}, "ui.thumb", "bad_feedback"),
        ({"feedback": "{survey.stars: rating 1..3}"}, "survey.stars", "bad_rating"),
        ({"time": "role"}, "role", "bad_time"),
        ({"start": "meta.client.lang"}, "meta.client.lang", "bad_time"),
        ({"user": "meta.client"}, "user", "bad_type"),
        ({"messages": "log"}, "log", "bad_type"),
        ({"messages": "log.message"}, None, "bad_type"),
    ],
)
def test_value_that_an_option_cannot_have_rejects_the_record(
    tmp_path: Path, options: dict[str, str], field: str | None, reason: str
) -> None:
    good = {"id": "g", "log": {"messages": []}}
    found = read(tmp_path, [chat(), good], {**OPTIONS, **options})
    (rejected,) = [item for item in found if isinstance(item, Rejected) and item.line == 1]
    assert (rejected.field, rejected.reason.partition(":")[0]) == (field, reason)
