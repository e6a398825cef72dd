"""Options that cannot be carried out are refused by their keys, before a folder is made."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from labeled import LABELS, labeled_dialogue

from labelgen.base.errors import UsageError
from labelgen.base.options import Range, check_options, fields_of, read_options
from labelgen.base.yaml_text import plain
from labelgen.data.log import write_log
from labelgen.model.build import build_model
from labelgen.model.options import ModelOptions
from labelgen.tasks import TaskOptions
from labelgen.training.options import FinetuneOptions, PretrainOptions, TrainingOptions
from labelgen.training.run import finetune, pretrain

LOG = [labeled_dialogue(seed) for seed in range(8)]


def options(*argv: str, kind: type[TrainingOptions] = FinetuneOptions, out: str = "run") -> Any:
    keys = {word.partition("=")[0] for word in argv}
    needed = [f"--out={out}", "--data.train=[a.jsonl]", "--tasks={goals: {}}"]
    return read_options(kind, [*(word for word in needed if word.partition("=")[0] not in keys), *argv])


def numbers(held: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """Every number of a resolved config, or what may be one, by its key."""
    if isinstance(held, dict):
        for name, value in held.items():
            star = key in ("tasks", "mixture")
            yield from numbers(value, f"{key}.{'*' if star else name}" if key else name)
    elif isinstance(held, int | float) and not isinstance(held, bool):
        yield key, held


RANGES: dict[str, Range] = {
    item.key: span
    for kind in (FinetuneOptions, PretrainOptions)
    for item in fields_of(kind)
    if (span := item.hint.rule(Range)) is not None and item.hint.kind is not Mapping
}


def test_every_number_has_a_range_that_holds_its_default():
    found = [pair for kind in (FinetuneOptions, PretrainOptions) for pair in numbers(plain(options(kind=kind)))]
    assert {key for key, _ in found} <= set(RANGES)
    assert all(RANGES[key].holds(value) for key, value in found)


@given(st.sampled_from(sorted(RANGES)), st.data())
def test_a_number_out_of_its_range_is_refused_by_its_key(pattern: str, data: st.DataObject):
    kind = PretrainOptions if pattern in ("mixture.*", "single") else FinetuneOptions
    made = options("--model.dialogue_layers=0", "--data.valid=[held.jsonl]", kind=kind)
    key = pattern.replace("*", "goals" if pattern.startswith("tasks") else "swapped_answers")
    whole = {item.key: item.hint.kind is int for item in fields_of(kind)}[pattern]
    value = data.draw(st.integers(-3, 3) if whole else st.floats())
    put = _put(made, key.split("."), (value,) if key == "data.mix" else value)
    # Shares of all there is may not be nothing.
    if RANGES[pattern].holds(value) and (key != "data.mix" or value):
        check_options(put)
    else:
        with pytest.raises(UsageError) as error:
            check_options(put)
        assert error.value.where == key
        assert error.value.hint


def _put(made: Any, parts: list[str], value: Any) -> Any:
    first, *rest = parts
    if isinstance(made, dict):
        return {**made, first: _put(made[first], rest, value) if rest else value}
    return replace(made, **{first: _put(getattr(made, first), rest, value) if rest else value})


@pytest.mark.parametrize(
    ("words", "key", "hint"),
    [
        (["--model.dialogue_heads=7"], "model.dialogue_heads", "divides"),
        (["--data.mix=[1, 2]"], "data.mix", "one share for each log"),
        (["--data.train=[]"], "data.train", "name files"),
        (["--length.monitor=valid/goals/pk"], "length.monitor", "give data.valid"),
    ],
)
def test_what_is_refused_leaves_no_folder(words: list[str], key: str, hint: str, tmp_path: Path):
    with pytest.raises(UsageError) as error:
        finetune(options(*words, out=str(tmp_path / "run")))
    assert key in str(error.value)
    assert hint in error.value.hint
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["--tasks={goals: {}, slots: {}}"], "--config pretrain"),
        (["--tasks={goals: {}, order: {}}", "--mixture={splice: 1, shuffled_order: 0}"], "shuffled_order"),
    ],
)
def test_pretraining_refuses_what_no_corruption_teaches(words: list[str], hint: str, tmp_path: Path):
    with pytest.raises(UsageError, match="teaches") as error:
        pretrain(options(*words, kind=PretrainOptions, out=str(tmp_path / "run")))
    assert hint in error.value.hint
    assert list(tmp_path.iterdir()) == []


def test_texts_longer_than_the_encoder_reads_are_refused(tiny_encoder: Path, tmp_path: Path):
    asked = ModelOptions(encoder=str(tiny_encoder), dialogue_width=32, dialogue_heads=2, max_tokens=128)
    tasks = {"goals": TaskOptions()}
    build_model(asked, tasks, {}, LOG)
    with pytest.raises(UsageError, match="128 tokens"):
        build_model(replace(asked, max_tokens=129), tasks, {}, LOG)
    write_log(tmp_path / "log" / "a.jsonl", LOG, LABELS)
    more = [f"--data.train={tmp_path / 'log'}", f"--model.encoder={tiny_encoder}", "--model.max_tokens=129"]
    with pytest.raises(UsageError, match="129"):
        finetune(options(*more, out=str(tmp_path / "run")))
    assert not (tmp_path / "run").exists()
