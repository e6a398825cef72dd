"""One dialogue of the simulated world: a user pursues goals, an assistant with faults serves them or does not."""

from random import Random

from labelgen.data.dialogue import Turn
from labelgen.simulator import skills, wording
from labelgen.simulator.assistant import Reply, answer
from labelgen.simulator.goals import DOMAINS, Goal, Step, plan
from labelgen.simulator.grammar import Phrase
from labelgen.simulator.meaning import OWN
from labelgen.simulator.options import WorldOptions
from labelgen.simulator.reactions import ask_back, give_up, interrupt, please, rate
from labelgen.simulator.recognizer import OWN_EARS, hear
from labelgen.simulator.setting import Setting
from labelgen.simulator.talk import Talk, TurnTruth, keep
from labelgen.simulator.user import User

_AGAIN = ("music", "timers", "weather")
"""Domains in which a second goal cannot be taken for more of the first."""


_OWN = Setting(OWN, OWN_EARS, wording, skills)


def open_talk(user: User, setting: Setting, options: WorldOptions, rng: Random) -> Talk:
    """A dialogue before its first word: the room, and the mood that the user comes in."""
    return Talk(
        user=user,
        setting=setting,
        options=options,
        rng=rng,
        noise=rng.uniform(0.6, 1.5) if user.device != "car" else rng.uniform(1.0, 2.0),
        volume=round(rng.uniform(0.1, 0.9), 2),
        annoyance=rng.betavariate(1.2, 8.0),
    )


def converse(user: User, options: WorldOptions, rng: Random) -> Talk:
    """Let the user talk until all goals are reached or given up."""
    talk = open_talk(user, _OWN, options, rng)
    waiting = _wishes(user, rng)
    current: Goal | None = None
    while waiting and not talk.left:
        others = [goal for goal in waiting if goal is not current and not _blocked(goal, waiting)]
        leave = current is None or not current.steps or (current.steps[0].manner == "full" and rng.random() < 0.75)
        if leave and others:
            current = others[int(rng.random() * len(others))]
            talk.clock_s += rng.expovariate(0.15)
        assert current is not None
        if current not in talk.goals:
            talk.goals.append(current)
        pursue(talk, current, current.steps.pop(0))
        waiting = [goal for goal in waiting if goal.steps]
    rate(talk)
    return talk


def _wishes(user: User, rng: Random) -> list[Goal]:
    count = 1 + (rng.random() < 0.65) + (rng.random() < 0.33)
    weights = list(user.domains)
    chosen: list[str] = []
    for _ in range(count):
        again = [domain for domain in chosen if domain in _AGAIN]
        if again and rng.random() < 0.2:
            chosen.append(again[0])
            continue
        k = rng.choices(range(len(DOMAINS)), weights)[0]
        weights[k] = 0.0
        chosen.append(DOMAINS[k])
    return [plan(domain, user, rng) for domain in chosen]


def _blocked(goal: Goal, waiting: list[Goal]) -> bool:
    # Two goals of one domain are pursued one after the other: nobody could tell "next song" of one from the other's.
    first = next(other for other in waiting if other.domain == goal.domain)
    return first is not goal


def pursue(talk: Talk, goal: Goal, step: Step) -> None:
    """Ask for one step until it is served, given up, or wrong without the user noticing."""
    rng, user, speech = talk.rng, talk.user, talk.setting.speech
    spoken, phrase = step, speech.request(step, user, rng)
    tries = 0
    broken_at: int | None = None
    while True:
        reply = _exchange(talk, goal, spoken, phrase)
        if reply.mistake is None and reply.asks is None:
            please(talk, goal)
            return
        if reply.mistake is not None and broken_at is None:
            broken_at = len(talk.turns) - 1
        if reply.asks is not None:
            talk.annoyance = min(1.0, talk.annoyance + (0.12 if reply.mistake else 0.0))
            if rng.random() < 0.06 or tries > 3:
                goal.fail(broken_at)
                give_up(talk, goal)
                return
            tries += 1
            spoken, phrase = speech.answer_to(step, reply.asks, step.frame.get(reply.asks, user.home_room), rng)
            continue
        told = ask_back(talk, satisfied=reply.served) if reply.status == "answered" else None
        if reply.served:
            return
        if told == "yes":
            goal.fail(broken_at)
            return
        hidden = reply.mistake == "silent" or reply.text == step.response
        if told is None and rng.random() >= (0.8 if hidden else 1.0) * talk.options.noticed:
            goal.fail(broken_at)
            return
        tries += 1
        talk.annoyance = min(1.0, talk.annoyance + 0.12 + 0.25 * (1.0 - user.patience))
        if told is None:
            interrupt(talk)
        if rng.random() > 0.58 + 0.4 * user.patience - 0.2 * tries:
            goal.fail(broken_at)
            give_up(talk, goal)
            return
        spoken, phrase = _once_more(talk, step, spoken, phrase, reply)


def _once_more(talk: Talk, step: Step, spoken: Step, phrase: Phrase, reply: Reply) -> tuple[Step, Phrase]:
    """Correct one slot, repeat, or say it in other words."""
    rng, speech = talk.rng, talk.setting.speech
    if reply.wrong is not None and rng.random() < 0.6:
        return speech.correction(spoken, reply.wrong, rng)
    if reply.status in ("no_match", "error") and rng.random() < 0.4:
        return spoken, phrase
    again = speech.again(step, talk.user, rng)
    if reply.status == "answered" and rng.random() < 0.3 + 0.5 * talk.annoyance:
        again = speech.complaint(again, reply.mistake == "silent", rng)
    return step, again


def _exchange(talk: Talk, goal: Goal, step: Step, phrase: Phrase) -> Reply:
    setting, options, rng = talk.setting, talk.options, talk.rng
    heard = hear(phrase, talk.user, talk.noise, setting.ears, options, rng)
    reply = answer(step, heard, talk.user, setting, options, rng)
    spans = heard.phrase.spans()
    truth = TurnTruth(
        intents=step.intents,
        slots=tuple((name, *spans[k], step.value(k)) for k, (name, _) in enumerate(step.said) if k in spans),
        quality=reply.quality,
        annoyance=talk.annoyance,
        faults=heard.faults + reply.faults,
    )
    goal.turns.append(len(talk.turns))
    turn = Turn(
        request=heard.phrase.text(),
        response=reply.text,
        domain=reply.domain,
        status=reply.status,
        asr_confidence=heard.confidence,
        nlu_confidence=reply.nlu_confidence,
        hypothesis=reply.hypothesis,
        nbest=heard.nbest,
    )
    keep(talk, turn, truth, reply.delay_s)
    return reply
