"""What of a log may be judged: `python scripts/held_out.py LOG OUT --train LOG...` writes the dialogues that nothing was learned from.

Left out, and told with their number, are those that are in the training logs: with the same requests in the same order or, with
--users, of one of their users, as far as these are known. With --splits FILE, of USS, a LOG that goes on behind the parts that
FILE shares is a whole published corpus: of it the dialogues that FILE holds back are kept, and no others."""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from command import tells_errors

from labelgen.base.errors import InputError
from labelgen.data.dialogue import Dialogue
from labelgen.data.log import Log, write_log
from labelgen.data.split import Seen


@tells_errors
def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("log", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--train", type=Path, nargs="+", required=True, metavar="LOG", help="what was learned from")
    parser.add_argument("--users", action="store_true", help="users of the training logs are left out")
    parser.add_argument("--splits", type=Path, metavar="FILE", help="that names the positions that are held back")
    args = parser.parse_args(argv)
    log, train = Log([args.log]), Log(args.train)
    given = list(log)
    held_back = [] if args.splits is None else _held_back(args.splits, given)
    why = "are not held back" if held_back else "are known from training"
    kept = held_back or _unknown(given, train, args.users)
    left_out = len(given) - len(kept)
    if not kept:
        raise InputError(f"all {left_out:,} dialogues {why}", str(args.log), "name a test part that was held out")
    write_log(args.out, kept, log.labels(), force=True)
    if left_out:
        print(f"{args.log}: {left_out:,} dialogues {why} and are left out; {len(kept):,} are judged", file=sys.stderr)
    return 0


def _unknown(given: Sequence[Dialogue], train: Log, by_user: bool) -> list[Dialogue]:
    """The dialogues that are not in the training log, nor of its users."""
    users = {dialogue.user for dialogue in train if dialogue.user} if by_user else set()
    seen = Seen(train)
    return [dialogue for dialogue in given if dialogue.user not in users and dialogue not in seen]


def _held_back(splits: Path, given: Sequence[Dialogue]) -> list[Dialogue]:
    """The dialogues at the positions of the published file, from first to last, that were held back; none of a part of it."""
    first, last = json.loads(splits.read_text(encoding="utf-8"))["test_held_back"]
    return [dialogue for dialogue in given if first <= int(dialogue.id.rpartition("/")[2]) <= last]


if __name__ == "__main__":
    sys.exit(main())
