"""Failure rates on STAR, learned from the answers of the training users."""

from benchmarks.corpora import failure_rates, last_action_of
from labelgen.data.dialogue import Category, Dialogue, Turn
from labelgen.data.labels import Annotation, AtGoal, Label


def dialogue(k: int, actions: tuple[str, ...], outcome: str = "success") -> Dialogue:
    at = AtGoal(tuple(range(len(actions))))
    turns = tuple(
        Turn(request="a", response="b", categories=(Category(name="wizard_action", value=x),) if x else ())
        for x in actions
    )
    user = Annotation("user", "user", (Label("goals", at, "goal"), Label("outcome", at, outcome)))
    return Dialogue(id=f"star/{k}", turns=turns, annotations=(user,))


def test_last_action_of_a_dialogue_is_the_last_one_but_for_parting():
    assert last_action_of(dialogue(0, ("hello", "ask_name", "inform_nothing_found"))) == "inform_nothing_found"
    assert last_action_of(dialogue(0, ("hello", "ask_name", "", "anything_else", "goodbye_1"))) == "ask_name"
    assert last_action_of(dialogue(0, ("goodbye_1", ""))) == ""


def test_failure_rate_of_an_action_counts_dialogues_that_end_with_it():
    train = [dialogue(k, ("hello", "inform"), "failure" if k < 3 else "success") for k in range(4)]
    train += [dialogue(9, ("inform", "hello"))]
    base, rates = failure_rates(train, {"last action": last_action_of}, 1.0)
    assert base == 0.6
    assert rates["last action"] == {"inform": (3 + 0.6) / 5, "hello": 0.6 / 2}
