"""Goals in spliced dialogues of people: what is trained on, what is judged, and the figures of `scripts/goals.sh`.

    python scripts/spliced_goals.py parts parts/train.jsonl whole/train.jsonl
    python scripts/spliced_goals.py splice whole/test.jsonl spliced.jsonl --most 150
    python scripts/spliced_goals.py several parts/test.jsonl several/test.jsonl --completed
    python scripts/spliced_goals.py collect runs/goals

`parts` keeps the dialogues that can be parts of a splice: those of two turns or more that were not planned as several tasks
one after another; their annotations are dropped. `splice` makes each of them the first part of two splices with one or
two others of its corpus, in runs of one to four turns as in training (`labelgen.pretraining.corruption`): once with others of
its domain (harder) and once with others of other domains; where domains are not known, once with any others. Annotator
`splice` gives the goals. `several` keeps the dialogues that were planned as several tasks, with `--completed` those that
came to their end and in which two goals or more were served. `collect` writes results/spliced_goals.json and
results/star_goals.json."""

import argparse
import json
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random

from command import tells_errors, write_table
from goal_rows import candidates_of, goal_rows, judged_of, versions
from msgspec.structs import replace
from several_trainings import digest, judged_trainings, over_trainings

from labelgen.data.dialogue import Dialogue
from labelgen.data.labels import GOALS, Annotation, AtGoal, Label, division
from labelgen.data.log import Log, write_log
from labelgen.data.split import position
from labelgen.pretraining.corruption import interleaved, join_parts

SPLICE = "splice"
KINDS = ("same domain", "other domains", "any domain")
WIZARD = "wizard"
COMMAND = "bash scripts/goals.sh DATA"
METRICS = ("exact_goal_f1", "b_cubed_f1", "boundary_f1", "pk", "window_diff")
RESULTS = Path(__file__).resolve().parent.parent / "results"
TEXT = (
    "Two or three dialogues of one corpus, interleaved in runs of one to four turns; each is one goal. The model learned from "
    "splices of other dialogues alone, without any goal label (`configs/goals_from_splices.yaml`, from the model that `scripts/pretraining.sh` pretrains, the encoder frozen): no dialogue of a test splice "
    "was in training, not even as a part. The aim is an exact-goal F1 and a B-cubed F1 of .90."
)
STAR_TEXT = (
    "Completed multi-task dialogues in which the wizard selected two tasks or more, of users of whom nothing was seen in "
    "training. The reference are the wizard's clicks, as the reader takes them. `splices alone` learned from no goal label."
)


@tells_errors
def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    actions = parser.add_subparsers(dest="action", required=True)
    given = {name: actions.add_parser(name) for name in ("parts", "splice", "several")}
    for action in given.values():
        action.add_argument("log", type=Path)
        action.add_argument("out", type=Path)
    given["splice"].add_argument("--seed", type=int, default=0)
    given["splice"].add_argument("--most", type=int, help="splices of each corpus and kind (default: all)")
    given["several"].add_argument("--completed", action="store_true")
    collect = actions.add_parser("collect")
    collect.add_argument("run", type=Path, help="the folder that scripts/goals.sh wrote")
    collect.add_argument("--judged", type=Path, help="where STAR was judged (default: the run)")
    collect.add_argument("--out", type=Path, default=RESULTS)
    args = parser.parse_args(argv)
    if args.action == "collect":
        path = args.out / "spliced_goals.json"
        write_table(path, spliced_table(args.run, path))
        path = args.out / "star_goals.json"
        write_table(path, star_table(args.run, args.judged or args.run, path))
        print(f"wrote {args.out}/spliced_goals.json and {path}")
        return 0
    log = Log([args.log])
    made = {
        "parts": lambda: parts_of(log),
        "splice": lambda: splices(list(log), args.seed, args.most),
        "several": lambda: several(log, args.completed),
    }[args.action]()
    print(f"{write_log(args.out, made, log.labels(), force=True):,} dialogues in {args.out}")
    return 0


def parts_of(log: Log) -> Iterator[Dialogue]:
    """Dialogues that can stand for one goal. Those of MultiWOZ keep to one trip, whatever its domains. USS's parts from
    MultiWOZ and SGD are left out: the first are in MultiWOZ too, the others were written out from templates."""
    for dialogue in log:
        if len(dialogue.turns) >= 2 and not several_tasks(dialogue) and dialogue.source not in ("uss/MWOZ", "uss/SGD"):
            yield replace(dialogue, annotations=(), feedback=(), signals=(), targets=())


def several_tasks(dialogue: Dialogue) -> bool:
    """Whether the dialogue was planned as several tasks one after another, as STAR's reader says."""
    return "tasks" in json.loads(dialogue.extra or "{}")


def several(log: Log, completed: bool) -> Iterator[Dialogue]:
    """Dialogues planned as several tasks; of the completed ones those whose wizard served two goals or more."""
    for dialogue in log:
        if several_tasks(dialogue):
            wizard = dialogue.annotation(WIZARD)
            goals = () if wizard is None else division(wizard) or ()
            done = json.loads(dialogue.extra or "{}").get("completion") == "Complete"
            if not completed or (done and len(goals) >= 2):
                yield replace(dialogue, annotations=() if wizard is None else (wizard,))


def domains_of(dialogue: Dialogue) -> frozenset[str]:
    """Domains as far as the corpus tells: those of MultiWOZ's written goal, that of STAR's task (`bank` of `bank_balance`)."""
    extra = json.loads(dialogue.extra or "{}")
    task = extra.get("task")
    return frozenset(extra.get("goal", ())) | ({task.partition("_")[0]} if task else frozenset())


