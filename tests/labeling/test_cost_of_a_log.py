"""scripts/cost_of_a_log.py by hand: prices times what was counted, and nothing else."""

import json

import cost_of_a_log as script
from labeled import labeled_dialogue

from labelgen.data.log import write_log
from labelgen.model.folder import load_model


def test_costs_are_prices_times_what_was_counted(tmp_path, tiny_model):
    dialogues = [labeled_dialogue(seed) for seed in range(4)]
    write_log(tmp_path / "a.jsonl", dialogues)
    core, gpu = tmp_path / "core.json", tmp_path / "gpu.json"
    core.write_text(json.dumps({"unit": "core", "turns_a_s": {"fp32": 200.0, "bf16": 400.0}}))
    gpu.write_text(json.dumps({"unit": "GPU", "turns_a_s": {"bf16": 10_000.0}}))
    words = [str(tmp_path / "a.jsonl"), "--model", str(tiny_model), "--speed", str(core), "--speed", str(gpu)]
    words += ["--turns", "7200000", "--core-hour-usd", "0.5", "--gpu-hour-usd", "10", "--instructions", "100"]
    assert script.main([*words, "--llm", "wise=2:8", "--out", str(tmp_path / "cost.json")]) == 0
    table = json.loads((tmp_path / "cost.json").read_text())
    rows = {row[0].partition(" (")[0]: row for row in table["rows"]}
    assert rows["labelgen, fp32, one core"][2:4] == ["10 core-hours", "5"]
    assert rows["labelgen, bf16, one core"][2:4] == ["5 core-hours", "2"]
    assert rows["labelgen, bf16, one GPU"][2:4] == ["0 GPU-hours", "2"]

    model = load_model(tiny_model)
    tokenizer = model.tokenizer.tokenizer

    def count(text: str) -> int:
        return len(tokenizer(text, add_special_tokens=False)["input_ids"])

    turns = [turn for dialogue in dialogues for turn in dialogue.turns]
    names = sum(count(text) for text in script._names(model, "toy"))
    given = sum(count(turn.request) + count(turn.response) for turn in turns) + 4 * (names + 100)
    said = sum(count(script.answer(dialogue)) for dialogue in dialogues)
    assert table["log"] == {
        "dialogues": 4,
        "turns": len(turns),
        "text": given - 4 * (names + 100),
        "names": 4 * names,
        "labels": said,
    }
    assert rows["wise"][3] == f"{(given * 2 + said * 8) / 1e6 / len(turns) * 7.2e6:,.0f}"
    assert rows["a person"][2] == f"{7.2e6 / len(turns) * 4 / 30:,.0f}"
    assert all("measured" in table["columns"] and row[4] and row[5] for row in table["rows"])
