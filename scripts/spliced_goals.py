"""Goals in spliced dialogues of people: what is trained on, what is judged, and the figures of `scripts/spliced_goals.sh`.

    python scripts/spliced_goals.py parts star.jsonl uss.jsonl --out whole.jsonl
    python scripts/spliced_goals.py splice parts/test.jsonl spliced.jsonl --seed 0
    python scripts/spliced_goals.py collect runs/spliced

`parts` keeps the dialogues that can be parts of a splice: those of two turns or more that no annotation says to serve several
tasks one after another; their annotations are dropped. `splice` makes each of them the first part of two splices with one or
two others of its corpus, in runs of one to four turns as in training (`labelgen.feedback.splicing`): once with others of
its domain (harder) and once with others of other domains. Where domains are not known, once with any others. Annotator `splice`
gives the goals. `collect` writes results/spliced_goals.json."""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from random import Random

from goal_rows import Judged, candidates_of, goal_rows, judged_of, versions

from labelgen.base.errors import LabelgenError
from labelgen.base.files import write_text
from labelgen.data.dialogue import Dialogue
from labelgen.data.labels import GOALS, Annotation, AtGoal, Label, division
from labelgen.data.log import Log, write_log
from labelgen.feedback.splicing import interleaved, put_together

SPLICE = "splice"
KINDS = ("same domain", "other domains", "any domain")
METRICS = ("exact_goal_f1", "b_cubed_f1", "boundary_f1")
RESULTS = Path(__file__).resolve().parent.parent / "results" / "spliced_goals.json"
TEXT = (
    "Two or three dialogues of one corpus, interleaved in runs of one to four turns; each is one goal. The model learnt from "
    "splices of other dialogues alone, without any goal label (`configs/goals_from_splices.yaml`): no dialogue of a test splice "
    "was in training, not even as a part. The aim was an exact-goal F1 and a B-cubed F1 of .90."
)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    actions = parser.add_subparsers(dest="action", required=True)
    parts = actions.add_parser("parts")
    parts.add_argument("logs", type=Path, nargs="+")
    parts.add_argument("--out", type=Path, required=True)
    splice = actions.add_parser("splice")
    splice.add_argument("log", type=Path)
    splice.add_argument("out", type=Path)
    splice.add_argument("--seed", type=int, default=0)
    collect = actions.add_parser("collect")
    collect.add_argument("run", type=Path, help="the folder that scripts/spliced_goals.sh wrote")
    collect.add_argument("--out", type=Path, default=RESULTS)
    args = parser.parse_args(argv)
    try:
        if args.action == "parts":
            print(f"{write_log(args.out, parts_of(Log(args.logs)), force=True):,} dialogues in {args.out}")
        elif args.action == "splice":
            print(
                f"{write_log(args.out, splices(list(Log([args.log])), args.seed), force=True):,} splices in {args.out}"
            )
        else:
            write_text(args.out, json.dumps(table(args.run), indent=1, ensure_ascii=False) + "\n")
            print(f"wrote {args.out}")
    except LabelgenError as error:
        print(f"spliced_goals: {error}", file=sys.stderr)
        return error.exit_code
    return 0


def parts_of(log: Log) -> Iterator[Dialogue]:
    """Dialogues that can stand for one goal. SGD's and MultiWOZ's services in one dialogue belong to one errand."""
    for dialogue in log:
        if len(dialogue.turns) >= 2 and not several_tasks(dialogue):
            yield replace(dialogue, annotations=(), feedback=(), signals=(), targets=())


def several_tasks(dialogue: Dialogue) -> bool:
    """Whether the dialogue was planned as several tasks one after another, as STAR's reader says."""
    return "tasks" in json.loads(dialogue.extra or "{}")


