"""Fields of a record that labelgen does not know: they stay in `extra` as JSON text."""

import json
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, TypeGuard

from labelgen.base.errors import UsageError
from labelgen.data.dialogue import Dialogue, Turn
from labelgen.data.refusal import Refusal

_SHOWN = 20


def extra(held: Dialogue | Turn) -> Mapping[str, Any]:
    """The fields by name; none where `extra` is empty or no JSON object."""
    return _decoded(held.extra)


def domains_on_offer(dialogue: Dialogue, field: str) -> tuple[str, ...] | None:
    """What the record says under `field` of the domains (services, skills) that its user could turn to, sorted; None where it
    holds no list of words there."""
    found = extra(dialogue).get(field)
    return tuple(sorted(set(found))) if _lists_words(found) else None


def bad_domains(dialogue: Dialogue, field: str | None) -> Refusal | None:
    """Where the record has something under `field` that is no list of words; null is nothing. None asks for nothing."""
    found = None if field is None else extra(dialogue).get(field)
    if field is None or found is None or _lists_words(found):
        return None
    hint = 'write the domains on offer as ["Banks", "Buses"], or leave the field out'
    return Refusal(
        "bad_domains", field, UsageError(f"{field!r} of the dialogue is no list of words", "--domains-from", hint)
    )


def _lists_words(found: Any) -> TypeGuard[list[str]]:
    return isinstance(found, list) and all(isinstance(word, str) for word in found)


def refuse_without_domains(dialogues: Iterable[Dialogue], field: str | None) -> None:
    """Raises UsageError where no dialogue lists domains on offer in `field`; reads until the first that does. None asks for
    nothing."""
    if field is None:
        return
    lists: set[str] = set()
    count = 0
    for dialogue in dialogues:
        if domains_on_offer(dialogue, field) is not None:
            return
        lists.update(name for name in extra(dialogue) if domains_on_offer(dialogue, name) is not None)
        count += 1
    if count:
        named = f"fields that do: {', '.join(sorted(lists)[:_SHOWN])}" if lists else "no field does"
        raise UsageError(
            f"none of {count:,} records lists domains in {field!r}",
            f"--domains-from {field}",
            f"{named}; without --domains-from every label may be given",
        )


@lru_cache(maxsize=4096)
def _decoded(text: str | None) -> Mapping[str, Any]:
    try:
        found = None if text is None else json.loads(text)
    except ValueError:
        found = None
    return found if isinstance(found, dict) else {}
