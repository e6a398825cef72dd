"""What a reader is to know before any figure: labels of a part only, dialogues of training, samples that were not drawn by chance."""

from labelgen.report.figures import count
from labelgen.report.form import Evaluation


def caveats(evaluation: Evaluation) -> tuple[str, ...]:
    """A sentence for each, the gravest first; none where there is nothing to know."""
    data = evaluation.data
    found = [
        f"{row.candidate} was trained on {count(row.trained_on)} of the {count(data.judged)} judged dialogues, so its figures are "
        "too good: judge it on dialogues that are new to it."
        for row in data.annotated
        if row.trained_on
    ]
    found += [
        f"{row.candidate} annotated {count(row.dialogues)} of the {count(data.judged)} judged dialogues; all others count as not answered."
        for row in data.annotated
        if row.dialogues < data.judged
    ]
    if drawn := sum(data.drawn_for_difficulty.values()):
        how = ", ".join(f"{how} {count(number)}" for how, number in data.drawn_for_difficulty.items())
        found.append(
            f"{count(drawn)} of the {count(data.judged)} judged dialogues were drawn because they are difficult ({how}), so the figures do "
            "not hold for the whole log."
        )
    return tuple(found)


def training_unknown(evaluation: Evaluation) -> tuple[str, ...]:
    """Models of which nobody says whether they were trained on these dialogues."""
    return tuple(row.candidate for row in evaluation.data.annotated if row.kind == "model" and row.trained_on is None)
