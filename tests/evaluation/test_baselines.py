"""Plain rivals: what they learn from, what they answer, and that they never see what they are judged on."""

from collections.abc import Sequence

import numpy as np
import pytest
from msgspec.structs import replace
from sklearn.feature_extraction.text import TfidfVectorizer

from benchmarks.rivals import AverageOfRivals, SurfaceTrees, WordsAndActions
from labelgen.data.dialogue import Dialogue, Turn
from labelgen.data.labels import Annotation, AtDialogue, AtGoal, AtSpan, AtTurn, Label, NoLabel, answers
from labelgen.data.log import write_log
from labelgen.evaluation import baselines as module
from labelgen.evaluation.baselines import ConstantPerSource, MajorityClass, Rule, fit_baselines
from labelgen.evaluation.classifiers import BagOfWords
from labelgen.evaluation.evaluate import prepare
from labelgen.metrics.results import Setting, SystemName
from labelgen.simulator.log import simulate
from labelgen.tasks.evaluation import EvaluationTask, tasks_of_units

NAMES = ("bad", "fair", "good")
(QUALITY,) = tasks_of_units("quality", ("turn",), ("macro_f1",), NAMES)
(WHOLE,) = tasks_of_units("quality", ("dialogue",), ("macro_f1",), NAMES)
(OUTCOME,) = tasks_of_units("outcome", ("goal",), ("macro_f1",), ("success", "failure"))
INTENTS = EvaluationTask("intents", ("intents",), ("turn",), ("intent_accuracy",))
SLOTS = EvaluationTask("slots", ("slots",), ("span",), ("slot_span_f1",))
GOALS = EvaluationTask("goals", ("goals",), ("goal",), ("exact_goal_f1",))
ALL = (QUALITY, OUTCOME, INTENTS, SLOTS, GOALS)
GOLD = Setting("gold", annotators=None, resamples=20)
BAG, CONSTANT, MAJORITY = BagOfWords.name, ConstantPerSource.name, MajorityClass.name


def rated(k: int, texts: Sequence[tuple[str, str]], names: Sequence[str], source: str = "a/x") -> Dialogue:
    turns = tuple(Turn(request=request, response=response) for request, response in texts)
    labels = tuple(Label("quality", AtTurn(t), name) for t, name in enumerate(names))
    return Dialogue(id=f"d{k}", turns=turns, source=source, annotations=(Annotation("gold", "truth", labels),))


def named(dialogue: Dialogue, annotator: str, task: str = "quality") -> dict[object, str]:
    annotation = dialogue.annotation(annotator)
    assert annotation is not None
    return {at: labels[0].name for at, labels in answers(annotation, task).items() if labels}


def shares(dialogue: Dialogue, annotator: str) -> dict[object, dict[str, float]]:
    annotation = dialogue.annotation(annotator)
    assert annotation is not None
    return {x.at: dict(x.distribution or ()) for x in annotation.labels if x.task == "quality"}


@pytest.mark.parametrize("field", ["request", "response", "request after", "response before"])
def test_a_bag_of_words_reads_request_response_and_neighbors(field):
    """The middle turn of three is bad where one word stands at one place."""
    rng = np.random.default_rng(0)
    made = []
    for k in range(120):
        bad = k % 2 == 0
        texts = [[rng.choice(["one", "two", "three"]) for _ in range(2)] for _ in range(3)]
        turn, side = {"request": (1, 0), "response": (1, 1), "request after": (2, 0), "response before": (0, 1)}[field]
        texts[turn][side] += " broken" if bad else " served"
        dialogue = rated(k, [(a, b) for a, b in texts], ["good"] * 3)
        label = Label("quality", AtTurn(1), "bad" if bad else "good")
        made.append(replace(dialogue, annotations=(Annotation("gold", "truth", (label,)),)))
    judged = fit_baselines(made[:80], (QUALITY,), GOLD).annotate(made[80:], "gold")
    for dialogue in judged:
        assert named(dialogue, BAG)[AtTurn(1)] == named(dialogue, "gold")[AtTurn(1)]


