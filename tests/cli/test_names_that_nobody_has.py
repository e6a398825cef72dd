"""An annotator who was asked for and is in no record is told of, wherever one can be asked for."""

from pathlib import Path

import pytest
from labeled import LABELS, labeled_dialogue

from labelgen.cli.main import main
from labelgen.data.log import Log, write_log

COMMANDS = {
    "aggregate": ["feedback", "aggregate", "LOG", "OUT", "--goals", "NAME"],
    "explain": ["feedback", "explain", "LOG", "ID", "--goals", "NAME"],
    "export": ["review", "export", "LOG", "OUT", "--to", "label-studio", "--annotator", "NAME"],
}


@pytest.mark.parametrize("command", COMMANDS)
def test_a_name_that_nobody_has_is_refused_with_those_there_are(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    plain, log = tmp_path / "plain.jsonl", tmp_path / "log.jsonl"
    write_log(plain, [labeled_dialogue(seed, 4) for seed in range(12)], LABELS)
    assert main(["feedback", "signals", str(plain), str(log)]) == 0
    first = next(iter(Log([log])))
    own = first.annotations[0].annotator
    for name, code in (("nobody", 2), (own, 0)):
        out = tmp_path / f"{name}.out" if command == "export" else tmp_path / f"{name}.jsonl"
        words = {"LOG": str(log), "OUT": str(out), "ID": first.id, "NAME": name}
        capsys.readouterr()
        assert main([words.get(word, word) for word in COMMANDS[command]]) == code
        told = capsys.readouterr().err
        assert ("nobody annotated" in told and "as nobody" in told and own in told) == (code == 2)
        assert code == 0 or not out.exists()
