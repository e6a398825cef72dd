"""The linear member of a head: a bag of words like that of an evaluation, averaged with the network, saved with the model."""

import numpy as np
import pytest
import torch
from labeled import LABELS, labeled_dialogue
from msgspec.structs import replace
from random_models import assert_same_in_any_batch
from sklearn.feature_extraction.text import TfidfVectorizer

from labelgen.base.errors import IntegrityError, UsageError
from labelgen.base.files import digest_file, read_json
from labelgen.data.dialogue import Dialogue, Signal, Turn
from labelgen.data.labels import UNIT_OF, Answers, AtDialogue, AtGoal, AtTurn, Label, Target, targets_of
from labelgen.features.ngrams import NGrams, place_texts
from labelgen.model.annotate import annotate
from labelgen.model.annotator import Annotator
from labelgen.model.batches import Example
from labelgen.model.build import build_model, take_over, with_labels
from labelgen.model.folder import load_model, save_model, write_json
from labelgen.model.label_model import LabelModel
from labelgen.model.options import ModelOptions
from labelgen.tasks.options import TaskOptions
from labelgen.training.members import fit_shares

TURNS = (("play the red song", "done"), ("stop", "it stopped"), ("add milk to my list", "added milk"))


def exemplary(seed: int) -> Dialogue:
    """A dialogue whose turns are bad where the request says `stop`, and whose goals fail where the last one does."""
    dialogue = labeled_dialogue(seed)
    (annotation,) = dialogue.annotations

    def name(label: Label) -> str:
        last = (
            label.at.turns[-1] if isinstance(label.at, AtGoal) else label.at.turn if isinstance(label.at, AtTurn) else 0
        )
        stops = "stop" in dialogue.turns[last].request.split()
        names = {"quality": ("bad", "good"), "outcome": ("failure", "success")}.get(label.task)
        return label.name if names is None else names[0 if stops else 1]

    labels = tuple(replace(label, name=name(label), value=None) for label in annotation.labels)
    return replace(dialogue, targets=targets_of(replace(annotation, labels=labels)))


DIALOGUES = [exemplary(seed) for seed in range(150)]
OTHERS = [exemplary(seed) for seed in range(200, 230)]


def new_model(tiny_encoder, share: float = 0.5, ngrams: int = 1000, dialogues=DIALOGUES) -> LabelModel:
    torch.manual_seed(0)
    options = ModelOptions(encoder=str(tiny_encoder), dialogue_width=32, dialogue_heads=2, dialogue_layers=1)
    member = TaskOptions(ngrams=ngrams, linear_share=share)
    tasks = {"goals": TaskOptions(), "outcome": member, "quality": member}
    return build_model(options, tasks, LABELS, dialogues).eval()


@pytest.fixture(scope="module")
def model(tiny_encoder) -> LabelModel:
    return new_model(tiny_encoder)


def qualities(answers: Answers) -> dict[int, str]:
    return {
        x.at.turn: x.name for x in answers if isinstance(x, Label) and x.task == "quality" and isinstance(x.at, AtTurn)
    }


def test_place_texts_fields_are_inside_before_after_and_last():
    assert place_texts(TURNS, AtTurn(1)) == ("stop", "it stopped", *TURNS[0], *TURNS[2], "", "")
    assert place_texts(TURNS, AtTurn(0))[2:4] == ("", "")
    goal = place_texts(TURNS, AtGoal((0, 2)))
    assert goal == ("play the red song\nadd milk to my list", "done\nadded milk", "", "", "", "", *TURNS[2])
    assert place_texts(TURNS, AtDialogue())[0].split("\n") == [request for request, _ in TURNS]
    assert place_texts((), AtDialogue()) == ("",) * 8


def test_place_texts_without_later_turns_reads_none_of_them():
    assert place_texts(TURNS, AtTurn(1), "earlier") == place_texts(TURNS[:2], AtTurn(1))
    assert place_texts(TURNS, AtTurn(1), "none") == place_texts(TURNS[1:2], AtTurn(0))


def test_ngrams_equal_those_of_scikit_learn_and_rows_are_independent():
    rows = [place_texts([(t.request, t.response) for t in d.turns], AtDialogue()) for d in DIALOGUES]
    ngrams = NGrams.learn(rows)
    parts = []
    for texts in zip(*rows, strict=True):
        vectorizer = TfidfVectorizer(ngram_range=(1, 2), token_pattern=r"(?u)\b\w+\b", min_df=2, sublinear_tf=True)
        if any(texts):
            parts.append(vectorizer.fit_transform(texts).toarray())
    whole = ngrams.matrix(rows)
    np.testing.assert_allclose(whole.toarray(), np.hstack(parts))
    assert whole.shape[1] == len(ngrams)
    alone = np.vstack([ngrams.matrix([row]).toarray() for row in rows])
    assert np.array_equal(alone, whole.toarray())
    assert ngrams.matrix([]).shape == (0, len(ngrams))


def test_ngrams_most_keeps_the_most_frequent_ones():
    rows = [("a b", *[""] * 7), ("a b", *[""] * 7), ("a c", *[""] * 7), ("a c", *[""] * 7)]
    assert NGrams.learn(rows, 1).fields[0].terms == ("a",)


