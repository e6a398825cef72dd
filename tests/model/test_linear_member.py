"""The linear member of a head: a bag of words like that of an evaluation, averaged with the network, saved with the model."""

import numpy as np
import pytest
import torch
from labeled import LABELS, labeled_dialogue
from msgspec.structs import replace
from random_models import assert_same_in_any_batch
from scipy.special import log_softmax
from sklearn.feature_extraction.text import TfidfVectorizer

from labelgen.data.dialogue import Dialogue, Feedback, Turn
from labelgen.data.labels import Answers, AtDialogue, AtGoal, AtTurn, Label, Target, targets_of
from labelgen.data.split import fold_of
from labelgen.features.ngrams import NGrams, place_texts
from labelgen.feedback.items import items_at
from labelgen.feedback.signal import MASKED, find_signals, mask_feedback
from labelgen.model.annotate import annotate, reasons
from labelgen.model.annotator import Annotator
from labelgen.model.batches import Example
from labelgen.model.build import build_model
from labelgen.model.folder import load_model, save_model
from labelgen.model.label_model import LabelModel
from labelgen.model.linear import balancing
from labelgen.model.options import ModelOptions
from labelgen.tasks import TaskOptions
from labelgen.training.members import fit_shares, worthy_members
from labelgen.verdicts.witnesses import statements_of


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


def test_held_out_predictions_do_not_depend_on_the_targets_of_their_own_fold(tiny_encoder, monkeypatch):
    monkeypatch.setattr("labelgen.model.linear.C_GRID", (1.0,))
    fold = fold_of(DIALOGUES[0])
    other = {"bad": "good", "good": "bad", "success": "failure", "failure": "success"}

    def turned(target: Target) -> Target:
        return replace(target, distribution=tuple((other.get(n, n), p) for n, p in target.distribution or ()))

    changed = [replace(d, targets=tuple(map(turned, d.targets))) if fold_of(d) == fold else d for d in DIALOGUES]
    one, two = (
        new_model(tiny_encoder, dialogues=log).linear_member("quality").held_out["turn"] for log in (DIALOGUES, changed)
    )
    own = np.array(
        [fold_of(d) == fold for d in DIALOGUES for t in d.targets if t.task == "quality" and isinstance(t.at, AtTurn)]
    )
    np.testing.assert_allclose(np.exp(one.log_p).sum(axis=1), 1.0)
    assert len(one.users) == len(one.said) == len(own) > own.sum() > 0
    np.testing.assert_array_equal(one.log_p[own], two.log_p[own])
    assert (one.log_p[~own] != two.log_p[~own]).any()


def test_a_task_of_its_member_alone_has_no_head_and_encodes_nothing(tiny_encoder):
    model = new_model(tiny_encoder, share=1.0)
    assert set(model.heads) == {"goals"}
    alone = new_model(tiny_encoder, share=1.0)
    del alone.heads["goals"], alone.tasks["goals"]
    monitored: list[int] = []
    alone.turn_encoder.register_forward_hook(lambda *_: monitored.append(1))
    for whole, own in zip(annotate(model, OTHERS), annotate(alone, OTHERS), strict=True):
        kept = [x for x in whole if x.task == "quality"]
        assert [x for x in own if x.task == "quality"] == kept
    assert not monitored


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
    assert loaded.linear_settings() == model.linear_settings()


def test_online_later_turns_change_nothing(model):
    for dialogue in OTHERS:
        whole = qualities(annotate(model, [dialogue], online=True)[0])
        for t in range(len(dialogue.turns)):
            part = replace(dialogue, turns=dialogue.turns[: t + 1])
            assert qualities(annotate(model, [part], online=True)[0])[t] == whole[t]


