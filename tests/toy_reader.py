"""The smallest possible reader plug-in: this module, and one entry point of the group `labelgen.readers`.

A line is one dialogue of one turn: its id, the request, the response, and what a person called the request, with tabs
between them."""

from collections.abc import Iterator
from pathlib import Path

from labelgen.data.dialogue import Dialogue, Turn
from labelgen.data.label_sets import LabelName, Sources
from labelgen.data.labels import Annotation, AtTurn, Label
from labelgen.data.reader import Options, Reader, files_of, lines_of
from labelgen.data.record import Rejected, validate


def _read(path: Path, options: Options) -> Iterator[Dialogue | Rejected]:
    for file in files_of(path, (".tsv",)):
        for number, line in lines_of(file):
            cells = line.decode().rstrip("\n").split("\t")
            if len(cells) != 4:
                yield Rejected(file=file.name, line=number, reason=f"bad_row: {len(cells)} cells", raw=line.decode())
                continue
            name, request, response, intent = cells
            said = Annotation("someone", "person", (Label("intents", AtTurn(0), intent),))
            turns = (Turn(request=request, response=response),)
            yield validate(Dialogue(id=name, source="toy", turns=turns, annotations=(said,)), file.name, number)


def _labels(path: Path, options: Options) -> Sources:
    return {"toy": {"intents": (LabelName("Greet", "the user says hello"),)}}


READER = Reader(_read, _labels)
