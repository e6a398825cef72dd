"""What becomes of a log before anyone is judged: what would flatter a model is left out, the reference is made, and all
who are judged give their answers."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from labelgen.data.dialogue import Dialogue
from labelgen.data.split import Seen
from labelgen.evaluation.candidates import Judged, annotated, candidates_of, join
from labelgen.evaluation.lacking import with_all_named
from labelgen.evaluation.question import Question
from labelgen.evaluation.rivals import PLAIN, fit_rivals
from labelgen.evaluation.trials import Setting, people_of, with_reference

COPIES = "all requests equal those of a training dialogue"
"""Why a dialogue is left out."""


def prepare(
    dialogues: Iterable[Dialogue],
    questions: Sequence[Question],
    setting: Setting,
    training: Iterable[Dialogue] | None = None,
    least_people: int = 0,
    models: Sequence[Judged] = (),
    predictions: Iterable[Dialogue] | None = None,
) -> tuple[list[Dialogue], dict[str, int], Mapping[str, Any] | None]:
    """The dialogues that count, with the reference and the annotations of all who are judged; how many were left out
    for which reason; and how the plain rivals were fitted, None where there are none.

    training: what was trained on; its copies are left out, and plain rivals learn from it. least_people:
    dialogues that fewer people annotated are left out. predictions: annotations of others, by dialogue id; raises
    InputError where they are of other dialogues, and UsageError, before any model is asked, where nobody annotated by a name
    of the setting."""
    others = None if predictions is None else list(predictions)
    given = list(with_all_named(dialogues, setting, others or ()))
    kept, left_out = _kept(given, setting, training, least_people)
    # The reference comes first: models are asked about its goals too.
    kept = with_reference(kept, questions, setting)
    for model in models:
        kept = annotated(kept, model, setting.against)
    if others is not None:
        kept = join(kept, others, setting.against)
    if training is None:
        return kept, left_out, None
    rivals = fit_rivals(training, questions, setting)
    judged = [name for name in candidates_of(kept, setting) if not name.startswith(PLAIN)]
    goals_from = judged[0] if judged else None
    kept = rivals.annotate(kept, setting.against, goals_from)
    return kept, left_out, {**rivals.learned, "goals_from": goals_from}


def _kept(
    given: list[Dialogue], setting: Setting, training: Iterable[Dialogue] | None, least_people: int
) -> tuple[list[Dialogue], dict[str, int]]:
    left_out = {}
    if training is not None:
        seen = Seen(training)
        new = [dialogue for dialogue in given if dialogue not in seen]
        if len(new) < len(given):
            left_out[COPIES] = len(given) - len(new)
        given = new
    if least_people:
        enough = [dialogue for dialogue in given if len(people_of(dialogue, setting)) >= least_people]
        left_out[f"fewer than {least_people} people"] = len(given) - len(enough)
        given = enough
    return given, left_out