def test_plain_rivals_read_actions_surface_and_both():
    """A response is bad where the status is an error, or where it repeats the response before; words tell nothing."""
    rng = np.random.default_rng(2)
    made = []
    for k in range(300):
        failed, repeated = rng.random() < 0.4, rng.random() < 0.4
        first = Turn(request=f"a{k}", response=f"b{k} c{k} d{k}")
        last = Turn(
            request=f"e{k}",
            response=first.response if repeated else f"f{k} g{k} h{k}",
            status="error" if failed else "answered",
        )
        label = Label("quality", AtTurn(1), "bad" if failed or repeated else "good")
        made.append(Dialogue(id=f"d{k}", turns=(first, last), annotations=(Annotation("gold", "truth", (label,)),)))
    rivals = [WordsAndActions(), SurfaceTrees(), AverageOfRivals()]
    out = fit_baselines(made[:200], (QUALITY, INTENTS, SLOTS), GOLD, rivals).annotate(made[200:], "gold")
    right = {
        rival.name: np.mean([named(d, rival.name)[AtTurn(1)] == named(d, "gold")[AtTurn(1)] for d in out])
        for rival in rivals
    }
    assert right[AverageOfRivals.name] > 0.95
    assert max(right[WordsAndActions.name], right[SurfaceTrees.name]) < 0.9
    for rival in rivals:
        assert sum(shares(out[0], rival.name)[AtTurn(1)].values()) == pytest.approx(1.0)


def test_each_answer_of_each_annotator_is_learned_from():
    """Three of four say good of the first dialogue, the one who annotated the second says bad: fields weigh alike."""
    people = [
        Annotation(who, "person", (Label("quality", AtTurn(0), "bad" if who == "dan" else "good"),))
        for who in ("ann", "ben", "cid", "dan")
    ]
    made = [
        replace(rated(0, [("x", "y")], []), annotations=tuple(people)),
        replace(rated(1, [("x", "y")], []), annotations=tuple(people[3:])),
    ]
    (out,) = fit_baselines(made, (QUALITY,), Setting()).annotate([rated(2, [("x", "y")], ["good"])], "gold")
    expected = pytest.approx({"bad": (0.25 + 1) / 2, "fair": 0.0, "good": 0.75 / 2})
    assert shares(out, MAJORITY)[AtTurn(0)] == expected
    assert shares(out, CONSTANT)[AtTurn(0)] == expected


def test_the_reference_is_learned_from_where_it_annotated_and_people_elsewhere():
    person = Annotation("ann", "person", (Label("quality", AtTurn(0), "bad"),))
    user = Annotation("user", "user", (Label("quality", AtTurn(0), "good"),))
    turn = rated(0, [("x", "y")], [])
    by_user = Setting("user", annotators=None)
    for given, setting, name in (((person, user), by_user, "good"), ((user, person), Setting(), "bad")):
        (out,) = fit_baselines([replace(turn, annotations=given)], (QUALITY,), setting).annotate([turn], "user")
        assert named(out, MAJORITY) == {AtTurn(0): name}


def test_probabilities_of_every_baseline_sum_to_one_and_survive_the_record(tmp_path):
    made = list(simulate(60, 5))
    whole = fit_baselines(made[:40], (*ALL, WHOLE), Setting()).annotate(made[40:], "truth")
    for dialogue in whole:
        for rival in (BAG, CONSTANT, MAJORITY):
            annotation = dialogue.annotation(rival)
            assert annotation is not None
            assert annotation.kind == "rule"
            told = [x for x in annotation.labels if x.distribution is not None]
            assert {x.at for x in told} >= {AtDialogue(), *(AtTurn(t) for t in range(len(dialogue.turns)))}
            for label in told:
                assert sum(p for _, p in label.distribution or ()) == pytest.approx(1.0)
                assert dict(label.distribution or ())[label.name] == label.probability
            for labels in answers(annotation, "intents").values():
                assert all(0.0 <= (x.probability or 0.0) <= 1.0 + 1e-9 for x in labels)
    write_log(tmp_path / "log.jsonl", whole)


