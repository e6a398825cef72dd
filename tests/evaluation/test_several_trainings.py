"""Tables of several trainings: what is put together, what stays, what is not told yet."""

import json
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from render_results import cell
from several_trainings import digest, judged_trainings, mean, over_trainings, put_together

values = st.floats(0, 1)
estimates = st.fixed_dictionaries({"value": values, "low": values, "high": values})


@given(st.lists(estimates, min_size=1, max_size=5))
def test_a_mean_lies_between_the_least_and_the_greatest(figures):
    found = mean(figures)
    least, greatest = (bound(one["value"] for one in figures) for bound in (min, max))
    assert least - 1e-4 <= found["value"] <= greatest + 1e-4
    assert found.get("least", found["value"]) == least
    assert found.get("greatest", found["value"]) == greatest


def test_figures_without_a_value_count_for_none():
    none = {"value": None, "low": None, "high": None}
    assert mean([none, none]) == none
    assert mean([none, {"value": 0.5, "low": 0.4, "high": 0.6}])["value"] == 0.5
    assert mean([{"value": 0.5, "low": 0.4, "high": 0.6}] * 3) == {"value": 0.5, "low": 0.4, "high": 0.6}


def test_a_cell_of_several_trainings_shows_their_range_and_no_interval():
    """The mean of these intervals would be 0.55 to 0.65, which holds none of the trainings."""
    figures = [{"value": x, "low": x - 0.01, "high": x + 0.01} for x in (0.5, 0.7)]
    assert cell(mean(figures)) == "0.600 [0.500 to 0.700]"


def row(name: str, value: float) -> list[object]:
    return [name, {"value": value, "low": value - 0.1, "high": value + 0.1}, None, 7]


def test_rows_are_put_together_by_their_texts_wherever_they_stand():
    found = list(put_together([[row("a", 0.5), row("b", 0.1)], [row("b", 0.3), row("a", 0.7)]]))
    assert [(one[0], one[1]["value"], one[2:]) for one in found] == [("a", 0.6, [None, 7]), ("b", 0.2, [None, 7])]


def test_a_training_counts_once_all_of_it_is_judged_here_or_for_another_test_part(tmp_path: Path):
    run, other = tmp_path / "run", tmp_path / "run" / "test-1"
    for name in ("seed0/a", "seed0/b", "seed1/a", "seed10/a", "seed10/b", "test-1/seed1/b"):
        (run / name).parent.mkdir(parents=True, exist_ok=True)
        (run / name).touch()
    (run / "seed0.log").touch()
    assert list(judged_trainings(run, ["a", "b"])) == ["0", "10"]
    assert judged_trainings(run, ["a", "b"], other) == {seed: run / f"seed{seed}" for seed in ("0", "1", "10")}


def test_trainings_of_the_same_dialogues_stay_and_those_of_others_do_not(tmp_path: Path, capsys):
    log = tmp_path / "log.jsonl"
    log.write_text("one", encoding="utf-8")
    path, judged = tmp_path / "table.json", digest([log])
    first = over_trainings(path, judged, {"0": [row("a", 0.5)], "10": [row("a", 0.9)]}, "make it")
    path.write_text(json.dumps(first), encoding="utf-8")
    again = over_trainings(path, judged, {"2": [row("a", 0.8)], "0": [row("a", 0.4)]}, "make it")
    assert again["command"] == 'SEEDS="0 2 10" make it'
    assert [found[0][1]["value"] for found in again["trainings"].values()] == [0.4, 0.8, 0.9]
    assert over_trainings(path, judged, {}, "make it") == first
    log.write_text("other", encoding="utf-8")
    other = over_trainings(path, digest([log]), {"1": [row("a", 0.3)]}, "make it")
    assert list(other["trainings"]) == ["1"]
    assert "other dialogues" in capsys.readouterr().err
