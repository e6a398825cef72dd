"""What could not be read: kept with its reason, never dropped."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejected:
    """A record that stays out. file and line (from 1) say where it stood, field what was wrong with it; raw is the
    record as it came, so that it can be mended and read again."""

    file: str
    reason: str
    line: int | None = None
    dialogue: str | None = None
    field: str | None = None
    raw: str | None = None

    def where(self) -> str:
        parts = [self.file]
        if self.line is not None:
            parts.append(f"line {self.line}")
        if self.dialogue is not None:
            parts.append(f"dialogue {self.dialogue}")
        if self.field is not None:
            parts.append(f"field {self.field}")
        return ", ".join(parts)
