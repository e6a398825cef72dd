"""What lies in a log is read or told of, whatever it is called and however it begins."""

from pathlib import Path

import pytest
from labeled import LABELS, labeled_dialogue

from labelgen.base.errors import UsageError
from labelgen.data.dialogue import Dialogue, Feedback, Turn
from labelgen.data.log import Log, write_log
from labelgen.data.record import Rejected
from labelgen.data.redact import redact_dialogue
from labelgen.data.split import part_of, read_parts

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


def test_csv_dialogue_with_bad_row_is_rejected_whole(tmp_path: Path):
    table = tmp_path / "t.csv"
    table.write_text("d,q,a\n1,hi,ho\n2,play jazz,ok\n2,no,rock,oops\n2,thanks,bye\n3,a,b,c\n4,hi,ho\n")
    log = Log([table], "mapped", COLUMNS, max_bad_rate=1.0)
    assert [d.id for d in log] == ["1", "4"]
    assert log.reasons == {"bad_row": 2, "lacks_row": 1}
    read = log.reader.read(table, COLUMNS)
    assert [x.line for x in read if isinstance(x, Rejected)] == [4, 6, 3]


def test_split_empty_users_are_separate_users():
    parts = read_parts("a=0.5,b=0.5")
    found = {part_of(Dialogue(id=f"d{k}", user="", turns=()), parts) for k in range(40)}
    assert found == {"a", "b"}


def test_redact_answer_is_masked_like_question():
    said = Feedback(
        kind="questionnaire", question="Is joe@corp.com right?", answer="no, ann@corp.com", text="to bob@corp.com"
    )
    made = Dialogue(id="d", turns=(Turn(request="hi", response="ho", feedback=(said,)),), feedback=(said,))
    hidden = redact_dialogue(made)
    for own in (*hidden.feedback, *hidden.turns[0].feedback):
        assert "corp" not in f"{own.question}{own.answer}{own.text}"
