"""Arbitrary dialogues, with everything that a record can hold; in the order in which records are read back."""

from hypothesis import strategies as st

from labelgen.data.dialogue import (
    Audio,
    Category,
    Dialogue,
    Feedback,
    Hypothesis,
    HypothesisIntent,
    HypothesisSlot,
    Number,
    Recognition,
    Signal,
    Step,
    Turn,
)
from labelgen.data.labels import (
    QUALITY_NAMES,
    Abstained,
    Annotation,
    At,
    AtDialogue,
    AtGoal,
    AtSpan,
    AtTurn,
    Field,
    Label,
    NoLabel,
    Provenance,
    Rating,
    Target,
    Threshold,
    from_scale,
    quality_name,
)

WORDS = ("play", "the", "red", "lamp", "für", "音楽", "🎧", "é", "stop", "no")

texts = st.one_of(
    st.lists(st.sampled_from(WORDS), max_size=6).map(" ".join),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=12),
    st.sampled_from(["<script>alert('x')</script>", "\x1b[2J\r\u202e[red]"]),
)
names = st.sampled_from(["PlayMusic", "SetTimer", "song", "Größe", "a.b"])
probabilities = st.floats(0, 1)
numbers = st.floats(-1e6, 1e6)


def maybe(strategy: st.SearchStrategy) -> st.SearchStrategy:
    return st.one_of(st.none(), strategy)


def few(strategy: st.SearchStrategy, most: int = 2) -> st.SearchStrategy:
    return st.lists(strategy, max_size=most).map(tuple)


@st.composite
def spans(draw: st.DrawFn, length: int) -> tuple[int, int]:
    start = draw(st.integers(0, length - 1))
    return start, draw(st.integers(start + 1, length))


@st.composite
def hypotheses(draw: st.DrawFn, request: str) -> Hypothesis:
    intents = draw(few(st.builds(HypothesisIntent, name=names, confidence=maybe(probabilities))))
    slots = []
    for _ in range(draw(st.integers(0, 2)) if request else 0):
        start, end = draw(spans(len(request)))
        value, confidence = draw(maybe(texts)), draw(maybe(probabilities))
        slots.append(HypothesisSlot(name=draw(names), start=start, end=end, value=value, confidence=confidence))
    return Hypothesis(intents=intents, slots=tuple(slots))


@st.composite
def feedbacks(draw: st.DrawFn, turns: int) -> Feedback:
    kind = draw(st.sampled_from(["answer", "rating", "questionnaire", "barge_in", "stop", "disconnect", "edit"]))
    return Feedback(
        kind=kind,
        answer=draw(st.sampled_from(["yes", "no"])) if kind == "answer" else None,
        about=draw(maybe(st.integers(0, turns - 1))) if turns else None,
        question=draw(maybe(texts)),
        rating=draw(st.integers(1, 5).map(float)) if kind == "rating" else None,
        scale=(1.0, 5.0) if kind == "rating" else None,
        text=draw(st.none() | texts),
    )


steps = st.builds(
    Step,
    kind=st.sampled_from(["tool", "recognition", "result"]),
    name=maybe(names),
    arguments=maybe(st.sampled_from(['{"place":"Ely"}', '"steps":[],'])),
    result=maybe(texts),
    error=maybe(texts),
    latency_s=maybe(st.floats(0, 60)),
    confidence=maybe(probabilities),
)


@st.composite
def plain_turns(draw: st.DrawFn, turns: int) -> Turn:
    request = draw(texts)
    audio = st.builds(
        Audio,
        path=st.sampled_from(["a.wav", "calls/7.wav"]),
        start_s=maybe(st.floats(0, 9)),
        end_s=maybe(st.floats(10, 19)),
        channel=maybe(st.integers(0, 1)),
    )
    return Turn(
        request=request,
        response=draw(texts),
        time_s=draw(maybe(st.floats(0, 1e4))),
        response_time_s=draw(maybe(st.floats(0, 1e4))),
        domain=draw(maybe(st.sampled_from(["music", "weather"]))),
        status=draw(maybe(st.sampled_from(["answered", "failed"]))),
        asr_confidence=draw(maybe(probabilities)),
        nlu_confidence=draw(maybe(probabilities)),
        categories=draw(few(st.builds(Category, name=names, value=texts))),
        numbers=draw(few(st.builds(Number, name=names, value=numbers))),
        hypothesis=draw(maybe(hypotheses(request))),
        nbest=draw(few(st.builds(Recognition, text=texts, score=maybe(numbers)))),
        audio=draw(maybe(audio)),
        feedback=draw(few(feedbacks(turns))),
        steps=draw(few(steps)),
        extra=draw(maybe(st.just('{"k":1}'))),
    )