def test_baselines_never_see_the_texts_that_they_are_judged_on(monkeypatch):
    seen: list[str] = []
    fit = TfidfVectorizer.fit

    def spied(self, texts, y=None):
        texts = list(texts)
        seen.extend(texts)
        return fit(self, texts, y)

    monkeypatch.setattr(TfidfVectorizer, "fit", spied)
    made = list(simulate(40, 5))
    test = [replace(d, turns=tuple(replace(t, request=t.request + " zyzzyva") for t in d.turns)) for d in made[30:]]
    plain = prepare(made[30:], ALL, GOLD_TRUTH, made[:30])
    changed = prepare(test, ALL, GOLD_TRUTH, made[:30])
    assert seen
    assert not [text for text in seen if "zyzzyva" in text]
    # A word that training lacks is no word at all.
    for before, after in zip(plain.dialogues, changed.dialogues, strict=True):
        assert before.annotation(BAG) == after.annotation(BAG)


GOLD_TRUTH = Setting("truth", annotators=None)


def test_of_a_large_training_part_whole_dialogues_are_drawn_by_the_seed(monkeypatch):
    monkeypatch.setattr(module, "MOST_TURNS", 50)
    made = list(simulate(40, 5))
    turns = sum(len(d.turns) for d in made)
    learned = [fit_baselines(made, ALL, Setting(seed=seed)).fitted for seed in (0, 0, 1)]
    assert learned[0] == learned[1]
    assert learned[0] != learned[2]
    for own in learned:
        assert (own.of_turns, own.of_dialogues) == (turns, 40)
        assert 30 < own.turns <= 50
        assert own.dialogues < 40


def test_labels_of_goals_stand_at_the_goals_that_a_system_decoded_and_at_those_of_the_reference():
    """The candidate divides otherwise than the reference; each is answered under a name of its own."""

    def goal(who: str, kind: str, turns: tuple[int, ...]) -> Annotation:
        return Annotation(
            who, kind, (Label("goals", AtGoal(turns), "goal"), Label("outcome", AtGoal(turns), "failure"))
        )

    turn = Turn(request="x", response="y")
    made = [Dialogue(id=f"t{k}", turns=(turn, turn), annotations=(goal("gold", "truth", (0, 1)),)) for k in range(3)]
    test = Dialogue(
        id="d",
        turns=(replace(turn, request="z"), turn),
        annotations=(goal("gold", "truth", (0, 1)), goal("net", "model", (1,))),
    )
    prepared = prepare([test], (OUTCOME, GOALS), GOLD, made)
    (out,) = prepared.dialogues
    assert prepared.baselines is not None
    assert prepared.baselines.goals_from == "net"
    for rival in (BAG, CONSTANT, MAJORITY):
        assert named(out, rival, "outcome") == {AtGoal((1,)): "failure"}
        assert named(out, f"{rival} on the reference's goals", "outcome") == {AtGoal((0, 1)): "failure"}
    (alone,) = prepare([replace(test, annotations=test.annotations[:1])], (OUTCOME, GOALS), GOLD, made).dialogues
    assert alone.annotation(BAG) is None
    assert named(alone, f"{BAG} on the reference's goals", "outcome") == {AtGoal((0, 1)): "failure"}


def test_a_rule_marks_phrases_that_training_marks_in_most_places():
    def marked(k: int, request: str, *spans: tuple[str, str]) -> Dialogue:
        at = [(AtSpan(0, request.index(text), request.index(text) + len(text)), name) for text, name in spans]
        labels = tuple(Label("slots", place, name) for place, name in at)
        none = () if labels else (NoLabel("slots", AtTurn(0)),)
        turn = Turn(request=request, response="")
        return Dialogue(id=f"d{k}", turns=(turn,), annotations=(Annotation("gold", "truth", labels, none),))

    made = [
        marked(0, "play Purple Haze by Jimi Hendrix", ("Purple Haze", "song"), ("Jimi Hendrix", "artist")),
        marked(1, "play purple haze again", ("purple haze", "song")),
        marked(2, "play the purple one", ("one", "song")),
        marked(3, "no not that one"),
        marked(4, "that one"),
    ]
    judged = marked(5, "one purple haze, purple HAZE and jimi hendrix")
    (out,) = fit_baselines(made, (SLOTS,), GOLD).annotate([judged], "gold")
    annotation = out.annotation(Rule.name)
    assert annotation is not None
    request = judged.turns[0].request
    said = [(x.name, request[x.at.start : x.at.end]) for x in annotation.labels if isinstance(x.at, AtSpan)]
    assert said == [("song", "purple haze"), ("song", "purple HAZE"), ("artist", "jimi hendrix")]
    (nothing,) = fit_baselines(made, (SLOTS,), GOLD).annotate([marked(6, "stop")], "gold")
    annotation = nothing.annotation(Rule.name)
    assert annotation is not None
    assert annotation.none == (NoLabel("slots", AtTurn(0)),)


