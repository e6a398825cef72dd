"""Labeling one stream: records in at one end, labeled records out at the other. It cannot be resumed."""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import IO

from labelgen.data.dialogue import Dialogue
from labelgen.data.log import Log
from labelgen.data.record import encode
from labelgen.labeling.counts import Sums, tally, total, with_untold
from labelgen.labeling.shard import Annotates, annotated, unfamiliar

_AT_ONCE = 256


def label_stream(log: Log, annotator: Annotates, to: IO[bytes], redact: bool = False) -> Iterator[Sums]:
    """Write the labeled records of `log` to `to`, and give the sums of every few hundred of them.

    Raises InputError, after the last record, where too many were bad."""
    dialogues: Iterable[Dialogue] = iter(log)
    while some := list(islice(dialogues, _AT_ONCE)):
        labeled = annotated(some, annotator, None, redact)
        for dialogue, _ in labeled:
            to.write(encode(dialogue) + b"\n")
        to.flush()
        yield with_untold(tally(labeled, ()), 0, {}, *unfamiliar(some, annotator))


def stream_sums(parts: Iterable[Sums], log: Log) -> Sums:
    """All together, with what the log rejected."""
    rejected = [reason for reason, count in log.reasons.items() for _ in range(count)]
    return total([*parts, tally((), rejected)])