def test_scores_equal_a_dense_product(model):
    member, layout = model.linear_member("quality"), model.collator().batch(OTHERS, [()] * 30, [None] * 30).layout
    places = model.tasks["quality"].places(layout)
    for unit in member.ngrams:
        chosen = [place for place in places if UNIT_OF[type(place[1])] == unit]
        rows = member.ngrams[unit].matrix([place_texts(layout.texts[dialogue], at) for dialogue, at in chosen])
        weight, bias = (member.get_buffer(f"{unit}_{name}").double().numpy() for name in ("weight", "bias"))
        expected = rows.toarray() @ weight + bias
        np.testing.assert_allclose(member.scores(unit, chosen, layout, "all").numpy(), expected, rtol=1e-5, atol=1e-6)
        assert np.ptp(expected) > 0.1


def test_share_of_zero_gives_the_answers_of_the_network(tiny_encoder, model):
    alone = annotate(new_model(tiny_encoder, ngrams=0), OTHERS)
    without = annotate(new_model(tiny_encoder, share=0.0), OTHERS)
    for one, other in zip(alone, without, strict=True):
        assert [(x.at, getattr(x, "name", None)) for x in one] == [(x.at, getattr(x, "name", None)) for x in other]
        for x, y in zip(one, other, strict=True):
            assert x.probability == pytest.approx(y.probability, abs=1e-6)
    assert annotate(model, OTHERS) != without


def test_average_is_the_geometric_mean_of_both(tiny_encoder):
    by_share = [annotate(new_model(tiny_encoder, share), OTHERS[:5]) for share in (0.0, 1.0, 0.5)]
    for network, linear, both in zip(*by_share, strict=True):
        rows = [
            np.array([p for _, p in x.distribution or ()])
            for answers in (network, linear, both)
            for x in answers
            if isinstance(x, Label) and x.task == "quality"
        ]
        third = len(rows) // 3
        for a, b, mean in zip(rows[:third], rows[third : 2 * third], rows[2 * third :], strict=True):
            expected = np.sqrt(a * b) / np.sqrt(a * b).sum()
            np.testing.assert_allclose(mean, expected, atol=1e-5)


def test_saved_model_gives_equal_labels_alone_together_and_online(model, tmp_path):
    save_model(model, tmp_path / "m", {"data_digest": "abc"})
    for online in (False, True):
        assert_same_in_any_batch(Annotator(tmp_path / "m", online=online), OTHERS)
    loaded = load_model(tmp_path / "m")
    assert annotate(loaded, OTHERS) == annotate(model, OTHERS)
    assert loaded.ngrams() == model.ngrams()


def test_online_later_turns_change_nothing(model):
    for dialogue in OTHERS:
        whole = qualities(annotate(model, [dialogue], online=True)[0])
        for t in range(len(dialogue.turns)):
            part = replace(dialogue, turns=dialogue.turns[: t + 1])
            assert qualities(annotate(model, [part], online=True)[0])[t] == whole[t]


def test_long_dialogue_is_read_as_a_whole(model):
    """Windows of turns hide no neighbor from the linear member: equal surroundings give equal scores, also at the end of a window."""
    turns = tuple(Turn(request=("stop" if t % 2 else "play"), response="done") for t in range(1100))
    long = Dialogue(id="long", turns=turns)
    member, layout = model.linear_member("quality"), model.collator().batch([long], [()], [None]).layout
    scores = member.scores("turn", [(0, AtTurn(t)) for t in range(1, 1099)], layout, "all")
    assert torch.equal(scores[:2].repeat(549, 1), scores)
    assert len(qualities(annotate(model, [long])[0])) == 1100


@pytest.mark.parametrize("fault", ["terms", "idf", "fields", "task"])
def test_hostile_ngrams_are_refused(model, tmp_path, fault):
    folder = tmp_path / "m"
    save_model(model, folder, {"data_digest": "abc"})
    saved = read_json(folder / "config.json", dict)
    fields = saved["linear"]["quality"]["turn"]["fields"]
    if fault == "terms":
        fields[0]["terms"][1] = fields[0]["terms"][0]
    elif fault == "idf":
        fields[0]["idf"][0] = -1.0
    elif fault == "fields":
        fields.pop()
    else:
        saved["linear"]["slots"] = saved["linear"].pop("quality")
    write_json(folder / "config.json", saved)
    digests = read_json(folder / "digests.json", dict)
    write_json(folder / "digests.json", {**digests, "config.json": digest_file(folder / "config.json")})
    with pytest.raises(IntegrityError):
        load_model(folder)


def test_with_labels_keeps_the_linear_member(model):
    assert annotate(with_labels(model, LABELS), OTHERS) == annotate(model, OTHERS)


def test_take_over_leaves_the_member_of_the_new_log(tiny_encoder, model):
    other = new_model(tiny_encoder, dialogues=DIALOGUES[:90])
    before = {name: tensor.clone() for name, tensor in other.state_dict().items() if name.startswith("linear.")}
    stayed = take_over(other, model)
    assert before
    assert {*before} <= {*stayed}
    after = other.state_dict()
    assert all(torch.equal(after[name], tensor) for name, tensor in before.items())


