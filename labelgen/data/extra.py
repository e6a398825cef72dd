"""Fields of a record that labelgen does not know: they stay in `extra` as JSON text."""

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from labelgen.data.dialogue import Dialogue, Turn


def extra(held: Dialogue | Turn) -> Mapping[str, Any]:
    """The fields by name; none where `extra` is empty or no JSON object."""
    return _decoded(held.extra)


def domains_on_offer(dialogue: Dialogue, field: str) -> tuple[str, ...] | None:
    """What the record says under `field` of the domains (services, skills) that its user could turn to, sorted; None where it
    holds no list of words there."""
    found = extra(dialogue).get(field)
    if not isinstance(found, list) or not all(isinstance(word, str) for word in found):
        return None
    return tuple(sorted(set(found)))


@lru_cache(maxsize=4096)
def _decoded(text: str | None) -> Mapping[str, Any]:
    try:
        found = None if text is None else json.loads(text)
    except ValueError:
        found = None
    return found if isinstance(found, dict) else {}
