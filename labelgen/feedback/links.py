"""Links and cuts between turns: whether two turns serve one goal, from what users do and from the words of both sides.

Must-link and cannot-link constraints, each with the assumed probability that it is right (Wagstaff et al. 2001, "Constrained
K-means Clustering with Background Knowledge"). A correction, a repeated request and an answer to the assistant's question go
on with the goal. Thanks, an offer of more help or an unanswered question, and then a request in other words, begin another."""

import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from labelgen.data.dialogue import Dialogue, Signal, Turn
from labelgen.feedback.cues import asks_if_served, gap_s, gives_up, is_closing, plain, says_stop, takes_leave
from labelgen.feedback.items import LONG_GAP_S, domain_of

LINK_PRECISION: Mapping[str, float] = {
    "correction": 0.95,
    "rephrase": 0.95,
    "answer to a question": 0.9,
    "parting": 0.9,
}
"""kind of a link -> assumed share that is right."""

CUT_PRECISION: Mapping[str, float] = {
    "other domain": 0.85,
    "closing, then another topic": 0.8,
    "question left, then another topic": 0.75,
    "long gap, then another topic": 0.75,
}
"""kind of a cut -> assumed share that is right."""

_BLOCK = 2
"""Turns on each side of a gap whose words are compared."""
_LEAST_WORDS = 4
"""Words of a request that may open a goal."""
_PARTING_WORDS = 8
"""Words of a request that only thanks or takes leave, at most."""
_ACCEPTS = re.compile(r"\b(?:yes|yeah|yep|yup|sure|please do|go ahead|no|nope)\b")


@dataclass(frozen=True, slots=True)
class GoalLink:
    """Whether two turns serve one goal. earlier < later: the turns. same: True for a link, False for a cut. probability:
    that this is right. kind: key of LINK_PRECISION or CUT_PRECISION."""

    earlier: int
    later: int
    same: bool
    probability: float
    kind: str
