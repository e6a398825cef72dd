"""Simulated conversation: users pursue goals, an assistant with faults answers, and users react.

Users react with thanks, answers to feedback questions, barge-ins, corrections, giving up, a rating, or silence."""

import dataclasses
from dataclasses import dataclass, field
from random import Random

from msgspec.structs import replace

from labelgen.data.dialogue import Category, Feedback, Hypothesis, HypothesisIntent, Number, Step, Turn
from labelgen.simulator import language
from labelgen.simulator.assistant import HeardRequest, Reply, answer, answer_to_nothing, hear
from labelgen.simulator.language import ASSISTANT, respond, speak
from labelgen.simulator.users import DOMAINS, GoalStep, User, UserGoal, plan
from labelgen.simulator.vocabulary import GIVING_UP, Phrase, pick, plain, write
from labelgen.simulator.world import WorldOptions

_SCREEN = (Category(name="screen", value="no"), Category(name="screen", value="yes"))
_WOKEN = {by: Category(name="woken_by", value=by) for by in ("button", "word")}


@dataclass(frozen=True, slots=True)
class TurnTruth:
    """Ground truth of one turn. slots: (name, start, end, intended words). quality: 1..5, None if the user asked for nothing.
    faults: stages of the assistant that failed (`log.STAGES`), in order. spoken: the
    words of the user where they may differ from those recognized. stage: the name of the task cause if the failure of a goal begins here,
    and step: the first wrong one, in words."""

    intents: tuple[str, ...]
    slots: tuple[tuple[str, int, int, str], ...]
    quality: int | None
    faults: tuple[str, ...] = ()
    spoken: str | None = None
    stage: str | None = None
    step: str | None = None


@dataclass(slots=True)
class Talk:
    """State of a dialogue: the logged turns, their ground truth, the goals, and the user's mood. left: the user ended it. recovered: turns
    with a mistake that was repaired. repeats: of each turn whose request repeats one, whole and in any words, the last such turn."""

    user: User
    options: WorldOptions
    rng: Random
    noise: float
    volume: float
    goals: list[UserGoal] = field(default_factory=list)
    turns: list[Turn] = field(default_factory=list)
    truths: list[TurnTruth] = field(default_factory=list)
    rating: int | None = None
    annoyance: float = 0.0
    clock_s: float = 0.0
    left: bool = False
    recovered: set[int] = field(default_factory=set)
    repeats: dict[int, int] = field(default_factory=dict)


def keep(talk: Talk, turn: Turn, truth: TurnTruth, delay_s: float) -> None:
    """Add a turn to the log, with times and device features."""
    user, rng = talk.user, talk.rng
    asked_s = round(talk.clock_s, 2)
    answered_s = round(asked_s + 0.5 + 0.05 * len(turn.request) + delay_s, 2)
    talk.clock_s = answered_s + 0.05 * len(turn.response) + rng.expovariate(0.7)
    screen = user.device in ("phone", "display", "watch")
    woken = "button" if screen and rng.random() < 0.5 else "word"
    if talk.options.steps and turn.request:
        heard = Step(
            kind="wake", confidence=round(rng.betavariate(*(2.5, 3.0) if truth.stage == "wake" else (9.0, 2.0)), 3)
        )
        turn = replace(turn, steps=(heard, *turn.steps))
    kept = replace(
        turn,
        time_s=asked_s,
        response_time_s=answered_s,
        categories=(_SCREEN[screen], _WOKEN[woken]),
        numbers=(
            Number(name="volume", value=talk.volume),
            Number(name="noise_db", value=round(34.0 + 16.0 * talk.noise + rng.uniform(-3.0, 3.0), 1)),
        ),
    )
    talk.turns.append(kept)
    talk.truths.append(truth)


