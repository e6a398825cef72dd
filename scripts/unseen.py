"""A test part that was given, without what was trained on: `python scripts/unseen.py TEST.jsonl OUT.jsonl TRAIN.jsonl...`

A record that stands in a training log too, with the same id and the same words, is left out, as where TEST is a whole release. With
--users nobody's dialogues are kept who is a user of a training log."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from command import tells_errors

from labelgen.base.errors import InputError
from labelgen.data.dialogue import Dialogue
from labelgen.data.log import Log, write_log


@tells_errors
def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("test", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("train", type=Path, nargs="+")
    parser.add_argument("--users", action="store_true")
    args = parser.parse_args(argv)
    trained, users = set(), set()
    for dialogue in Log(args.train):
        trained.add(_key(dialogue))
        users.add(dialogue.user)
    log = Log([args.test])
    known = users - {None} if args.users else set()
    held = list(log)
    kept = [d for d in held if _key(d) not in trained and d.user not in known]
    if not kept:
        raise InputError(
            "all of it was trained on", str(args.test), "name a folder that holds what the training part does not"
        )
    write_log(args.out, kept, log.labels(), force=True)
    left = len(held) - len(kept)
    print(f"{len(kept):,} dialogues in {args.out}" + (f"; {left:,} were trained on and are left out" if left else ""))
    return 0


def _key(dialogue: Dialogue) -> tuple[str, str | None, tuple[tuple[str, str], ...]]:
    return dialogue.id, dialogue.source, tuple((turn.request, turn.response) for turn in dialogue.turns)


if __name__ == "__main__":
    sys.exit(main())
