"""What is learned of a label beyond its text is dropped now and then in training, and never at work."""

import torch

from labelgen.nn.structure import LabelScorer


def scorer() -> LabelScorer:
    torch.manual_seed(0)
    made = LabelScorer(8, 8, 6, 4)
    with torch.no_grad():
        made.own.normal_()
        made.own_bias.normal_()
    return made


QUERIES, LABELS = torch.randn(3, 8), torch.randn(6, 8)


def test_label_scorer_in_training_drops_the_learned_part():
    made = scorer()
    with torch.inference_mode():
        whole = made.eval()(QUERIES, LABELS)
        made.train()
        draws = [made(QUERIES, LABELS) for _ in range(20)]
        made.own.zero_()
        made.own_bias.zero_()
        text = made.eval()(QUERIES, LABELS)
    seen = {bool(torch.allclose(draw[:, k], whole[:, k], atol=1e-5)) for draw in draws for k in range(6)}
    assert seen == {True, False}
    for draw in draws:
        for k in range(6):
            column = draw[:, k]
            assert torch.allclose(column, whole[:, k], atol=1e-5) or torch.allclose(column, text[:, k], atol=1e-5)