def aside(talk: Talk, request: str, response: str, feedback: Feedback | None = None) -> None:
    """Add a turn without an intent or goal, such as thanks."""
    rng = talk.rng
    asr_confidence = round(rng.betavariate(14.0, 1.4), 3)
    turn = Turn(
        request=request,
        response=response,
        domain="system",
        status="answered",
        asr_confidence=asr_confidence if request else None,
        nlu_confidence=round(rng.betavariate(11.0, 1.6), 3),
        hypothesis=Hypothesis(),
        feedback=() if feedback is None else (feedback,),
    )
    keep(talk, turn, TurnTruth((), (), None), round(0.3 + rng.expovariate(2.0), 2))


def mark(talk: Talk, feedback: Feedback) -> None:
    """Add feedback to the last turn."""
    last = talk.turns[-1]
    talk.turns[-1] = replace(last, feedback=(*last.feedback, feedback))


def overall(talk: Talk) -> int:
    """Quality of the whole dialogue, 1..5: the mean of turn quality and goal success."""
    rated = [truth.quality for truth in talk.truths if truth.quality is not None]
    reached = sum(not goal.failed for goal in talk.goals) / len(talk.goals)
    return round(0.5 * sum(rated) / len(rated) + 0.5 * (1.0 + 4.0 * reached))


def please(talk: Talk, goal: UserGoal) -> None:
    """Reaction to a correct response: less annoyance, and sometimes a confirmation, thanks or a hasty barge-in."""
    rng, user = talk.rng, talk.user
    talk.annoyance *= 0.6
    if ask_back(talk, satisfied=True) is not None:
        return
    if rng.random() < 0.03 * talk.options.reactions:
        mark(talk, Feedback(kind="barge_in"))
    if not goal.steps and rng.random() < 0.3 * user.manners * (1.0 - talk.annoyance):
        aside(talk, language.aside("thanks", rng), speak(ASSISTANT["welcome"], rng))


def ask_back(talk: Talk, satisfied: bool) -> str | None:
    """The assistant may ask for feedback. Returns the answer, or None without a question or an answer.

    Annoyed users answer more often, so answers are missing not at random."""
    rng, user = talk.rng, talk.user
    about = len(talk.turns) - 1
    # The assistant does not ask for feedback on its own question.
    if talk.turns[about].response.endswith("?") or rng.random() >= talk.options.asked:
        return None
    question = write(pick(ASSISTANT["ask_back"], rng), {}, rng)
    talk.turns[about] = replace(talk.turns[about], response=f"{talk.turns[about].response} {question}")
    readiness = 0.3 + 0.4 * user.openness + 0.4 * talk.annoyance + (0.0 if satisfied else 0.25)
    if rng.random() >= readiness * talk.options.reactions:
        return None
    is_yes = satisfied if rng.random() >= 0.04 else not satisfied
    word = "yes" if is_yes else "no"
    feedback = Feedback(kind="answer", answer=word, about=about, question=question)
    if user.device in ("phone", "display") and rng.random() < 0.5:
        mark(talk, feedback)
    else:
        response = speak(ASSISTANT["glad" if is_yes else "sorry"], rng)
        aside(talk, language.aside(word, rng), response, feedback)
    return word


def interrupt(talk: Talk) -> None:
    """Reaction to a wrong response: sometimes a barge-in, more often from annoyed users."""
    readiness = (0.15 + 0.5 * talk.user.openness) * (0.4 + talk.annoyance)
    if talk.rng.random() < readiness * talk.options.reactions:
        mark(talk, Feedback(kind="barge_in"))


def give_up(talk: Talk, goal: UserGoal) -> None:
    """Give up the goal: with words, by a button, by disconnecting, or silently."""
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


