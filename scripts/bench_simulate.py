"""How many dialogues a second the simulated world makes on one core.

    python scripts/bench_simulate.py --dialogues 3000

Prints one JSON object: dialogues a second made, made and encoded, with 4 annotators and with the truth alone."""

import argparse
import json
import platform
import time
from collections.abc import Callable, Iterator

from labelgen.data.dialogue import Dialogue
from labelgen.data.record import encode
from labelgen.world.log import simulate
from labelgen.world.options import WorldOptions


def rate(dialogues: Callable[[], Iterator[Dialogue]], count: int, encoded: bool) -> float:
    started = time.perf_counter()
    for dialogue in dialogues():
        if encoded:
            encode(dialogue)
    return round(count / (time.perf_counter() - started), 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dialogues", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    alone = WorldOptions(annotated=0.0)
    for _ in simulate(200, args.seed + 1):
        pass  # fills the caches of sounds and templates, which a long log pays once
    print(
        json.dumps(
            {
                "dialogues": args.dialogues,
                "made_per_s": rate(lambda: simulate(args.dialogues, args.seed), args.dialogues, False),
                "made_and_encoded_per_s": rate(lambda: simulate(args.dialogues, args.seed), args.dialogues, True),
                "truth_alone_per_s": rate(lambda: simulate(args.dialogues, args.seed, alone), args.dialogues, False),
                "python": platform.python_version(),
                "machine": platform.machine(),
            },
            indent=1,
        )
    )


if __name__ == "__main__":
    main()
