"""How many dialogues a second the simulated worlds make on one core, in time that the process itself was computing.

    python scripts/bench_simulate.py --dialogues 3000 --corpus sgd:corpora/sgd/dev

Prints one JSON object. Of the world with its own language and of one grown from the corpus, if one is named: turns a
dialogue, and dialogues a second made with the truth alone, made with four annotators, and made and encoded, which is all
that `labelgen simulate` does but writing the bytes. To read the corpus is counted apart."""

import argparse
import json
import platform
import time
from collections.abc import Callable

from labelgen.data.dialogue import Dialogue
from labelgen.data.record import encode
from labelgen.simulator.corpus_world import CorpusWorld
from labelgen.simulator.log import simulate
from labelgen.simulator.scripts import read_corpus
from labelgen.simulator.world import WorldOptions


def rates(dialogues: int, seed: int, grown: CorpusWorld | None) -> dict[str, float]:
    for _ in simulate(200, seed + 1, None, grown):
        pass  # fills the caches of sounds and templates, which a long log pays once
    turns = 0

    def per_second(each: Callable[[Dialogue], object], options: WorldOptions | None = None) -> float:
        nonlocal turns
        turns = 0
        started = time.process_time()
        for dialogue in simulate(dialogues, seed, options, grown):
            each(dialogue)
            turns += len(dialogue.turns)
        return round(dialogues / (time.process_time() - started), 1)

    found = {
        "truth_alone_per_s": per_second(id, WorldOptions(annotated=0.0)),
        "made_per_s": per_second(id),
        "made_and_encoded_per_s": per_second(encode),
    }
    return {"turns_per_dialogue": round(turns / dialogues, 2), **found}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dialogues", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--corpus", metavar="FORMAT:PATH")
    args = parser.parse_args()
    found: dict[str, object] = {"dialogues": args.dialogues, "own": rates(args.dialogues, args.seed, None)}
    if args.corpus:
        started = time.process_time()
        grown = CorpusWorld(read_corpus(args.corpus))
        found["corpus_read_s"] = round(time.process_time() - started, 2)
        found["grown"] = rates(args.dialogues, args.seed, grown)
    found.update(python=platform.python_version(), machine=platform.machine())
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
