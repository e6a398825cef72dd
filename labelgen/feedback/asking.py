"""Active learning from users: which turns to ask "did I answer your question?" about, within a budget.

Uncertainty sampling: turns whose probability of having gone well is nearest to even come first. Source: Lewis and Gale 1994, "A
Sequential Algorithm for Training Text Classifiers"."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from random import Random

from labelgen.data.dialogue import Dialogue
from labelgen.data.labels import Annotation, AtTurn
from labelgen.feedback.cues import asks_if_served, gives_up, says_stop, takes_leave, went_wrong
from labelgen.feedback.items import FeedbackItem, turn_items
from labelgen.feedback.posterior import Method


@dataclass(frozen=True, slots=True)
class TurnBelief:
    """A turn, and what is known about it.

    signals, model: probability that it went well; None without either. asked: the user was asked about it. askable: the question makes
    sense there."""

    dialogue: str
    turn: int
    user: str | None
    signals: float | None
    model: float | None
    asked: bool = False
    askable: bool = True

    @property
    def good(self) -> float:
        """The probability by the model, else by the signals, else one half."""
        known = self.signals if self.model is None else self.model
        return 0.5 if known is None else known


def turn_beliefs(dialogue: Dialogue, method: Method, annotator: str | None = None) -> Iterator[TurnBelief]:
    """Every turn of a dialogue that has signals. method: gives the posteriors by the signals. annotator: the model whose quality of turns is
    used, where the dialogue has it; None for the first model."""
    of_model = _qualities(dialogue, annotator)
    items = list(turn_items(dialogue, dialogue.signals))
    for item, posterior in zip(items, method(items), strict=True):
        t = item.turns[0]
        answered = any(signal.kind == "answer" for signal in item.signals)
        yield TurnBelief(
            dialogue=dialogue.id,
            turn=t,
            user=dialogue.user,
            signals=None if posterior is None else posterior.good,
            model=of_model.get(t),
            asked=answered or asks_if_served(dialogue.turns[t].response, dialogue.locale),
            askable=is_askable(item),
        )


def is_askable(item: FeedbackItem) -> bool:
    """Whether "did I answer your question?" makes sense after that turn: a request got a response that neither reports a
    failure nor asks back."""
    [t] = item.turns
    turn, locale = item.dialogue.turns[t], item.dialogue.locale
    if not turn.request or not turn.response or went_wrong(turn, locale) or turn.response.rstrip().endswith("?"):
        return False
    if gives_up(turn.request, locale) or says_stop(turn.request, locale):
        return False
    return bool(turn.hypothesis.intents) if turn.hypothesis is not None else not takes_leave(turn.request, locale)


def _qualities(dialogue: Dialogue, annotator: str | None) -> Mapping[int, float]:
    """Turn -> the model's probability that it went well, fair counts half."""
    models = (a for a in dialogue.annotations if a.kind == "model" and annotator in (None, a.annotator))
    qualities = {}
    for label in next(models, Annotation("nobody", "model")).labels:
        if label.task == "quality" and isinstance(label.at, AtTurn):
            # A record holds the probabilities of all names, or the name alone.
            names = dict(label.distribution or ((label.name, 1.0),))
            qualities[label.at.turn] = names.get("good", 0.0) + names.get("fair", 0.0) / 2.0
    return qualities


def choose(turns: Iterable[TurnBelief], budget: int, per_dialogue: int = 1, seed: int = 0) -> list[TurnBelief]:
    """At most `budget` turns in the order of asking, and no more than `per_dialogue` in one dialogue, earlier questions there
    included. The order of the turns does not matter; a seed decides between equal ones."""
    turns = list(turns)
    asked = Counter(turn.dialogue for turn in turns if turn.asked)
    chosen: list[TurnBelief] = []
    for turn in sorted(turns, key=lambda one: (abs(one.good - 0.5), _place(one, seed))):
        if len(chosen) < budget and turn.askable and not turn.asked and asked[turn.dialogue] < per_dialogue:
            asked[turn.dialogue] += 1
            chosen.append(turn)
    return chosen


def _place(turn: TurnBelief, seed: int) -> tuple[float, str, int]:
    """A seeded place in the queue, which depends on the turn alone and not on the rest of the log."""
    return Random(f"{seed}/{turn.turn}/{turn.dialogue}").random(), turn.dialogue, turn.turn
