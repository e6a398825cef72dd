"""Rates of failure learned from the answers of training users, and the rules as an annotator."""

from benchmarks.corpora import WATERFALL, failure_rates, last_act, with_waterfall
from labelgen.data.dialogue import Dialogue, Turn
from labelgen.data.labels import Annotation, AtGoal, Label


def dialogue(k: int, acts: tuple[str, ...], outcome: str = "success", request: str = "a") -> Dialogue:
    at = AtGoal(tuple(range(len(acts))))
    turns = tuple(Turn(request=request, response=act) for act in acts)
    user = Annotation("user", "user", (Label("goals", at, "goal"), Label("outcome", at, outcome)))
    return Dialogue(id=f"star/{k}", turns=turns, annotations=(user,))


def failure(judged: Dialogue) -> float:
    annotation = judged.annotation(WATERFALL)
    assert annotation is not None
    (outcome,) = [label for label in annotation.labels if label.task == "outcome"]
    return dict(outcome.distribution or ())["failure"]


def test_failure_rate_of_an_act_counts_dialogues_that_end_with_it():
    train = [dialogue(k, ("hello", "inform: a place"), "failure" if k < 3 else "success") for k in range(4)]
    train += [dialogue(9, ("inform", "hello"))]
    base, rates = failure_rates(train, {"last act": last_act}, 1.0)
    assert base == 0.6
    assert rates["last act"] == {"inform": (3 + 0.6) / 5, "hello": 0.6 / 2}


def test_rules_answer_each_goal_by_its_signals_or_by_the_base_rate():
    complained = with_waterfall(dialogue(0, ("here", "here"), request="no, that is wrong, you misunderstood me"), 0.3)
    silent = with_waterfall(dialogue(1, ("here", "there")), 0.3)
    assert failure(complained) > 0.5
    assert failure(silent) == 0.3
