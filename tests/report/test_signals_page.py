"""The page of signals against counting by hand, and the laws that every page of a report keeps."""

import re
from collections import Counter
from pathlib import Path

import pytest
from heard import talk
from hypothesis import given, settings
from hypothesis import strategies as st
from made_evaluations import names
from parsed_page import Page

from labelgen.cli.main import main
from labelgen.data.dialogue import Dialogue, Feedback, Signal, Turn
from labelgen.data.log import write_log
from labelgen.feedback.em.method import learn
from labelgen.feedback.signal import with_signals
from labelgen.feedback.summary import BINS, SignalCounts, Summary
from labelgen.report.signals import MOST_DOMAINS, OTHER_DOMAINS, render_signals, sentence


def summary_of(dialogues: list[Dialogue]) -> Summary:
    counts = SignalCounts()
    return counts.summary(learn(counts.watch(dialogues)))


def spoken(*signals: tuple[str, str, int], turns: int = 4, domain: str | None = None, id: str = "d") -> Dialogue:
    """A dialogue with (kind, vote, turn) as signals."""
    return Dialogue(
        id=id,
        turns=tuple(Turn(request="play it", response="Playing.", domain=domain) for _ in range(turns)),
        signals=tuple(Signal(kind=k, turns=(t,), vote=v, evidence=(t,)) for k, v, t in signals),  # type: ignore[arg-type]
    )


# Kinds that may vote both ways; another vote is no evidence.
kinds = st.sampled_from(["rating", "questionnaire", "answer", "a kind of its own"])
signals = st.lists(st.tuples(kinds, st.sampled_from(["good", "fair", "bad"]), st.integers(0, 3)), max_size=6)
logs = st.lists(st.tuples(signals, st.sampled_from([None, "music", "news"])), max_size=8).map(
    lambda log: [spoken(*s, domain=d, id=f"d{k}") for k, (s, d) in enumerate(log)]
)


@settings(max_examples=40, deadline=None)
@given(logs)
def test_counts_are_those_of_the_log(log: list[Dialogue]):
    found = summary_of(log)
    assert found.signals == sum(len(d.signals) for d in log)
    assert sum(found.turns.values()) == sum(len(d.turns) for d in log)
    every = Counter((s.kind, s.vote) for d in log for s in d.signals)
    assert {(c.kind, c.vote): c.count for c in found.votes} == every
    for cast in found.votes:
        assert sum(cast.by_domain.values()) == cast.count
    for spread in found.posteriors:
        assert len(spread.bins) == BINS
        if spread.unit == "turn":
            assert spread.items == 4 * len(log)
            assert spread.with_signals == len({(d.id, s.turns) for d in log for s in d.signals if s.vote != "fair"})


@settings(max_examples=40, deadline=None)
@given(logs)
def test_agreement_on_turns_is_as_counted_one_by_one(log: list[Dialogue]):
    by_hand: dict[tuple[str, str], list[bool]] = {}
    for dialogue in log:
        for turn in range(4):
            said: dict[str, set[str]] = {}
            for signal in dialogue.signals:
                if signal.turns == (turn,) and signal.vote != "fair":
                    said.setdefault(signal.kind, set()).add(signal.vote)
            # A kind that contradicts itself counts as not observed.
            sure = {kind: votes for kind, votes in sorted(said.items()) if len(votes) == 1}
            for one in sure:
                for other in sure:
                    if one < other:
                        by_hand.setdefault((one, other), []).append(sure[one] == sure[other])
    found = {(p.one, p.other): p for p in summary_of(log).agreements if p.unit == "turn"}
    assert {pair: p.both for pair, p in found.items()} == {pair: len(same) for pair, same in by_hand.items()}
    for pair, same in by_hand.items():
        assert found[pair].same in (None, sum(same) / len(same))


def test_kinds_that_could_not_differ_have_no_agreement_and_copies_a_lift():
    log = [spoken(("original", "bad", 0), ("twin", "bad", 0), id=f"d{k}") for k in range(5)]
    (pair,) = (p for p in summary_of(log).agreements if p.unit == "turn")
    assert (pair.both, pair.same) == (5, None)
    assert pair.lift == 4, "together in every fourth turn, which is where either speaks"
    differ = [*log, spoken(("original", "good", 0), ("twin", "bad", 0), id="e")]
    (pair,) = (p for p in summary_of(differ).agreements if p.unit == "turn")
    assert pair.same == 5 / 6


def test_every_vote_has_a_mark_of_its_own():
    html = render_signals(summary_of([spoken(*(("rating", vote, 0) for vote in ("good", "fair", "bad")))]), "", "")
    assert [x for x in Page(html).text if x[:1] in "▲■▼" and x] == ["▼ bad", "■ fair", "▲ good"]


def test_many_domains_are_joined_and_nothing_is_lost():
    log = [spoken(("gratitude", "good", 0), turns=k + 1, domain=f"domain {k}", id=f"d{k}") for k in range(12)]
    page = Page(render_signals(summary_of(log), "many", "labelgen"))
    heads = [x for x in page.text if x.startswith("domain ")]
    assert len(heads) == MOST_DOMAINS
    assert OTHER_DOMAINS in page.text
    counts = [int(text.replace(",", "")) for kind, _, text in page.numbers if kind == "count"]
    assert counts.count(4) >= 1, "four domains stand in the last column"


@settings(max_examples=25, deadline=None)
@given(kind=names, domain=names, title=names)
def test_nothing_escapes_and_nothing_is_fetched(kind: str, domain: str, title: str):
    html = render_signals(summary_of([spoken((kind, "bad", 0), domain=domain)]), title, title)
    page = Page(html)
    assert not [tag for tag, _ in page.tags if tag in ("script", "link", "img", "b onclick", "iframe")]
    assert not [a for _, attributes in page.tags for a in attributes if a.startswith("on")]
    assert not re.search(r"""(?:src|href)=["'](?!#)|url\(|@import""", html.split("</style>")[1])


def test_a_log_without_signals_or_turns_still_has_a_page():
    for log in ([], [Dialogue(id="empty", turns=())], [spoken()]):
        found = summary_of(log)
        assert sentence(found) == "There is no signal in this log."
        Page(render_signals(found, "empty", ""))


def test_the_command_writes_the_page_and_wants_signals(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    told = (Feedback(kind="answer", answer="no"),)
    log = [talk("book a room", "Booked.", "thank you", "Bye.", id="b", feedback=told), Dialogue(id="e", turns=())]
    bare, found, out = tmp_path / "log.jsonl", tmp_path / "signals.jsonl", tmp_path / "page.html"
    write_log(bare, log)
    write_log(found, [with_signals(dialogue) for dialogue in log])
    assert main(["feedback", "report", str(bare), str(out)]) == 3
    assert not out.exists()
    assert main(["feedback", "report", str(found), str(out)]) == 0
    assert "2 signals of 2 kinds say good or bad of" in capsys.readouterr().out
    assert "gratitude" in "".join(Page(out.read_text(encoding="utf-8")).text)
    assert main(["feedback", "report", str(found), str(out)]) == 2, "nothing is overwritten"