def test_training_loss_is_that_of_the_network_alone(tiny_encoder):
    examples = [Example(d, d.targets) for d in DIALOGUES[:8]]
    losses = []
    for ngrams in (0, 1000):
        model = new_model(tiny_encoder, ngrams=ngrams).train()
        batch = model.collator()(examples)
        torch.manual_seed(3)
        losses.append({name: float(loss.total.detach()) for name, loss in model.losses(batch).items()})
    assert losses[0] == losses[1]


def test_linear_member_of_a_task_with_several_labels_is_refused(tiny_encoder):
    options = ModelOptions(encoder=str(tiny_encoder), dialogue_width=32, dialogue_heads=2, dialogue_layers=1)
    with pytest.raises(UsageError, match="several labels"):
        build_model(options, {"intents": TaskOptions(ngrams=10)}, LABELS, DIALOGUES)


def test_unit_with_one_label_has_no_linear_member(model):
    only_good = [
        replace(
            d, targets=tuple(t for t in d.targets if t.task == "quality" and dict(t.distribution or ()).get("good"))
        )
        for d in DIALOGUES
    ]
    options = ModelOptions(encoder=model.options.encoder, dialogue_width=32, dialogue_heads=2, dialogue_layers=1)
    built = build_model(options, {"quality": TaskOptions(ngrams=10)}, LABELS, only_good)
    assert dict(built.ngrams().get("quality", {})) == {}


def test_linear_member_on_masked_feedback_does_not_read_the_evidence_of_its_targets(tiny_encoder):
    """Each turn before a request "wrong again" is bad by that signal. Without the mask the words after a turn decide."""
    names = ("bad", "good")

    def fed(k: int) -> Dialogue:
        turns = tuple(
            Turn(request="wrong again" if t == 2 and k % 2 else f"request {t}", response="") for t in range(4)
        )
        targets = [Target("quality", AtTurn(t), ((names[0 if k % 2 and t == 1 else 1], 1.0),)) for t in range(4)]
        signals = (Signal(kind="correction", turns=(1,), vote="bad", evidence=(2,)),) if k % 2 else ()
        return Dialogue(id=f"d{k}", turns=turns, targets=tuple(targets), signals=signals)

    options = ModelOptions(encoder=str(tiny_encoder), dialogue_width=32, dialogue_heads=2, dialogue_layers=1)
    terms = {}
    for masked in (False, True):
        built = build_model(options, {"quality": TaskOptions(ngrams=100)}, LABELS, [fed(k) for k in range(60)], masked)
        fields = built.ngrams()["quality"]["turn"].fields
        terms[masked] = {term for field in fields for term in field.terms}
    assert "wrong" in terms[False]
    assert "wrong" not in terms[True]
    assert "request" in terms[True]


class _Examples:
    def __init__(self, dialogues) -> None:
        self.corpus = dialogues

    def example(self, epoch: int, index: int) -> Example:
        return Example(self.corpus[index], self.corpus[index].targets)


def test_fitted_shares_prefer_the_member_that_is_right(tiny_encoder):
    """The network is untrained; its share falls on a validation log, and that of the words rises. Without a log shares stay."""
    model = new_model(tiny_encoder)
    fit_shares(model, _Examples(OTHERS))
    network, linear = model.linear_member("quality").get_buffer("turn_shares").tolist()
    assert network < 0.5 < linear
    few = new_model(tiny_encoder)
    fit_shares(few, _Examples(OTHERS[:2]))
    assert few.linear_member("quality").get_buffer("turn_shares").tolist() == [0.5, 0.5]


def test_evidence_is_learned_as_its_likelihood(tiny_encoder):
    """Feedback whose prior already favors `good` still teaches `bad`: its likelihood counts, not its posterior."""
    names = ("bad", "fair", "good")

    def evidence(target: Target) -> Target:
        bad = target.distribution is not None and dict(target.distribution).get("bad") == 1.0
        posterior = (0.5, 0.0, 0.5) if bad else (0.0, 0.0, 1.0)
        pairs = tuple(zip(names, posterior, strict=True)), tuple(zip(names, (0.05, 0.05, 0.9), strict=True))
        return replace(target, distribution=pairs[0], prior=pairs[1])

    fed = [replace(d, targets=tuple(evidence(t) for t in d.targets if t.task == "quality")) for d in DIALOGUES]
    options = ModelOptions(encoder=str(tiny_encoder), dialogue_width=32, dialogue_heads=2, dialogue_layers=1)
    built = build_model(options, {"quality": TaskOptions(ngrams=1000, linear_share=1.0)}, LABELS, fed).eval()
    bad: dict[bool, list[float]] = {True: [], False: []}
    for dialogue, one in zip(OTHERS, annotate(built, OTHERS), strict=True):
        for x in one:
            if isinstance(x, Label) and isinstance(x.at, AtTurn):
                bad["stop" in dialogue.turns[x.at.turn].request.split()].append(dict(x.distribution or ())["bad"])
    assert np.mean(bad[True]) > np.mean(bad[False]) + 0.3
