"""What a log lacks of what was asked of it, in words that say what is really wrong."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from labelgen.agreement.vote import CONSENSUS
from labelgen.base.errors import InputError
from labelgen.data.dialogue import Dialogue
from labelgen.data.labels import tasks_of
from labelgen.data.named import with_named
from labelgen.evaluation.question import Question, answered
from labelgen.evaluation.trials import LEAST_PEOPLE, Setting, people_of


def with_all_named(
    dialogues: Iterable[Dialogue], setting: Setting, elsewhere: Iterable[Dialogue] = ()
) -> Iterator[Dialogue]:
    """The dialogues as they come. Raises UsageError as with_named does for annotators whom the setting names."""
    asked = {*(setting.people or ()), setting.against} - {CONSENSUS}
    return with_named(dialogues, asked, "--reference, --annotators", elsewhere)


def nothing_to_judge(
    dialogues: Sequence[Dialogue],
    questions: Sequence[Question],
    setting: Setting,
    left_out: Mapping[str, int],
    reasons: Iterable[str],
    where: str,
) -> InputError:
    """Why the reference answers no question. left_out: why dialogues do not count, and how many; reasons: why those that do
    could not be judged."""
    if not dialogues:
        all_out = ", ".join(f"{reason} {count:,}" for reason, count in left_out.items())
        what = f"no dialogue is left: {all_out}" if all_out else "the log holds no dialogue"
        return InputError(what, where, "name a log with other dialogues" if all_out else "name a log with dialogues")
    by_all = setting.against == CONSENSUS
    given = [
        a
        for d in dialogues
        for a in (people_of(d, setting) if by_all else [d.annotation(setting.against)])
        if a is not None
    ]
    who = "a person" if by_all else setting.against
    if not given:
        hint = "--annotators names who is one, --reference NAME takes one annotator's word; or have people annotate the log"
        return InputError(f"no annotation in the log is by {who}", where, hint)
    if not any(answered(a, question) for a in given for question in questions):
        asked = ", ".join(question.name for question in questions)
        told = ", ".join(sorted({task for a in given for task in tasks_of(a)})) or "nothing"
        return InputError(f"no annotation by {who} answers {asked}", where, f"what they answer: {told}")
    hint = f"bring {LEAST_PEOPLE} people's answers of a dialogue, or take one annotator's word by --reference NAME"
    if not by_all:
        hint = f"have people answer what {setting.against} answered, or leave --annotators out"
    return InputError(f"nothing to judge against {setting.against}: {', '.join(reasons)}", where, hint)