def _say_stop(talk: Talk, goal: UserGoal) -> None:
    rng = talk.rng
    phrase = language.request(GoalStep((GIVING_UP,), (), {}, "full"), talk.user, rng)
    goal.turns.append(len(talk.turns))
    confidence = round(rng.betavariate(11.0, 1.6), 3)
    turn = Turn(
        request=phrase.text(),
        response=respond(GIVING_UP, {}, rng),
        domain="system",
        status="answered",
        asr_confidence=round(rng.betavariate(14.0, 1.4), 3),
        nlu_confidence=confidence,
        hypothesis=Hypothesis(intents=(HypothesisIntent(name=GIVING_UP, confidence=confidence),)),
    )
    keep(talk, turn, TurnTruth((GIVING_UP,), (), 4), round(0.3 + rng.expovariate(2.0), 2))


def rate(talk: Talk) -> None:
    """The user may rate the dialogue; annoyed users do so more often."""
    rng = talk.rng
    readiness = talk.options.rated * (0.4 + talk.user.openness) * (1.0 + 3.0 * talk.annoyance)
    if rng.random() < readiness * talk.options.reactions:
        drift = rng.random()
        shift = -1 if drift < 0.15 else 1 if drift > 0.85 else 0
        talk.rating = max(1, min(5, overall(talk) + shift))


_AGAIN = ("music", "timers", "weather")
"""Domains in which a second goal cannot be confused with a continuation of the first."""


def converse(user: User, options: WorldOptions, rng: Random) -> Talk:
    """Simulate a dialogue until all goals are reached or given up."""
    talk = Talk(
        user=user,
        options=options,
        rng=rng,
        noise=rng.uniform(0.6, 1.5) if user.device != "car" else rng.uniform(1.0, 2.0),
        volume=round(rng.uniform(0.1, 0.9), 2),
        annoyance=rng.betavariate(1.2, 8.0),
    )
    waiting = _wishes(user, rng)
    current: UserGoal | None = None
    while waiting and not talk.left:
        if _disturb(talk):
            break
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


def _disturb(talk: Talk) -> bool:
    """Words between people may wake the assistant, and users may ask for what it cannot do. Returns whether the user left."""
    rng, options = talk.rng, talk.options
    if options.false_wakes and rng.random() < options.false_wakes:
        goal = _failed_goal(talk)
        phrase = plain(language.aside("between_people", rng))
        heard = hear(phrase, talk.user, talk.noise * 2.0, options, rng)
        heard = dataclasses.replace(heard, confidence=round(rng.betavariate(4.0, 4.0), 3))
        _log_exchange(
            talk, goal, GoalStep((), (), {}, "full"), phrase, heard, answer_to_nothing(False, talk.user, options, rng)
        )
        kind = rng.random()
        if kind < 0.3:
            _say_stop(talk, goal)
        elif kind < 0.5 * options.reactions:
            mark(talk, Feedback(kind="stop" if talk.user.device in ("phone", "display", "watch") else "barge_in"))
    if options.out_of_scope and rng.random() < options.out_of_scope:
        goal = _failed_goal(talk)
        phrase = plain(language.aside("out_of_scope", rng))
        for tries in range(3):
            if tries:
                talk.repeats[len(talk.turns)] = len(talk.turns) - 1
            heard = hear(phrase, talk.user, talk.noise, options, rng)
            reply = answer_to_nothing(True, talk.user, options, rng)
            _log_exchange(talk, goal, GoalStep((), (), {}, "full"), phrase, heard, reply)
            talk.annoyance = min(1.0, talk.annoyance + 0.12)
            if rng.random() > talk.user.patience * (0.35 if reply.status == "unsupported" else 0.8):
                break
            interrupt(talk)
        else:
            give_up(talk, goal)
    return talk.left


def _failed_goal(talk: Talk) -> UserGoal:
    """A goal that fails at the next turn."""
    goal = UserGoal("none", [], failed=True, broken_at=len(talk.turns))
    talk.goals.append(goal)
    return goal


def _wishes(user: User, rng: Random) -> list[UserGoal]:
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


def _blocked(goal: UserGoal, waiting: list[UserGoal]) -> bool:
    # Goals of one domain are pursued one after the other: nobody could tell which of them "next song" belongs to.
    first = next(other for other in waiting if other.domain == goal.domain)
    return first is not goal