def fed(k: int, said: str | None = None) -> Dialogue:
    """Turns about trains fail. Half of the users who failed complain, and turns of which they complain are bad by that signal."""
    about = ("trains", "rooms")[k % 2]
    complains = k % 4 == 0 if said is None else said == "no, that's wrong"
    requests = (f"find {about}", "no, that's wrong" if complains else said or "ok")
    turns = tuple(Turn(request=r, response=a) for r, a in zip(requests, (f"Here are {about}.", "Ok."), strict=True))
    bad = 0.95 if complains else 0.7 if about == "trains" else 0.1
    target = Target("quality", AtTurn(0), (("bad", bad), ("fair", 0.0), ("good", 1.0 - bad)))
    made = Dialogue(id=f"d{k}", user=f"u{k}", turns=turns, targets=(target,))
    return replace(made, signals=find_signals(made))


def fed_model(tiny_encoder, from_feedback: bool) -> LabelModel:
    options = ModelOptions(encoder=str(tiny_encoder), dialogue_width=32, dialogue_heads=2, dialogue_layers=1)
    torch.manual_seed(0)
    tasks = {"quality": TaskOptions()}
    return build_model(options, tasks, LABELS, [fed(k) for k in range(80)], from_feedback).eval()


def test_later_words_are_content_only_where_targets_do_not_come_from_them(tiny_encoder):
    terms = {}
    for from_feedback in (False, True):
        columns = fed_model(tiny_encoder, from_feedback).linear_settings()["quality"]["turn"].columns
        terms[from_feedback] = {term for field in columns.ngrams.fields for term in field.terms}
    assert "wrong" in terms[False]
    assert "wrong" not in terms[True]
    assert "trains" in terms[True]


def goodness(model: LabelModel, dialogue: Dialogue, online: bool = False) -> float:
    answers = annotate(model, [dialogue], online=online)[0]
    (label,) = [x for x in answers if isinstance(x, Label) and x.at == AtTurn(0)]
    return dict(label.distribution or ())["good"]


def test_reaction_of_the_user_gets_into_the_label(tiny_encoder):
    """A complaint lowers it, a thumb more so; not online, where nobody has reacted yet, and not where feedback is masked."""
    model = fed_model(tiny_encoder, True)
    silent, complaint = fed(1001, "ok"), fed(1001, "no, that's wrong")
    down = replace(
        silent, turns=(replace(silent.turns[0], feedback=(Feedback(kind="rating", rating=1.0),)), silent.turns[1])
    )
    down = replace(down, signals=find_signals(down))
    assert goodness(model, down) < goodness(model, complaint) < goodness(model, silent)
    assert goodness(model, replace(down, signals=())) == goodness(model, down)
    assert goodness(model, down, online=True) == goodness(model, silent, online=True)
    masked = mask_feedback(down)
    assert [s.kind for s in masked.signals] == [MASKED]
    assert goodness(model, masked) > goodness(model, down)


def test_evidence_is_the_sum_of_the_witnesses(tiny_encoder):
    model = fed_model(tiny_encoder, True)
    member, one = model.linear_member("quality"), fed(1001, "no, that's wrong")
    layout = model.collator().batch([one], [()], [None]).layout
    rates = member.settings["turn"].rates
    (item,) = items_at(one, [AtTurn(0)])
    nats = rates.total(statements_of(item))
    assert nats < -0.1
    found = member.evidence("turn", [(0, AtTurn(0))], layout)
    np.testing.assert_allclose(found.numpy(), [[-nats / 2, 0.0, nats / 2]], rtol=1e-6)


def shares_of(probabilities: np.ndarray, factors: np.ndarray) -> np.ndarray:
    return np.bincount((probabilities * factors).argmax(axis=1), minlength=probabilities.shape[1]) / len(probabilities)


@pytest.mark.parametrize("seed", range(5))
def test_balancing_makes_labels_as_frequent_as_wanted(seed):
    rows = np.exp(np.random.default_rng(seed).normal([-2.0, 0.0, 1.0], 2.0, (400, 3)))
    probabilities, wanted = rows / rows.sum(axis=1, keepdims=True), np.array([0.2, 0.2, 0.6])
    factors = np.array(balancing(probabilities, wanted))
    assert np.abs(shares_of(probabilities, factors) - wanted).max() < 0.05
    assert np.abs(shares_of(probabilities, np.ones(3)) - wanted).max() > 0.1


