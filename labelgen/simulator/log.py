"""The simulated log: dialogues of a voice assistant whose truth is known.

Each dialogue is a pure function of the log's seed, its own index and the options, so a log can be made in parts, a
longer log begins with the shorter one, and the same seed gives the same bytes.

It is that of a world with a language of its own, or of one grown from an annotated corpus (world/corpus).

What is realistic: the assistant is a pipeline (wake word, recognition, understanding, finding, doing) that fails at
each stage at set rates and answers by what it believes; its confidences tell something of its mistakes but not all;
users come back with habits and moods, interleave goals, leave words out that context holds, correct, rephrase,
complain, give up, thank; reactions are rare and biased, since whoever is annoyed reacts more; an outcome can be known
to the user alone. Grown from a corpus: what is asked and answered, and how, is what people wrote.

What is not: the own language is a small grammar with sixteen intents and twelve slots; mistakes of the recognizer are
drawn from words that look or sound alike, not from sound; users never change their mind, lie in other ways than a
mistaken yes, or talk to someone else; a goal stays within one domain; annotators err at random. Grown from a corpus: what
the corpus's assistant answered counts as right; a mistake shows in one response at most, and later ones go on as if it
had not happened; a rephrased request may differ in what no slot marks. Success here alone proves nothing about real
logs.

What the labels mean is written in docs/explanation/simulation.md."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from random import Random

from labelgen.data.dialogue import Audio, Dialogue, Feedback
from labelgen.data.label_set import LabelName, Sources
from labelgen.data.labels import Annotation
from labelgen.simulator.conversation import converse
from labelgen.simulator.corpus.grown import GrownWorld, source_of
from labelgen.simulator.faults import causes, with_faults
from labelgen.simulator.marks import Marks, TurnMarks, annotate
from labelgen.simulator.meaning import INTENTS, SLOTS
from labelgen.simulator.options import WorldOptions
from labelgen.simulator.people import PEOPLE, PRICE_PER_TURN, look
from labelgen.simulator.sound import Voice, segments
from labelgen.simulator.talk import Talk, overall
from labelgen.simulator.user import User, user_of

SOURCE = "simulated"
TRUTH = "truth"
_FIRST_DAY = datetime(2026, 1, 1, tzinfo=UTC)
_APART_S = 97


@dataclass(frozen=True, slots=True)
class Scene:
    """A dialogue, and the voice that its sound is made of; None for a dialogue without sound."""

    dialogue: Dialogue
    voice: Voice | None


def simulate(
    dialogues: int, seed: int, options: WorldOptions | None = None, grown: GrownWorld | None = None
) -> Iterator[Dialogue]:
    """The first `dialogues` dialogues of the log with that seed. grown: the world that it is drawn from, else the one with
    a language of its own."""
    for index in range(dialogues):
        yield scene(seed, index, options, grown).dialogue


def labels() -> Sources:
    """Names and descriptions of the intents and slots of the world with a language of its own."""
    return {
        SOURCE: {
            "intents": tuple(LabelName(name, INTENTS[name]) for name in sorted(INTENTS)),
            "slots": tuple(LabelName(name, SLOTS[name]) for name in sorted(SLOTS)),
        }
    }


def scene(seed: int, index: int, options: WorldOptions | None = None, grown: GrownWorld | None = None) -> Scene:
    """Dialogue `index`, from 0, of the log with that seed."""
    options = options or WorldOptions()
    rng = Random(f"dialogue/{seed}/{index}")
    source, origin = SOURCE, None
    locale: str | None = "en-US"
    if grown is None:
        who = _user(seed, int(rng.random() * options.users))
        talk = converse(who, options, rng)
    else:
        script = grown.script(seed, index)
        source, locale, origin = source_of(script.source), script.locale, script.id
        who = _user(seed, grown.user(seed, script, options.users, rng))
        talk = grown.retell(script, who, options, rng)
    start = _FIRST_DAY + timedelta(seconds=_APART_S * index + int(rng.random() * _APART_S))
    identity = f"sim-{seed}-{index:06d}"
    marks = _truth(talk)
    feedback: tuple[Feedback, ...] = ()
    if talk.rating is not None:
        feedback = (Feedback(kind="rating", rating=float(talk.rating), scale=(1.0, 5.0)),)
    dialogue = Dialogue(
        id=identity,
        turns=with_faults(talk),
        user=who.id,
        start=start.strftime("%Y-%m-%dT%H:%M:%SZ"),
        locale=locale,
        device=who.device,
        source=source,
        feedback=feedback,
        annotations=(
            annotate(marks, TRUTH, "truth"),
            *_people(marks, dialogue_key=f"{seed}/{index}", talk=talk, options=options),
        ),
        extra=causes(talk, origin),
    )
    return _with_sound(dialogue, talk, options, seed, index)


@lru_cache(maxsize=4096)
def _user(seed: int, number: int) -> User:
    return user_of(seed, number)


def _truth(talk: Talk) -> Marks:
    goals = sorted((tuple(goal.turns), goal.outcome()) for goal in talk.goals)
    turns = tuple(TurnMarks(truth.intents, truth.slots, truth.quality) for truth in talk.truths)
    return Marks(tuple(goals), overall(talk), turns)


def _people(marks: Marks, dialogue_key: str, talk: Talk, options: WorldOptions) -> tuple[Annotation, ...]:
    # Own random numbers: who annotates what must not change the dialogues.
    rng = Random(f"people/{dialogue_key}")
    if rng.random() >= options.annotated:
        return ()
    requests = [turn.request for turn in talk.turns]
    price = round(PRICE_PER_TURN * len(requests), 2)
    return tuple(
        annotate(
            look(person, marks, requests, talk.setting.meanings, options.carelessness, rng),
            person.name,
            "person",
            price,
        )
        for person in PEOPLE
    )


def _with_sound(dialogue: Dialogue, talk: Talk, options: WorldOptions, seed: int, index: int) -> Scene:
    if Random(f"sound/{seed}/{index}").random() >= options.sound:
        return Scene(dialogue, None)
    annoyance = tuple(truth.annoyance for truth in talk.truths)
    voice = Voice(talk.user.pitch_hz, annoyance, segments([turn.request for turn in dialogue.turns], annoyance))
    path = f"sound/{dialogue.id}.wav"
    turns = tuple(
        replace(turn, audio=Audio(path=path, start_s=start, end_s=end, channel=0))
        for turn, (start, end) in zip(dialogue.turns, voice.segments, strict=True)
    )
    return Scene(replace(dialogue, turns=turns), voice)
