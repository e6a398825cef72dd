"""The kinds of evidence that can be found in a log: one file and one line each."""

DETECTORS = {
    "answer": "labelgen.feedback.detectors.answer:detect",
    "rating": "labelgen.feedback.detectors.rating:detect",
    "questionnaire": "labelgen.feedback.detectors.questionnaire:detect",
    "disconnect": "labelgen.feedback.detectors.disconnect:detect",
    "stop": "labelgen.feedback.detectors.stop:detect",
    "abandonment": "labelgen.feedback.detectors.abandonment:detect",
    "barge_in": "labelgen.feedback.detectors.barge_in:detect",
    "rephrase": "labelgen.feedback.detectors.rephrase:detect",
    "correction": "labelgen.feedback.detectors.correction:detect",
    "repetition": "labelgen.feedback.detectors.repetition:detect",
    "gratitude": "labelgen.feedback.detectors.gratitude:detect",
}

FAMILIES = {
    "disconnect": "visible failure",
    "repetition": "visible failure",
    "rephrase": "visible failure",
    "correction": "visible failure",
}
"""kind -> its family, where kinds read the same thing, or one reads what brings the other about: the assistant says that
it failed, so the user says it again, or leaves. What they say together is weighed once (em/fit.py). A kind that is not here
is a family of its own."""
