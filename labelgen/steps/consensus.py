"""The step from several people's annotations to one, with their agreement."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from msgspec.structs import replace

from labelgen.base.errors import InputError
from labelgen.base.options import Count
from labelgen.data.dialogue import Dialogue
from labelgen.data.labels import Annotation
from labelgen.steps.shared import ConsensusOptions, place_of, require_rereadable

if TYPE_CHECKING:
    from labelgen.agreement.dawid_skene import Reliabilities
    from labelgen.evaluation.protocol import AnnotatorStatistics

Method = Literal["majority", "unanimous", "dawid-skene", "measured"]


@dataclass(frozen=True, kw_only=True)
class AgreeOptions(ConsensusOptions):
    """Add the consensus of a log's annotators to each dialogue; ties are left absent and counted. Prints inter-annotator agreement for each
    question: Krippendorff's alpha (nominal, and ordinal for ratings); and,
    where three or more answered, the share of whole answers that a single person gets right against the others. Then, for each annotator, the share of their answers that the consensus of the others
    gives too."""

    min_annotators: Count = 2
    """number of annotators who must answer a field"""
    method: Method = "majority"
    """majority: most votes; unanimous: equal answers of all; dawid-skene: outcomes and qualities by annotator reliability,
    learned from the log, all else by majority; measured: by error rates counted against people's answers to the same fields"""


@dataclass(frozen=True, slots=True)
class Agreed:
    """Dialogues with the consensus of their annotators, read once; the statistics are complete when the last one was read."""

    dialogues: Iterator[Dialogue]
    statistics: "AnnotatorStatistics"
    skills: "Reliabilities | None"


def agree(dialogues: Iterable[Dialogue], options: AgreeOptions) -> Agreed:
    """The dialogues with the consensus of their annotators. A method that learns reads them several times.

    Raises InputError where no dialogue has an annotation by these annotators, or error rates cannot be measured."""
    from labelgen.agreement.consensus import CONSENSUS, consensus
    from labelgen.agreement.dawid_skene import learn
    from labelgen.evaluation.protocol import AnnotatorStatistics, people_of, with_all_named
    from labelgen.metrics.results import Setting
    from labelgen.tasks.evaluation import evaluation_tasks, exclusive_names

    setting = Setting(CONSENSUS, options.annotators, ratings=options.ratings)
    tasks = evaluation_tasks()
    exclusive = exclusive_names(tasks)
    statistics = AnnotatorStatistics(tasks, setting)

    def people() -> Iterator[list[Annotation]]:
        for dialogue in dialogues:
            yield people_of(dialogue, setting)

    skills: Reliabilities | None = None
    if options.method in ("dawid-skene", "measured"):
        require_rereadable(dialogues, f"the method {options.method}")
        try:
            skills = learn(people, exclusive, options.method)
        except ValueError as error:
            hint = "let people answer some of the fields that the others answered, or use another --method"
            raise InputError(f"error rates cannot be measured: {error}", place_of(dialogues), hint) from error

    def decided() -> Iterator[Dialogue]:
        count = 0
        for dialogue in with_all_named(dialogues, setting):
            count += 1
            voters = people_of(dialogue, setting)
            result = consensus(
                voters, exclusive, options.min_annotators, options.ratings, options.method == "unanimous", skills
            )
            kept = tuple(a for a in dialogue.annotations if a.annotator != CONSENSUS)
            agreed = replace(dialogue, annotations=(*kept, result.annotation))
            statistics.add(agreed, voters, result)
            yield agreed
        if not statistics.dialogues:
            raise _nobody(count, place_of(dialogues), options)

    return Agreed(decided(), statistics, skills)


def _nobody(count: int, where: str, options: AgreeOptions) -> InputError:
    """The error of a log without an annotation by the requested annotators; nothing is written."""
    if not count:
        return InputError("the log holds no dialogue", where, "name a log with annotated dialogues")
    who = ", ".join(options.annotators)
    what = f"nobody annotated: none of {count:,} dialogues has an annotation by {who}"
    return InputError(what, where, "name others by --annotators, or let people annotate first: labelgen review export")
