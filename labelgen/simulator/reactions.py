"""How the user reacts to what the assistant did: by thanks, answers, an interruption, giving up, a rating, or silence."""

from dataclasses import replace

from labelgen.data.dialogue import Feedback, Hypothesis, HypothesisIntent, Turn
from labelgen.simulator import wording
from labelgen.simulator.goals import Goal, Step
from labelgen.simulator.grammar import Template, write
from labelgen.simulator.meaning import GIVING_UP
from labelgen.simulator.phrases import NO, THANKS, YES, lines, pick
from labelgen.simulator.responses import ASK_BACK, GLAD, SORRY, WELCOME, done, speak
from labelgen.simulator.talk import Talk, TurnTruth, aside, keep, mark, overall

_THANKS, _YES, _NO = lines(THANKS), lines(YES), lines(NO)


def please(talk: Talk, goal: Goal) -> None:
    """After a step was served: calm down, perhaps confirm, thank, or interrupt out of haste."""
    rng, user = talk.rng, talk.user
    talk.annoyance *= 0.6
    if ask_back(talk, satisfied=True) is not None:
        return
    if rng.random() < 0.03 * talk.options.reactions:
        mark(talk, Feedback(kind="barge_in"))
    if not goal.steps and not goal.thanked and rng.random() < 0.3 * user.manners * (1.0 - talk.annoyance):
        aside(talk, _say(talk, _THANKS), speak(pick(WELCOME, rng), {}, rng))


def ask_back(talk: Talk, satisfied: bool) -> str | None:
    """Let the assistant ask whether it served; gives the answer, None where it did not ask or the user stays silent.

    Who is annoyed answers more often, so that answers are missing, but not at random."""
    rng, user = talk.rng, talk.user
    about = len(talk.turns) - 1
    # Nobody asks for an opinion on a question.
    if talk.turns[about].response.endswith("?") or rng.random() >= talk.options.asked:
        return None
    question = write(pick(ASK_BACK, rng), {}, rng)
    talk.turns[about] = replace(talk.turns[about], response=f"{talk.turns[about].response} {question}")
    readiness = 0.3 + 0.4 * user.openness + 0.4 * talk.annoyance + (0.0 if satisfied else 0.25)
    if rng.random() >= readiness * talk.options.reactions:
        return None
    said = satisfied if rng.random() >= 0.04 else not satisfied
    word = "yes" if said else "no"
    feedback = Feedback(kind="answer", answer=word, about=about, question=question)
    if user.device in ("phone", "display") and rng.random() < 0.5:
        mark(talk, feedback)
    else:
        response = speak(pick(GLAD if said else SORRY, rng), {}, rng)
        aside(talk, _say(talk, _YES if said else _NO), response, feedback)
    return word


def _say(talk: Talk, templates: tuple[Template, ...]) -> str:
    return talk.setting.speech.written(write(pick(templates, talk.rng), {}, talk.rng))


def interrupt(talk: Talk) -> None:
    """Barge in on a wrong response, or put up with it; whoever is annoyed does so more often."""
    readiness = (0.15 + 0.5 * talk.user.openness) * (0.4 + talk.annoyance)
    if talk.rng.random() < readiness * talk.options.reactions:
        mark(talk, Feedback(kind="barge_in"))


def give_up(talk: Talk, goal: Goal) -> None:
    """Drop the goal: with a word, by a button, by leaving, or just like that."""
    rng = talk.rng
    goal.steps.clear()
    goal.dropped = True
    kind = rng.random() / talk.options.reactions if talk.options.reactions else 1.0
    if kind < 0.12 + 0.25 * talk.user.openness:
        _say_stop(talk, goal)
    elif kind < 0.5 and talk.user.device in ("phone", "display", "watch"):
        mark(talk, Feedback(kind="stop"))
    elif kind < 0.65:
        mark(talk, Feedback(kind="disconnect"))
        talk.left = True
    if rng.random() < 0.35 * talk.annoyance:
        talk.left = True


def _say_stop(talk: Talk, goal: Goal) -> None:
    rng = talk.rng
    phrase = wording.request(Step((GIVING_UP,), (), {}, "full"), talk.user, rng)
    goal.turns.append(len(talk.turns))
    confidence = round(rng.betavariate(11.0, 1.6), 3)
    turn = Turn(
        request=talk.setting.speech.written(phrase.text()),
        response=done(GIVING_UP, {}, rng),
        domain="system",
        status="answered",
        asr_confidence=round(rng.betavariate(14.0, 1.4), 3),
        nlu_confidence=confidence,
        hypothesis=Hypothesis(intents=(HypothesisIntent(name=GIVING_UP, confidence=confidence),)),
    )
    keep(talk, turn, TurnTruth((GIVING_UP,), (), 4, talk.annoyance), round(0.3 + rng.expovariate(2.0), 2))


def rate(talk: Talk) -> None:
    """Rate the dialogue now and then; those who are annoyed, or who were served without a fault, do so more often."""
    rng = talk.rng
    readiness = talk.options.rated * (0.4 + talk.user.openness) * (1.0 + 3.0 * talk.annoyance)
    if rng.random() < readiness * talk.options.reactions:
        drift = rng.random()
        shift = -1 if drift < 0.15 else 1 if drift > 0.85 else 0
        talk.rating = max(1, min(5, overall(talk) + shift))
