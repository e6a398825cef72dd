"""What became of the sound of turns, in words."""

from collections.abc import Mapping


def told(heard: int, unheard: Mapping[str, int]) -> str:
    """For people: `sound: 3 of 4 read; not read: no_file 1`; empty where none was sought. heard: how often sound was
    read; unheard: how often not, by reason."""
    sought = heard + sum(unheard.values())
    if not sought:
        return ""
    reasons = ", ".join(f"{reason} {count:,}" for reason, count in sorted(unheard.items()))
    read = f"{heard:,} of {sought:,} read" if heard else f"NONE of {sought:,} could be read, so nothing was heard"
    return f"sound: {read}" + (f"; not read: {reasons}" if reasons else "")
