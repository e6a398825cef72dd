"""Why a record whose form is good cannot be used here."""

from dataclasses import dataclass

from labelgen.base.errors import UsageError


@dataclass(frozen=True, slots=True)
class Refusal:
    """code: counted by. field: of the record. error: what is raised where no record can be used."""

    code: str
    field: str
    error: UsageError

    @property
    def reason(self) -> str:
        """What a quarantine says, with what to do."""
        return f"{self.code}: {self.error.what}; {self.error.where}; {self.error.hint}"