def test_a_rule_divides_a_dialogue_by_the_domains_of_its_turns():
    labels = (Label("goals", AtGoal((0,)), "goal"),)
    turns = tuple(Turn(request="x", response="y", domain=domain) for domain in ("music", None, "weather", "music"))
    made = Dialogue(id="d", turns=turns, annotations=(Annotation("gold", "truth", labels),))
    (out,) = fit_baselines([made], (GOALS,), GOLD).annotate([made], "gold")
    annotation = out.annotation(Rule.name)
    assert annotation is not None
    assert [x.at for x in annotation.labels] == [AtGoal((0, 1)), AtGoal((2,)), AtGoal((3,))]


def test_answers_that_are_no_names_of_the_task_are_not_learned():
    """A record may hold any name; where exactly one of a list holds, others are no answers that a distribution has."""
    strange = [rated(k, [("x", "y")], ["superb"]) for k in range(5)]
    made = [*strange, rated(5, [("x", "y")], ["good"])]
    judged = rated(6, [("z", "y")], ["good"])
    (out,) = fit_baselines(made, (QUALITY,), GOLD, [BagOfWords(), ConstantPerSource(), MajorityClass()]).annotate(
        [judged], "gold"
    )
    for rival in (BAG, CONSTANT, MAJORITY):
        assert named(out, rival) == {AtTurn(0): "good"}
        assert shares(out, rival)[AtTurn(0)] == {"bad": 0.0, "fair": 0.0, "good": 1.0}
    (out,) = fit_baselines(strange, (QUALITY,), GOLD).annotate([judged], "gold")
    assert not [a for a in out.annotations if a.annotator.startswith("baseline")]


def test_constant_per_source_smooths_shares_by_the_next_wider_part():
    """By hand: of all six answers three fail; of the corpus `a` one of four, of its part `a/x` one of three."""
    ends = [
        ("a/x", "failure"),
        ("a/x", "success"),
        ("a/x", "success"),
        ("a/y", "success"),
        ("b", "failure"),
        ("b", "failure"),
    ]
    (task,) = tasks_of_units("outcome", ("goal",), ("failure_auprc",), ("success", "failure"))

    def ended(k: int, source: str, name: str) -> Dialogue:
        labels = (Label("goals", AtGoal((0,)), "goal"), Label("outcome", AtGoal((0,)), name))
        turns = (Turn(request="", response=""),)
        return Dialogue(id=f"d{k}", turns=turns, source=source, annotations=(Annotation("user", "user", labels),))

    training = [ended(k, *one) for k, one in enumerate(ends)]
    fitted = fit_baselines(training, [task], Setting(reference="user", annotators=None), [ConstantPerSource()])

    def failure(source: str) -> float:
        (judged,) = fitted.annotate([ended(99, source, "success")], "user", None)
        annotation = judged.annotation(str(SystemName(ConstantPerSource.name, on_given_goals=True)))
        assert annotation is not None
        (label,) = annotation.labels
        return dict(label.distribution or ())["failure"]

    corpus = (1 + 3 / 6) / 5
    assert failure("new") == pytest.approx(3 / 6)
    assert failure("a/new") == pytest.approx(corpus)
    assert failure("a/x") == pytest.approx((1 + corpus) / 4)
    assert failure("a/y") == pytest.approx(corpus / 2)
