"""An option that no command knows is named, with the nearest, before anything that is missing."""

import pytest

from labelgen.cli.commands import FIRST_WORDS
from labelgen.cli.main import main

WORDS = {
    "data": ["data", "convert"],
    "feedback": ["feedback", "signals"],
    "review": ["review", "sample"],
    "rewrite": ["rewrite", "mine"],
}
NEAR = [
    (["label", "logs/", "labeled/", "--modle", "m"], "--model"),
    (["finetune", "--data.trian", "[a]"], "data.train"),
    (["pretrain", "--confg", "a.yaml"], "config"),
]


@pytest.mark.parametrize("command", FIRST_WORDS)
def test_every_command_names_an_unknown_option(command, capsys):
    assert main([*WORDS.get(command, [command]), "--no-such-option", "x"]) == 2
    assert "unknown option" in (said := capsys.readouterr().err)
    assert "no-such-option" in said


@pytest.mark.parametrize(("words", "near"), NEAR)
def test_the_nearest_is_offered(words, near, capsys):
    assert main(words) == 2
    said = capsys.readouterr().err
    assert "unknown option" in said
    assert f"did you mean '{near}'?" in said or f"did you mean '--{near}'?" in said


def test_a_word_that_begins_with_dashes_may_follow_two_of_them(capsys):
    assert main(["show", "--count", "1", "--", "--log.jsonl"]) == 2
    assert "--log.jsonl does not exist" in capsys.readouterr().err
