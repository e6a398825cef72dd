"""CoNLL round trip, and damaged answers."""

import itertools
from pathlib import Path

import pytest
from answered import said
from hypothesis import given
from hypothesis import strategies as st
from strategies import dialogues, texts

from labelgen.base.errors import InputError
from labelgen.data.dialogue import Dialogue, Turn
from labelgen.data.labels import Annotation, AtSpan, AtTurn, Field, Label, NoLabel
from labelgen.data.record import Rejected
from labelgen.review.conll import HEADER, conll, from_tags, overlap, read_conll, to_tags, tokens
from labelgen.review.merge import AnswerMerger, ReviewAnswer
from labelgen.review.sampling import model_annotation

ASKED = ("intents", "slots")


@st.composite
def marked(draw: st.DrawFn) -> tuple[str, list[tuple[int, int]]]:
    """A text, and spans of it that do not overlap."""
    text = draw(st.one_of(texts, st.text(st.sampled_from("ab1é́😀 \t\u3000-#"), max_size=10)))
    borders = sorted(draw(st.sets(st.integers(0, len(text)), max_size=6)))
    spans = list(itertools.pairwise(borders))
    return text, [span for span in spans if draw(st.booleans())]


@given(marked())
def test_tokens_of_any_text_cover_all_but_blanks(given_text):
    text, spans = given_text
    cut = tokens(text, spans)
    covered = {place for start, end in cut for place in range(start, end)}
    assert sum(end - start for start, end in cut) == len(covered)
    assert cut == sorted(cut)
    assert all(text[place].isspace() for place in set(range(len(text))) - covered)
    # A word is cut by a slot's border only.
    borders = {border for span in spans for border in span}
    for (_, end), (start, _) in itertools.pairwise(cut):
        assert end < start or end in borders or not (text[end - 1].isalnum() and text[end].isalnum())


@given(marked())
def test_tags_round_trip_the_spans(given_text):
    text, spans = given_text
    cut = tokens(text, spans)
    named = [("xy"[k % 2], span) for k, span in enumerate(spans)]
    assert [(name, span) for name, span, _ in from_tags(cut, to_tags(cut, named))] == named


@given(dialogues().filter(lambda d: d.turns))
def test_conll_round_trip_keeps_the_labels(tmp_path_factory, dialogue):
    annotation = model_annotation(dialogue, None) or Annotation("nobody", "model")
    text = conll(dialogue, annotation)
    by_turn = [
        [(x.at.start, x.at.end) for x in annotation.labels if isinstance(x.at, AtSpan) and x.at.turn == t]
        for t in range(len(dialogue.turns))
    ]
    if text is None:
        assert any(overlap(spans) for spans in by_turn)
        return
    path = tmp_path_factory.mktemp("round") / "turns.conll"
    path.write_text(f"{HEADER}\n{text}", encoding="utf-8")
    [answer] = read_conll(path, "zoe")
    if not said(annotation, ASKED):
        assert isinstance(answer, Rejected)
        assert answer.reason.startswith("empty")
        return
    assert isinstance(answer, ReviewAnswer)
    # An empty list of slots is told by tags alone, and a request without tokens by a line of its own.
    assert said(answer.annotation, ASKED) == said(annotation, ASKED)
    merge = AnswerMerger([answer], lambda _: None)
    [out] = merge([dialogue])
    assert not merge.reasons
    assert out.annotations[-1] == answer.annotation


TURNS = (Turn(request="play purple haze, now", response="Playing."), Turn(request="louder", response=""))
MODEL = Annotation(
    "m",
    "model",
    (Label("intents", AtTurn(0), "play"), Label("slots", AtSpan(0, 5, 16), "song", None, "Purple Haze")),
    (NoLabel("slots", AtTurn(1)),),
)
DIALOGUE = Dialogue(id="d7", turns=TURNS, annotations=(MODEL,))
TEXT = """\
# global.columns = FORM START END TAG VALUE

# id = "d7"
# turn = 0
# request = "play purple haze, now"
# intents = ["play"]
play	0	4	O	_
purple	5	11	B-song	"Purple\\u0020Haze"
haze	12	16	I-song	_
,	16	17	O	_
now	18	21	O	_

# id = "d7"
# turn = 1
# request = "louder"
louder	0	6	O	_

"""


