"""The smallest possible normalizer of slot values: one function, and one entry point of the group `labelgen.normalizers`."""


def normalize(text: str, locale: str | None) -> str | None:
    """Upper-case words of four letters; None for others."""
    return text.upper() if len(text) == 4 else None