def domains_of(dialogue: Dialogue) -> frozenset[str]:
    """Domains as far as the corpus tells: those of the turns, STAR's task, SGD's services; empty where it does not."""
    extra = json.loads(dialogue.extra or "{}")
    named = [*extra.get("services", ()), *([extra["task"]] if extra.get("task") else ())]
    return frozenset(
        [name.partition("_")[0].casefold() for name in named] + [t.domain for t in dialogue.turns if t.domain]
    )


def splices(log: Sequence[Dialogue], seed: int) -> Iterator[Dialogue]:
    """Two splices for each dialogue, or one where its domains are not known; none where no others fit."""
    domains = {dialogue.id: domains_of(dialogue) for dialogue in log}
    of_source: dict[str | None, list[Dialogue]] = {}
    for dialogue in log:
        of_source.setdefault(dialogue.source, []).append(dialogue)
    for dialogue in log:
        for kind in KINDS[:2] if domains[dialogue.id] else KINDS[2:]:
            rng = Random(f"{seed}/{kind}/{dialogue.id}")
            parts = [dialogue]
            for _ in range(rng.choice((1, 2))):
                ids, own = [part.id for part in parts], [domains[part.id] for part in parts]
                fitting = [
                    other
                    for other in of_source[dialogue.source]
                    if other.id not in ids
                    and (kind == KINDS[2] or all(bool(domains[other.id] & x) == (kind == KINDS[0]) for x in own))
                ]
                if fitting:
                    parts.append(rng.choice(fitting))
            if len(parts) > 1:
                yield spliced(parts, kind, rng)


def spliced(parts: Sequence[Dialogue], kind: str, rng: Random) -> Dialogue:
    """The parts as one dialogue, with the goals by annotator `splice` and the kind in `extra`."""
    made, goals = put_together(parts, interleaved([len(part.turns) for part in parts], rng))
    labels = tuple(Label(GOALS, AtGoal(goal), "goal") for goal in goals)
    name = f"{kind}: {made.id}"
    return replace(
        made, id=name, user=None, annotations=(Annotation(SPLICE, "truth", labels),), extra=json.dumps({"kind": kind})
    )


def table(run: Path) -> dict[str, object]:
    """The table of a run: of each corpus and kind of splice, for each seed and for all of them together."""
    judged = [x for path in sorted(run.glob("evaluation*/predictions.jsonl")) for x in judged_of(path, SPLICE)]
    rows: list[list[object]] = []
    for kind in KINDS:
        own = [x for x in judged if json.loads(x.dialogue.extra or "{}")["kind"] == kind]
        for source in sorted({str(x.dialogue.source) for x in own}):
            of_source = [x for x in own if x.dialogue.source == source]
            rows += [[source, kind, *row] for row in goal_rows(of_source, candidates(of_source), METRICS)]
        rows += [["all", kind, *row] for row in goal_rows(own, candidates(own), METRICS)] if own else []
    parts = {id for x in judged for id in x.dialogue.id.partition(": ")[2].split("+")}
    goals = sum(len(division(x.reference) or ()) for x in judged)
    return {
        "order": 2,
        "title": "Goals in spliced dialogues of people",
        "text": TEXT,
        "command": "bash scripts/spliced_goals.sh DATA",
        "versions": versions(),
        "data": f"{len(judged):,} splices of {len(parts):,} test dialogues, {goals:,} goals; {about(run)}",
        "columns": ["corpus", "parts", "candidate", "splices", *(f"{m} (95%)" for m in METRICS)],
        "rows": rows,
    }


def candidates(judged: Sequence[Judged]) -> list[str]:
    return candidates_of(judged, without=(SPLICE,))


def about(run: Path) -> str:
    """What the models were trained on."""
    cards = [json.loads(p.read_text(encoding="utf-8")) for p in sorted(run.glob("seed-*/model/card.json"))]
    told = {f"{card['dialogues']:,} training dialogues, {card['steps']:,} steps" for card in cards}
    return f"{len(cards)} training seeds; {'; '.join(sorted(told))}."


if __name__ == "__main__":
    sys.exit(main())