def read(folder: Path, text: str) -> tuple[Dialogue, list[Rejected]]:
    path = folder / "turns.conll"
    path.write_bytes(text.encode())
    aside: list[Rejected] = []
    [out] = AnswerMerger(read_conll(path, "anna"), aside.append)([DIALOGUE])
    return out, aside


def test_conll_layout_equals_the_documented_one(tmp_path):
    assert HEADER + "\n" + (conll(DIALOGUE, MODEL) or "") == TEXT
    out, aside = read(tmp_path, TEXT)
    assert not aside
    assert out.annotations[-1] == Annotation("anna", "person", MODEL.labels, MODEL.none)
    document = Path(__file__).parents[2] / "docs" / "reference" / "review-forms.md"
    assert TEXT.strip() in document.read_text(encoding="utf-8")


def test_read_conll_with_other_line_ends_gives_the_same_answer(tmp_path):
    assert read(tmp_path, "\ufeff" + TEXT.replace("\n", "\r\n")) == read(tmp_path, TEXT)


def test_read_conll_with_a_missing_turn_leaves_it_unanswered(tmp_path):
    out, aside = read(tmp_path, TEXT.replace(TEXT.split("\n\n")[1] + "\n\n", ""))
    assert not aside
    assert said(out.annotations[-1]) == {("none", Field("slots", AtTurn(1)))}


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("now\t18\t21\tO\t_\n", "", "cut_block"),
        ("play\t0\t4\tO\t_\n", "", "cut_block"),
        (TEXT[TEXT.index("haze\t") :], "haze\t12", "bad_row"),
        ("12\t16", "12\t17", "bad_span"),
        ("purple\t5", "violet\t5", "bad_span"),
        ("B-song", "O", "bad_tag"),
        ("I-song", "I-artist", "bad_tag"),
        ("I-song", "song", "bad_tag"),
        ("I-song", "B-\\ud800", "bad_tag"),
        ('"Purple\\u0020Haze"', "Purple", "bad_tag"),
        ('["play"]', '"play"', "bad_comment"),
        ('["play"]', "[1]", "bad_comment"),
        ("# turn = 1", "# turn = 0", "doubled_turn"),
        ("# turn = 1", "# turn = one", "bad_comment"),
        ("# turn = 1", "# turn = -1", "no_such_turn"),
        ("# turn = 1", "# turn = 2", "changed_text"),
        ("louder", "quieter", "bad_span"),
        ('"louder"\nlouder\t0\t6', '"lauter"\nlauter\t0\t6', "changed_text"),
        ('"d7"', '"d8"', "unknown_id"),
    ],
)
def test_read_conll_of_damaged_blocks_rejects_with_a_reason(tmp_path, old, new, reason):
    assert old in TEXT
    out, aside = read(tmp_path, TEXT.replace(old, new))
    assert [item.reason.partition(":")[0] for item in aside] == [reason]
    assert aside[0].raw
    assert out == DIALOGUE


def test_read_conll_of_blocks_without_id_rejects_each(tmp_path):
    out, aside = read(tmp_path, TEXT.replace('# id = "d7"\n# turn = 1', "# turn = 1"))
    assert [item.reason.partition(":")[0] for item in aside] == ["bad_comment"]
    assert said(out.annotations[-1]) == {x for x in said(MODEL) if "none" not in x}


def test_read_conll_in_another_encoding_raises(tmp_path):
    path = tmp_path / "turns.conll"
    path.write_bytes(TEXT.encode("utf-16"))
    with pytest.raises(InputError, match="cannot read"):
        list(read_conll(path, "anna"))
