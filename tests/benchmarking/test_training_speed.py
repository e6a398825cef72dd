"""Rows of training speed: every system encodes the same tokens, and FLOPs are those that torch counts."""

from pathlib import Path

import pytest
import torch
from small_training import labeled_log
from torch.utils.flop_counter import FlopCounterMode

from benchmarks import training_speed
from benchmarks.results import Result
from benchmarks.training_speed import BARE, DIALOGUES, ENCODER, TEXTS, TRAINING, TrainingBench, measure
from labelgen.data.log import Log
from labelgen.features.pretrained import write_offline_encoder

SIZE = {"hidden_size": 48, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
pytest.importorskip("accelerate")


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training_speed, "SIZES", {"small": SIZE})
    monkeypatch.setattr(training_speed, "MATRIX", 64)


@pytest.mark.filterwarnings("ignore:.*does not have many workers.*", "ignore:.*val_dataloader.*", "ignore:.*LeafSpec.*")
def test_training_speed_every_system_encodes_the_same_tokens(tmp_path: Path):
    log = labeled_log(tmp_path / "log.jsonl", range(8), 4)
    write_offline_encoder(tmp_path / "encoder")
    made = measure([log], "toy", [tmp_path / "encoder"], sizes=["small"], turns=16, steps=2, rounds=1)
    rows: dict[tuple[str, str, str], Result] = {(r.system, r.metric, r.baseline): r for r in made}
    systems = (TRAINING, ENCODER, BARE, DIALOGUES, TEXTS)
    assert {r.setting for r in made} == {"cpu, fp32"}
    for system in systems:
        padding = rows[system, "padding_share", ""].value
        assert padding is not None
        assert (padding > 0) == (system in (DIALOGUES, TEXTS))
    grouped, mixed = (rows[system, "padding_share", ""].value for system in (TEXTS, DIALOGUES))
    assert grouped is not None
    assert mixed is not None
    assert grouped < mixed
    ratios = [r for r in made if r.baseline]
    assert {(r.system, r.baseline) for r in ratios} == {
        (a, b) for a in (TRAINING, ENCODER) for b in (BARE, DIALOGUES, TEXTS)
    }
    for row in ratios:
        one, other = (rows[name, "tokens_per_second", ""].value for name in (row.system, row.baseline))
        assert one is not None
        assert other is not None
        assert row.value == pytest.approx(one / other, rel=0.01)


def test_training_speed_flops_are_those_that_torch_counts(tmp_path: Path):
    log = Log([labeled_log(tmp_path / "log.jsonl", range(8), 4)])
    encoder = tmp_path / "encoder"
    write_offline_encoder(encoder)
    bench = TrainingBench(list(log), log.labels(), encoder, "small", "32", torch.device("cpu"), 16, 1, tmp_path)
    bare = bench.bare
    bare.set_attn_implementation("eager")
    ids = torch.randint(5, 90, (3, 16))
    with FlopCounterMode(display=False) as counter:
        bare(input_ids=ids).last_hidden_state.sum().backward()
    bench.texts = ids.tolist()
    assert counter.get_total_flops() == pytest.approx(ids.numel() * bench.flops_per_token(True), rel=1e-6)
