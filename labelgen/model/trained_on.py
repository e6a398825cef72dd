"""The dialogues that a model was trained on, as its folder knows them: trained_on.bin, a fingerprint of each.

They are those whose labels or feedback it learned, also those of the model that it began from. Pretraining learns no labels,
so its dialogues are not among them. Fingerprints let nobody read a dialogue; who has one can tell whether it is there."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from labelgen.base.errors import IntegrityError
from labelgen.data.dialogue import Dialogue
from labelgen.data.fingerprint import Fingerprints, fingerprint, pack, unpack
from labelgen.model.folder import TRAINED_ON, read_card

COMPLETE = "trained_on_complete"
"""In the card: whether the file names all; false where the model that training began from does not know its own."""


@dataclass(frozen=True, slots=True)
class TrainedOn:
    """fingerprints: of the dialogues that are known; complete: whether there are no others."""

    fingerprints: Fingerprints
    complete: bool

    def holds(self, dialogue: Dialogue) -> bool | None:
        """Whether the model was trained on the dialogue; None where that is not known."""
        key = np.uint64(fingerprint(dialogue))
        place = int(np.searchsorted(self.fingerprints, key))
        if place < len(self.fingerprints) and self.fingerprints[place] == key:
            return True
        return False if self.complete else None


UNKNOWN = TrainedOn(np.empty(0, dtype=np.uint64), False)


def read_trained_on(folder: Path) -> TrainedOn:
    """UNKNOWN for a folder of an earlier version. Raises IntegrityError where the file cannot be read; load_model has found
    it whole."""
    path = folder / TRAINED_ON
    if not path.is_file():
        return UNKNOWN
    try:
        return TrainedOn(unpack(path.read_bytes()), bool(read_card(folder).get(COMPLETE)))
    except ValueError as error:
        raise IntegrityError(f"{TRAINED_ON} cannot be read: {error}", str(path), "copy the model again") from error


def joined(learned: Iterable[int], init: Path | None) -> tuple[bytes, bool]:
    """The file's bytes and whether it is complete, for a model that learned from these dialogues and began from `init`."""
    if init is None:
        return pack(learned), True
    before = read_trained_on(init)
    return pack([*learned, *before.fingerprints.tolist()]), before.complete