def corpus_of(dialogue: Dialogue) -> str:
    """`multiwoz` of its parts, else the source."""
    source = str(dialogue.source)
    return "multiwoz" if source.startswith("multiwoz/") else source


def splices(log: Sequence[Dialogue], seed: int, most: int | None = None) -> Iterator[Dialogue]:
    """Two splices for each dialogue, or one where its domains are not known; none where no others fit.

    most: splices of each corpus and kind; those of the dialogues that a stable hash puts first."""
    made: Counter[tuple[str, str]] = Counter()
    domains = {dialogue.id: domains_of(dialogue) for dialogue in log}
    of_corpus: dict[str, list[Dialogue]] = {}
    for dialogue in log:
        of_corpus.setdefault(corpus_of(dialogue), []).append(dialogue)
    for dialogue in sorted(log, key=lambda d: position(seed, d.id)):
        corpus = corpus_of(dialogue)
        for kind in KINDS[:2] if domains[dialogue.id] else KINDS[2:]:
            if most is not None and made[corpus, kind] >= most:
                continue
            rng = Random(f"{seed}/{kind}/{dialogue.id}")
            parts = [dialogue]
            for _ in range(rng.choice((1, 2))):
                ids, own = [part.id for part in parts], [domains[part.id] for part in parts]
                fitting = [
                    other
                    for other in of_corpus[corpus]
                    if other.id not in ids
                    and (kind == KINDS[2] or all(bool(domains[other.id] & x) == (kind == KINDS[0]) for x in own))
                ]
                if fitting:
                    parts.append(rng.choice(fitting))
            if len(parts) > 1:
                made[corpus, kind] += 1
                yield spliced(parts, kind, rng)


def spliced(parts: Sequence[Dialogue], kind: str, rng: Random) -> Dialogue:
    """The parts as one dialogue, with the goals by annotator `splice` and the kind in `extra`."""
    made, goals = join_parts(parts, interleaved([len(part.turns) for part in parts], rng))
    labels = tuple(Label(GOALS, AtGoal(goal), "goal") for goal in goals)
    name = f"{kind}: {made.id}"
    return replace(
        made, id=name, user=None, annotations=(Annotation(SPLICE, "truth", labels),), extra=json.dumps({"kind": kind})
    )


def spliced_table(run: Path, path: Path) -> dict[str, object]:
    """Of each kind of splice and corpus, and of the kind as a whole."""
    trainings, data = {}, ""
    for seed, folder in judged_trainings(run, ["evaluation-spliced/predictions.jsonl"]).items():
        judged = judged_of(folder / "evaluation-spliced" / "predictions.jsonl", SPLICE)
        names = candidates_of(judged, without=(SPLICE,))
        rows: list[list[object]] = []
        for kind in KINDS:
            own = [x for x in judged if json.loads(x.dialogue.extra or "{}")["kind"] == kind]
            corpora = sorted({corpus_of(x.dialogue) for x in own})
            for corpus in [*corpora, None] if len(corpora) > 1 else corpora:
                part = [x for x in own if corpus in (None, corpus_of(x.dialogue))]
                rows += [[kind, corpus or "all", *row] for row in goal_rows(part, names, METRICS)]
        trainings[seed] = rows
        ids = {id for x in judged for id in x.dialogue.id.partition(": ")[2].split("+")}
        data = f"{len(judged):,} splices of {len(ids):,} test dialogues. {about(folder, names)}"
    found = over_trainings(path, digest([run / "whole/train.jsonl", run / "spliced.jsonl"]), trainings, COMMAND)
    return _table(2, "Goals in spliced dialogues of people", TEXT, data, ["parts", "corpus"], found)


def star_table(run: Path, test: Path, path: Path) -> dict[str, object]:
    """test: the folder of what was judged, which may be of another test log than the run's own."""
    trainings, data = {}, ""
    for seed, folder in judged_trainings(test, ["evaluation-star/predictions.jsonl"]).items():
        judged = judged_of(folder / "evaluation-star" / "predictions.jsonl", WIZARD)
        names = candidates_of(judged, without=(WIZARD,))
        trainings[seed] = goal_rows(judged, names, METRICS)
        data = f"{len(judged):,} dialogues of {len({x.dialogue.user for x in judged})} users. {about(run / folder.name, names)}"
    logs = [run / "whole/train.jsonl", run / "several/train.jsonl", test / "several/test.jsonl"]
    found = over_trainings(path, digest(logs), trainings, COMMAND)
    return _table(3, "STAR: goals in completed multi-task dialogues", STAR_TEXT, data, [], found)


def _table(
    order: int, title: str, text: str, data: str, first: list[str], found: dict[str, object]
) -> dict[str, object]:
    return {
        "order": order,
        "title": title,
        "text": text,
        "versions": versions(),
        "columns": [*first, "candidate", "dialogues", *(f"{m} (95%)" for m in METRICS)],
        **found,
        "data": f"{data} {found['data']}",
    }


def about(run: Path, names: Sequence[str]) -> str:
    """What the models learned from: of each that was judged the dialogues and steps that its card names."""
    told = []
    for name in names:
        path = run / name.replace(" ", "-") / "model" / "card.json"
        if path.is_file():
            card = json.loads(path.read_text(encoding="utf-8"))
            told.append(
                f"{name}: {card['dialogues']:,} training dialogues, {card['step']:,} of {card['steps']:,} steps"
            )
    return f"{'; '.join(told)}."


if __name__ == "__main__":
    sys.exit(main())