def test_label_is_the_greatest_product_of_probability_and_factor(model):
    member = model.linear_member("quality")
    before = member.settings["turn"].factors
    try:
        member.set_factors("turn", (1e6, 1.0, 1.0))
        assert {name for answers in annotate(model, OTHERS) for name in qualities(answers).values()} == {"bad"}
    finally:
        member.set_factors("turn", before)


class _Examples:
    def __init__(self, dialogues) -> None:
        self.corpus = dialogues

    def example(self, epoch: int, index: int) -> Example:
        return Example(self.corpus[index], self.corpus[index].targets)


def test_network_that_adds_nothing_leaves_the_model(tiny_encoder, tmp_path):
    """The network is untrained: the words answer alone, and nothing is encoded. Without a log shares stay."""
    model = new_model(tiny_encoder)
    others = [exemplary(seed) for seed in range(200, 300)]
    of_quality = [line for line in fit_shares(model, _Examples(others)).added if line.startswith("quality")]
    assert len(of_quality) == 2
    assert all("and is left out, the linear member adds" in line for line in of_quality)
    assert "quality" not in model.heads
    assert model.tasks["quality"].options.linear_share == 1.0
    network, linear = model.linear_member("quality").shares("turn")
    assert network == 0.0 < linear
    annotated = annotate(model, OTHERS)
    save_model(model, tmp_path / "model", {"data_digest": "abc"})
    assert annotate(load_model(tmp_path / "model"), OTHERS) == annotated
    few = new_model(tiny_encoder)
    assert not fit_shares(few, _Examples(OTHERS[:2])).added
    assert few.linear_member("quality").shares("turn") == (0.5, 0.5)


@pytest.mark.parametrize("right", [0, 1])
def test_shares_of_other_users_tell_which_member_adds(right: int):
    rng = np.random.default_rng(right)
    truth = rng.integers(0, 2, 400)
    scores = rng.normal(size=(2, 400, 2))
    scores[right, np.arange(400), truth] += 3.0
    users = [f"user {k % 40}" for k in range(400)]
    of, line = worthy_members(log_softmax(scores, axis=2), np.eye(2)[truth], users, 0.5)
    assert of[right]
    assert "40 users" in line


def test_members_that_say_the_same_are_one():
    rng = np.random.default_rng(0)
    log_p = log_softmax(rng.normal(size=(300, 2)), axis=1)
    users = [f"user {k}" for k in range(300)]
    assert worthy_members(np.stack([log_p, log_p]), np.exp(log_p), users, 0.5)[0] == (False, True)


def test_reasons_of_labels_change_with_what_users_said_and_content_does_not(model):
    """A thumb down moves the label, by what its witness says; what content says stays as it was."""
    plain = replace(
        OTHERS[0], turns=tuple(replace(turn, feedback=()) for turn in OTHERS[0].turns), feedback=(), signals=()
    )
    down = Feedback(kind="rating", rating=1.0, scale=(1.0, 5.0))
    rated = replace(plain, turns=(replace(plain.turns[0], feedback=(down,)), *plain.turns[1:]))

    def of_turn(dialogue: Dialogue) -> tuple[float, float, str]:
        label, reason = next(
            (label, reason)
            for label, reason in reasons(model, dialogue)
            if label.task == "quality" and label.at == AtTurn(0)
        )
        return dict(label.distribution or ())["bad"], float(reason.split()[1].rstrip(",;")), reason

    before, after = of_turn(plain), of_turn(rated)
    assert after[0] > before[0]
    assert after[1] == pytest.approx(before[1], abs=0.011)
    assert "rating bad -" in after[2]
    assert "rating" not in before[2]
