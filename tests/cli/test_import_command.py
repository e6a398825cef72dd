"""labelgen data import: labelgen init drafts a mapping that imports, and the import says what became of the rows."""

import json
from pathlib import Path

from labelgen.cli.main import main
from labelgen.data.log import Log

TABLE = "conv_id,ts,role,message,liked\nc,1,user,hi,\nc,2,bot,ho,up\nc,2,bot,ho,up\nd,9,user,bye,\n"


def test_init_drafts_a_mapping_that_imports(tmp_path: Path, capsys):
    (tmp_path / "t.csv").write_text(TABLE)
    source, mapping, out = (str(tmp_path / name) for name in ("t.csv", "p/mapping.yaml", "out.jsonl"))
    assert main(["init", source, "--out", str(tmp_path / "p")]) == 0
    told = capsys.readouterr()
    shown = told.out + told.err
    assert "suggested mapping" in shown
    assert "feedback: thumbs" in shown
    assert "4 rows: 3 in dialogues, 1 exact copies, dropped" in shown
    assert main(["data", "import", source, out, "--config", mapping]) == 0
    told = capsys.readouterr()
    assert "2 dialogues in" in told.out
    assert "1 exact copies" in told.err
    first, second = Log([out])
    assert [(d.id, [t.request for t in d.turns]) for d in (first, second)] == [("c", ["hi"]), ("d", ["bye"])]
    assert [item.rating for item in first.turns[0].feedback] == [5.0]
    by_reader = list(Log([source], "mapped", {"mapping": mapping}))
    assert by_reader == [first, second]


def test_init_names_values_whose_meaning_only_people_know(tmp_path: Path, capsys):
    (tmp_path / "t.csv").write_text(TABLE.replace("up", "meh"))
    assert main(["init", str(tmp_path / "t.csv"), "--out", str(tmp_path / "p")]) == 0
    assert "'liked' (values meh) looks like feedback and is not mapped" in capsys.readouterr().err


def test_import_feedback_as_input_warns_and_rejected_rows_are_kept_for_repair(tmp_path: Path, capsys):
    rows = [{"id": k, "q": "hi", "a": "ho", "thumbs": "up", "at": "soon" if k == 3 else k} for k in range(4)]
    (tmp_path / "t.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    words = ["--dialogue", "id", "--request", "q", "--response", "a", "--time", "at", "--categories", "thumbs"]
    bad = tmp_path / "bad.jsonl"
    words += ["--quarantine", str(bad), "--max-bad-rate", "0.5"]
    assert main(["data", "import", str(tmp_path / "t.jsonl"), str(tmp_path / "out.jsonl"), *words]) == 0
    told = capsys.readouterr()
    assert "warning: 'thumbs' looks like feedback and is mapped to categories" in told.err
    assert "1 records rejected" in told.out
    (kept,) = (json.loads(line) for line in bad.read_text().splitlines())
    assert (kept["line"], kept["field"], json.loads(kept["raw"])) == (4, "at", [rows[3]])
    assert "time_format" in kept["hint"]