def pursue(talk: Talk, goal: UserGoal, step: GoalStep) -> None:
    """Request one step until it is done, given up, or wrong without the user noticing."""
    rng, user = talk.rng, talk.user
    spoken, phrase = step, language.request(step, user, rng)
    tries = 0
    broken_at: int | None = None
    wrong: list[int] = []
    said: list[tuple[GoalStep, int]] = []
    while True:
        same = [turn for other, turn in said if other is spoken]
        if same:
            talk.repeats[len(talk.turns)] = same[-1]
        said.append((spoken, len(talk.turns)))
        reply = _exchange(talk, goal, spoken, phrase)
        if reply.mistake is None and reply.asks is None:
            talk.recovered.update(wrong)
            please(talk, goal)
            return
        if reply.mistake is not None and not reply.served:
            wrong.append(len(talk.turns) - 1)
        if reply.mistake is not None and broken_at is None:
            broken_at = len(talk.turns) - 1
        if reply.asks is not None:
            talk.annoyance = min(1.0, talk.annoyance + (0.12 if reply.mistake else 0.0))
            if rng.random() < 0.06 or tries > 3:
                goal.fail(broken_at)
                give_up(talk, goal)
                return
            tries += 1
            spoken, phrase = language.answer_to(step, reply.asks, step.frame.get(reply.asks, user.home_room), rng)
            continue
        reaction = ask_back(talk, satisfied=reply.served) if reply.status == "answered" else None
        if reply.served:
            talk.recovered.update(wrong)
            return
        if reaction == "yes":
            goal.fail(broken_at)
            return
        hidden = reply.mistake == "silent"
        if reaction is None and rng.random() >= (0.8 if hidden else 1.0) * talk.options.noticed:
            goal.fail(broken_at)
            return
        tries += 1
        talk.annoyance = min(1.0, talk.annoyance + 0.12 + 0.25 * (1.0 - user.patience))
        if reaction is None:
            interrupt(talk)
        if rng.random() > 0.58 + 0.4 * user.patience - 0.2 * tries:
            goal.fail(broken_at)
            give_up(talk, goal)
            return
        spoken, phrase = _once_more(talk, step, spoken, phrase, reply)


def _once_more(talk: Talk, step: GoalStep, spoken: GoalStep, phrase: Phrase, reply: Reply) -> tuple[GoalStep, Phrase]:
    """Correct one slot, repeat the request, or rephrase it."""
    rng = talk.rng
    if reply.wrong is not None and rng.random() < 0.6:
        return language.correction(spoken, reply.wrong, rng)
    if reply.status in ("no_match", "error") and rng.random() < 0.4:
        return spoken, phrase
    again = language.request(step, talk.user, rng)
    if reply.status == "answered" and rng.random() < 0.3 + 0.5 * talk.annoyance:
        again = language.complaint(again, reply.mistake == "silent", rng)
    return step, again


def _exchange(talk: Talk, goal: UserGoal, step: GoalStep, phrase: Phrase) -> Reply:
    heard = hear(phrase, talk.user, talk.noise, talk.options, talk.rng)
    reply = answer(step, heard, talk.user, talk.options, talk.rng)
    _log_exchange(talk, goal, step, phrase, heard, reply)
    return reply


def _log_exchange(
    talk: Talk, goal: UserGoal, step: GoalStep, phrase: Phrase, heard: HeardRequest, reply: Reply
) -> None:
    spans = heard.phrase.spans()
    truth = TurnTruth(
        intents=step.intents,
        slots=tuple((name, *spans[k], words) for k, (name, words) in enumerate(step.mentions) if k in spans),
        quality=reply.quality,
        faults=heard.faults + reply.faults,
        spoken=phrase.text(),
        stage=reply.stage or (None if step.intents else "out_of_scope"),
        step=reply.wrong_step,
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
        steps=reply.steps,
    )
    keep(talk, turn, truth, reply.delay_s)
