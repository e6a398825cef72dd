"""Turn the evaluation of SGD by `make public` into the small files in results/: `python scripts/collect_results.py RUN`.

Every number comes from RUN/evaluation-*/evaluation.json, which `labelgen evaluate` computed from predictions.jsonl."""

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

Row = list[Any]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="the folder that make public wrote")
    parser.add_argument("--out", type=Path, default=Path(__file__).resolve().parent.parent / "results")
    parser.add_argument("--note", default="", help="what else a reader must know of this run, said below each table")
    args = parser.parse_args()
    args.out.mkdir(exist_ok=True)
    for name, table in tables(args.run):
        table["data"] = " ".join(part for part in (table["data"], args.note) if part)
        path = args.out / f"{name}.json"
        path.write_text(json.dumps(table, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        print(f"wrote {path}")
    return 0


def tables(run: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Name and content of each table."""
    sgd = _read(run / "evaluation-sgd")
    yield "sgd", table_of(sgd, 1, "SGD: goals, outcomes, intents, slots", SGD_TEXT, SGD_METRICS)
    yield (
        "sgd_parts",
        _table(sgd, 2, "SGD by part, and dialogues whose goals interleave", SLICES_TEXT, _slices(sgd), SLICE_COLUMNS),
    )


SGD_TEXT = (
    "One model with the dialogue encoder and one without it (each turn alone), trained on the same dialogues with the same "
    "budget. The test dialogues are of three parts: held-out dialogues of the training services, dev and test, where most "
    "services are new and are scored by the descriptions of their labels. All labels of a part may be decoded. The dialogues "
    "of each part are a sample by a stable hash."
)
SLICES_TEXT = "`sgd/train` are held-out dialogues of services that were trained on."
SGD_METRICS = (
    "exact_goal_f1",
    "b_cubed_f1",
    "boundary_f1",
    "failure_auprc",
    "accuracy",
    "ece",
    "intent_accuracy",
    "intent_macro_f1",
    "slot_span_f1",
    "slot_value_f1",
    "slot_turn_accuracy",
    "frame_accuracy",
)
SLICE_COLUMNS = ("question", "metric", "slice", "candidate", "value (95%)", "items")


def table_of(
    evaluation: Mapping[str, Any], order: int, title: str, text: str, metrics: Sequence[str]
) -> dict[str, Any]:
    """The table of an evaluation: a row for each question, metric and candidate."""
    return _table(evaluation, order, title, text, _rows(evaluation, metrics))


def _read(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "evaluation.json").read_text(encoding="utf-8"))
    return found


def _table(
    evaluation: Mapping[str, Any],
    order: int,
    title: str,
    text: str,
    rows: Sequence[Row],
    columns: Sequence[str] = (
        "question",
        "candidate",
        "metric",
        "value (95%)",
        "items",
        "over a single annotator (95%)",
    ),
) -> dict[str, Any]:
    data = evaluation["data"]
    left_out = ", ".join(f"{x['dialogues']:,} left out ({x['reason']})" for x in data["left_out"] if x.get("dialogues"))
    about = f"{data['dialogues']:,} dialogues, {data['turns']:,} turns" + (f"; {left_out}" if left_out else "")
    seeds = f"bootstrap seed {evaluation['setting']['seed']}, {evaluation['setting']['resamples']:,} resamples"
    models = evaluation["model"]
    cards = [models] if "digest" in models else models.values()
    learned = " and ".join(f"{count:,}" for count in sorted({card["dialogues"] for card in cards}))
    trained = f"training seed 0, {learned} dialogues." if learned else "training seed 0."
    return {
        "order": order,
        "title": title,
        "text": text,
        "command": "make public DATA=DIR",
        "versions": evaluation["versions"],
        "data": f"{about}; {seeds}; {trained}",
        "columns": list(columns),
        "rows": list(rows),
    }


def _rows(evaluation: Mapping[str, Any], metrics: Sequence[str]) -> list[Row]:
    rows: list[Row] = []
    for question in evaluation["tasks"]:
        ratios = {(r["system"], r["metric"]): r for r in question["ratios"] if r["opponent"] == "human baseline"}
        for metric in [m for m in metrics if m in question["metrics"]]:
            for row in question["rows"]:
                estimate = row["metrics"][metric]
                if estimate["value"] is None:
                    continue
                ratio = ratios.get((row["system"], metric))
                rows.append(
                    [question["name"], row["system"], metric, _short(estimate), estimate["items"], _short(ratio)]
                )
    return rows


def _slices(evaluation: Mapping[str, Any]) -> list[Row]:
    return [
        [q["name"], s["metric"], f"{s['by']}: {s['name']}", s["system"], _short(s), s["items"]]
        for q in evaluation["tasks"]
        for s in q["slices"]
        if s["by"] in ("source", "interleaved") and s["value"] is not None
    ]


def _short(estimate: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Three decimals are more than the intervals support; more would only make the file long."""
    if estimate is None or estimate["value"] is None:
        return None
    keys = ("value", "low", "high")
    return {key: None if estimate[key] is None else round(estimate[key], 4) for key in keys}


if __name__ == "__main__":
    sys.exit(main())