@st.composite
def goal_sets(draw: st.DrawFn, turns: int) -> tuple[tuple[int, ...], ...]:
    """Goals of some turns, in the order of their first turns; they share none, and may interleave."""
    serves = [draw(st.integers(-1, 2)) for _ in range(turns)]
    goals = [tuple(t for t, goal in enumerate(serves) if goal == g) for g in range(3)]
    return tuple(sorted(goal for goal in goals if goal))


@st.composite
def quality_labels(draw: st.DrawFn, at: At) -> Label:
    given = None
    rating = draw(st.floats(1, 5))
    if draw(st.booleans()):
        scale = draw(st.sampled_from([(1.0, 5.0), (0.0, 10.0), (3.0, -3.0)]))
        given = Rating(draw(st.floats(min(scale), max(scale))), scale)
        rating = from_scale(given.rating, given.scale)
    if draw(st.booleans()):
        return Label("quality", at, quality_name(rating), value=rating, given=given)
    distribution = tuple((name, draw(probabilities)) for name in ("bad", "fair", "good"))
    best = max(distribution, key=lambda pair: pair[1])
    return Label("quality", at, best[0], best[1], rating, distribution, given)


@st.composite
def outcome_labels(draw: st.DrawFn, at: At) -> Label:
    name = draw(st.sampled_from(["success", "failure"]))
    if draw(st.booleans()):
        return Label("outcome", at, name)
    distribution = tuple((n, draw(probabilities)) for n in ("success", "failure"))
    return Label("outcome", at, name, dict(distribution)[name], None, distribution)


@st.composite
def annotations(draw: st.DrawFn, turns: tuple[Turn, ...], annotator: str, kind: str) -> Annotation:
    def no_label(task: str, at: At) -> NoLabel:
        return NoLabel(task, at, draw(maybe(probabilities)))

    labels: list[Label] = []
    none: list[NoLabel] = []
    covered = None
    if draw(st.booleans()):
        goals = draw(goal_sets(len(turns)))
        served = {turn for goal in goals for turn in goal}
        if draw(st.booleans()):
            covered = tuple(t for t in range(len(turns)) if t in served or draw(st.booleans()))
        for goal in goals:
            labels.append(Label("goals", AtGoal(goal), "goal", draw(maybe(probabilities))))
            match draw(st.sampled_from(["told", "unknown", "left"])):
                case "told":
                    labels.append(draw(outcome_labels(AtGoal(goal))))
                case "unknown":
                    none.append(no_label("outcome", AtGoal(goal)))
        if not goals:
            none.append(no_label("goals", AtDialogue()))
    if draw(st.booleans()):
        labels.append(draw(quality_labels(AtDialogue())))
    for t, turn in enumerate(turns):
        if draw(st.booleans()):
            labels.append(draw(quality_labels(AtTurn(t))))
        if draw(st.booleans()):
            intents = [Label("intents", AtTurn(t), name, draw(maybe(probabilities))) for name in draw(few(names))]
            labels += intents
            none += [] if intents else [no_label("intents", AtTurn(t))]
        if draw(st.booleans()):
            slots = []
            for _ in range(draw(st.integers(0, 2)) if turn.request else 0):
                start, end = draw(spans(len(turn.request)))
                value = draw(maybe(texts))
                origin = draw(st.sampled_from([None, "", "number", "catalogue"]))
                at_span = AtSpan(t, start, end)
                slots.append(Label("slots", at_span, draw(names), draw(maybe(probabilities)), value, origin=origin))
            labels += slots
            none += [] if slots else [no_label("slots", AtTurn(t))]
        if draw(st.booleans()):
            labels_of_others = few(st.tuples(names, maybe(probabilities), maybe(texts)), 1)
            own = [
                Label(
                    "another_task", AtTurn(t), name, probability, value, origin=draw(st.sampled_from([None, "nbest"]))
                )
                for name, probability, value in draw(labels_of_others)
            ]
            labels += own
            none += [] if own else [no_label("another_task", AtTurn(t))]
    order = ("goals", "outcome", "quality", "intents", "slots")
    labels.sort(key=lambda label: label.task not in order)
    none.sort(key=lambda answer: answer.task not in order)
    return Annotation(
        annotator=annotator,
        kind=kind,
        labels=tuple(labels),
        none=tuple(none),
        abstained=tuple(draw(abstentions(turns))),
        provenance=draw(maybe(provenances)),
        price=draw(maybe(st.floats(0, 9))),
        covered_turns=covered,
    )


