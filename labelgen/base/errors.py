"""Every error that labelgen raises on purpose.

    LabelgenError            1   unexpected, the base of the family
    ├── UsageError           2   a command, option or config that cannot be carried out
    ├── InputError           3   data that cannot be used, or too much bad input
    ├── IntegrityError       4   a model folder or an output folder that is not what it says it is
    └── StorageError         5   reading or writing failed

The number is the exit code of the command that raised it.
"""

from typing import ClassVar


class LabelgenError(Exception):
    """Says what happened, where, and how to mend it; printed as three lines."""

    exit_code: ClassVar[int] = 1

    def __init__(self, what: str, where: str = "", mend: str = "") -> None:
        self.what = what
        self.where = where
        self.mend = mend
        super().__init__(what, where, mend)

    def __str__(self) -> str:
        lines = [self.what]
        if self.where:
            lines.append(f"  where: {self.where}")
        if self.mend:
            lines.append(f"  mend:  {self.mend}")
        return "\n".join(lines)


class UsageError(LabelgenError):
    exit_code = 2


class InputError(LabelgenError):
    exit_code = 3


class IntegrityError(LabelgenError):
    exit_code = 4


class StorageError(LabelgenError):
    exit_code = 5
