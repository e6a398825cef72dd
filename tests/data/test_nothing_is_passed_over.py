"""What lies in a log is read or told of, whatever it is called and however it begins."""

from pathlib import Path

import pytest
from labeled import LABELS, labeled_dialogue

from labelgen.base.errors import UsageError
from labelgen.data.dialogue import Dialogue, Feedback, Turn
from labelgen.data.log import Log, write_log
from labelgen.data.record import Rejected
from labelgen.data.redact import redact_dialogue

COLUMNS = {"dialogue": "d", "request": "q", "response": "a"}


def test_log_folder_skips_only_quarantine_files(tmp_path: Path):
    names = ("quarantine-ward.jsonl", "quarantine.jsonl", "a.jsonl.quarantine.jsonl", "b.jsonl")
    for seed, name in enumerate(names):
        write_log(tmp_path / name, [labeled_dialogue(seed)], LABELS)
    assert sorted(d.id for d in Log([tmp_path])) == sorted(labeled_dialogue(seed).id for seed in (0, 3))


def test_log_linked_folder_is_refused_by_name(tmp_path: Path):
    write_log(tmp_path / "log" / "a.jsonl", [labeled_dialogue(1)], LABELS)
    write_log(tmp_path / "other" / "b.jsonl", [labeled_dialogue(2)], LABELS)
    (tmp_path / "log" / "linked").symlink_to(tmp_path / "other")
    with pytest.raises(UsageError, match="linked is a link"):
        list(Log([tmp_path / "log"]))


def test_log_byte_order_mark_is_ignored(tmp_path: Path):
    log = tmp_path / "log.jsonl"
    write_log(log, [labeled_dialogue(1), labeled_dialogue(2)], LABELS)
    plain = list(Log([log]))
    log.write_bytes(b"\xef\xbb\xbf" + log.read_bytes().replace(b"\n", b"\r\n"))
    assert list(Log([log], max_bad_rate=0.0)) == plain


def test_csv_unclosed_quote_rejects_its_row_only(tmp_path: Path):
    table = tmp_path / "t.csv"
    rows = [f"{k},hi {k},ho\n" for k in range(60)]
    rows[20] = '20,"never,closed\n'
    table.write_text("d,q,a\n" + "".join(rows))
    log = Log([table], "mapped", COLUMNS, max_bad_rate=0.05)
    assert [d.id for d in log] == [str(k) for k in range(60) if k != 20]
    (bad,) = [x for x in log.reader.read(table, COLUMNS) if isinstance(x, Rejected)]
    assert (bad.line, bad.raw) == (22, rows[20])


def test_redact_answer_is_masked_like_question():
    said = Feedback(
        kind="questionnaire", question="Is joe@corp.com right?", answer="no, ann@corp.com", text="to bob@corp.com"
    )
    made = Dialogue(id="d", turns=(Turn(request="hi", response="ho", feedback=(said,)),), feedback=(said,))
    hidden = redact_dialogue(made)
    for own in (*hidden.feedback, *hidden.turns[0].feedback):
        assert "corp" not in f"{own.question}{own.answer}{own.text}"
