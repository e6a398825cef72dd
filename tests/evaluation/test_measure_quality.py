"""scripts/measure_quality.py: people and models judged against the other people alone."""

from collections import Counter

from measure_quality import judge, rows_of

from labelgen.data.dialogue import Dialogue, Turn
from labelgen.data.labels import Annotation, AtTurn, Label


def says(who: str, kind: str, word: str) -> Annotation:
    return Annotation(who, kind, (Label("quality", AtTurn(0), word),))


def test_reference_for_a_person_excludes_that_person():
    """Two say bad and one says good. Without one of the first two the others are tied, so only the third is judged:
    against "bad", and never against a vote that is partly theirs."""
    people = [says(who, "person", word) for who, word in (("ann", "bad"), ("ben", "bad"), ("cid", "good"))]
    turn = Turn(request="a", response="b")
    one = Dialogue(id="d", source="log", turns=(turn,), annotations=(*people, says("model", "model", "good")))
    found = judge([one], "model", "vote", 0)["log"]
    assert found.person == [Counter({("bad", "good"): 1})]
    assert found.model == [Counter({("bad", "good"): 1})]
    rows = {(row[1], row[2]): row for row in rows_of("log", found)}
    assert rows["of the others", "accuracy"][4]["value"] == 0.0
    assert rows["of all", "accuracy"][7] == rows["of the others", "accuracy"][7] == 1


def test_mean_reference_for_a_person_excludes_that_person():
    """Ratings 1, 4 and 4: the mean of the other two is 4, 2.5 and 2.5; the mean of all three, 3, is fair."""
    rated = ((1.0, "bad"), (4.0, "good"), (4.0, "good"))
    people = [
        Annotation(f"p{k}", "person", (Label("quality", AtTurn(0), word, value=value),))
        for k, (value, word) in enumerate(rated)
    ]
    turn = Turn(request="a", response="b")
    one = Dialogue(id="d", source="log", turns=(turn,), annotations=(*people, says("model", "model", "fair")))
    found = judge([one], "model", "mean", 0)["log"]
    assert found.of_all == [Counter({("fair", "fair"): 1})]
    assert found.person == [Counter({("good", "bad"): 1, ("bad", "good"): 2})]
    assert found.ceiling == [Counter({("good", "fair"): 1, ("bad", "fair"): 2})]
