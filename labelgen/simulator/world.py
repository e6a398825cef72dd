"""Options of the simulation."""

from dataclasses import dataclass
from typing import Annotated, Literal

from labelgen.base.options import Count, Range, Rate, Share


@dataclass(frozen=True, slots=True, kw_only=True)
class WorldOptions:
    """Options of the simulation. Rates are probabilities in 0..1. `annotated`, `carelessness`, `strictness`, `transcribed` and
    `causes` do not change the dialogues themselves."""

    users: Count = 600
    """number of different users; each dialogue draws one"""
    wake_missed: Rate = 0.015
    """rate at which the microphone opens late, so that the first words of a request are lost"""
    misheard: Rate = 0.13
    """rate of requests with one or two recognition errors; scaled by the user's accent and the noise"""
    intent_errors: Rate = 0.06
    """rate of wrong intents; higher for misheard and for elliptical requests"""
    slot_errors: Rate = 0.06
    """rate of slots that are missed, or get a wrong name or border"""
    entity_errors: Rate = 0.07
    """rate of wrong entities, such as another song, for slots that were understood"""
    result_errors: Rate = 0.03
    """rate of service failures that the assistant reports"""
    silent_errors: Rate = 0.02
    """rate of requests that the assistant claims to have done but did not"""
    noticed: Rate = 0.92
    """probability that the user notices a wrong response"""
    reactions: Rate = 1.0
    """factor on the rate of logged reactions (barge-in, stop, rating, answer); 0 for none"""
    false_wakes: Rate = 0.0
    """rate of words between people that wake the assistant before a request; each is a goal of nobody, and fails"""
    out_of_scope: Rate = 0.0
    """rate of requests, before one of a goal, for something that the assistant cannot do; each is a goal, and fails"""
    blind_spots: Rate = 0.0
    """rate of wordings, with any values of slots, that the assistant of this log always takes for another intent"""
    asked: Rate = 0.12
    """rate at which the assistant asks for feedback after a response"""
    rated: Rate = 0.1
    """rate of dialogue ratings; up to four times as high for annoyed users"""
    annotated: Share = 1.0
    """share of the dialogues that the four annotators label"""
    carelessness: Rate = 0.5
    """error rates of the annotators, from none (0) to twice the usual ones (1)"""
    strictness: Annotated[float, Range(-1, 1)] = 0.0
    """share of the annotators' ratings that are one step lower than usual; below 0, one step higher"""
    transcribed: Share = 0.0
    """share of the dialogues whose truth has the words that were spoken, as labels of the task transcription"""
    causes: Share = 0.0
    """share of the dialogues whose truth and annotators have labels of the task cause: where each failed goal began to fail"""
    steps: bool = False
    """log of the assistant's steps: wake word, lookups with their words, results and confidences, execution"""
    agent: bool = False
    """log of an agent: users type, a turn's steps are calls of tools, and there are no confidences, hypotheses and statuses"""
    missing: Rate = 0.0
    """rate at which a confidence, the hypothesis, the n-best texts, the status or a step of a turn, or the result of an agent's call, is
    missing in the log"""
    phrases: Literal["all", "even", "odd"] = "all"
    """phrases that people and the assistant use: all, or every other one, so that two logs share few of them"""
