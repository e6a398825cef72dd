"""Offsets in texts: code points here, UTF-16 code units in a browser.

Label Studio's Paragraphs tag counts `range.toString().length` of what is selected (HtxParagraphs.jsx), so a character
outside the Basic Multilingual Plane counts twice there. Its Text tag counts code points since it was fixed."""


def to_units(text: str, offset: int) -> int:
    """UTF-16 code units before the code point `offset` of the text."""
    return len(text[:offset].encode("utf-16-le", "surrogatepass")) // 2


def from_units(text: str, units: int) -> int:
    """The code point that begins after so many UTF-16 code units. Raises ValueError where none does: outside the text, or
    within a character."""
    whole = text.encode("utf-16-le", "surrogatepass")
    if not 0 <= 2 * units <= len(whole):
        raise ValueError(f"offset {units} is outside a text of {len(whole) // 2} UTF-16 code units")
    offset = len(whole[: 2 * units].decode("utf-16-le", "replace"))
    if to_units(text, offset) != units:
        raise ValueError(f"offset {units} is within a character")
    return offset