provenances = st.builds(
    Provenance,
    model_digest=st.just("0" * 64),
    version=maybe(st.just("0.1.0")),
    threads=maybe(st.integers(1, 8)),
    processor=maybe(names),
    online=maybe(st.booleans()),
    domains_from=maybe(names),
    thresholds=few(st.builds(Threshold, task=names, probability=probabilities)),
)


@st.composite
def abstentions(draw: st.DrawFn, turns: tuple[Turn, ...]) -> list[Abstained]:
    found = []
    if draw(st.booleans()):
        goals = draw(goal_sets(len(turns)))
        best = tuple(Label("goals", AtGoal(goal), "goal", draw(probabilities)) for goal in goals)
        found.append(Abstained(Field("goals", AtDialogue()), best))
        found += [Abstained(Field("outcome", AtGoal(goal)), ()) for goal in goals]
    for t, turn in enumerate(turns):
        if turn.request and draw(st.booleans()):
            best = (Label("slots", AtSpan(t, *draw(spans(len(turn.request)))), draw(names), draw(probabilities)),)
            found.append(Abstained(Field("slots", AtTurn(t)), best))
            found.append(Abstained(Field("intents", AtTurn(t)), (Label("intents", AtTurn(t), draw(names), 0.25),)))
    return found


@st.composite
def places(draw: st.DrawFn, turns: tuple[Turn, ...]) -> At:
    if not turns or draw(st.booleans()):
        return AtDialogue()
    t = draw(st.integers(0, len(turns) - 1))
    kinds: list[At] = [AtTurn(t), AtGoal(tuple(range(t + 1)))]
    if turns[t].request:
        kinds.append(AtSpan(t, *draw(spans(len(turns[t].request)))))
    return draw(st.sampled_from(kinds))


@st.composite
def targets(draw: st.DrawFn, turns: tuple[Turn, ...]) -> Target:
    distribution = complement = None
    if draw(st.booleans()):
        distribution = draw(few(st.tuples(names, probabilities)))
    else:
        complement = draw(few(names))
    task = draw(st.sampled_from(["intents", "slots", "outcome", "another_task"]))
    weight, origin, complete = draw(probabilities), draw(texts), draw(st.booleans())
    return Target(task, draw(places(turns)), distribution, complement, weight, origin, complete)


@st.composite
def signals(draw: st.DrawFn, turns: int) -> Signal:
    some = st.lists(st.integers(0, turns - 1), unique=True).map(lambda found: tuple(sorted(found)))
    return Signal(
        kind=draw(st.sampled_from(["answer", "rephrase"])),
        turns=draw(some) if turns else (),
        vote=draw(st.sampled_from(QUALITY_NAMES)),
        strength=draw(probabilities),
        explicit=draw(st.booleans()),
        evidence=draw(some) if turns else (),
    )


@st.composite
def dialogues(draw: st.DrawFn, max_turns: int = 3) -> Dialogue:
    count = draw(st.integers(0, max_turns))
    turns = tuple(draw(plain_turns(count)) for _ in range(count))
    annotators = draw(st.lists(st.sampled_from([("anna", "person"), ("model", "model")]), unique=True, max_size=2))
    return Dialogue(
        id=draw(st.text("abc019-/", min_size=1, max_size=8)),
        turns=turns,
        user=draw(maybe(st.sampled_from(["u1", "u2"]))),
        start=draw(maybe(st.just("2026-03-01T08:00:00Z"))),
        locale=draw(maybe(st.just("en-US"))),
        device=draw(maybe(st.sampled_from(["speaker", "phone"]))),
        source=draw(maybe(st.just("toy"))),
        feedback=draw(few(feedbacks(count))),
        annotations=tuple(draw(annotations(turns, *annotator)) for annotator in annotators),
        signals=draw(few(signals(count))),
        targets=draw(few(targets(turns), 3)),
        extra=draw(maybe(st.just('{"task":"x"}'))),
    )
