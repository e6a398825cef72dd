"""Detectors of feedback signals: one module and one line for each kind."""

from labelgen.base.registry import Registry

DETECTORS = Registry(
    "labelgen.detectors",
    {
        "answer": "labelgen.feedback.detectors.answer",
        "rating": "labelgen.feedback.detectors.rating",
        "questionnaire": "labelgen.feedback.detectors.questionnaire",
        "disconnect": "labelgen.feedback.detectors.disconnect",
        "stop": "labelgen.feedback.detectors.stop",
        "abandonment": "labelgen.feedback.detectors.abandonment",
        "barge_in": "labelgen.feedback.detectors.barge_in",
        "rephrase": "labelgen.feedback.detectors.rephrase",
        "correction": "labelgen.feedback.detectors.correction",
        "repetition": "labelgen.feedback.detectors.repetition",
        "gratitude": "labelgen.feedback.detectors.gratitude",
    },
)

FAMILIES = {
    "disconnect": "visible failure",
    "repetition": "visible failure",
    "rephrase": "visible failure",
    "correction": "visible failure",
}
"""kind -> its family, where kinds read the same thing, or one reads what brings the other about: the assistant says that
it failed, so the user says it again, or leaves. What they say together is weighed once (em/fit.py). A kind that is not here
is a family of its own."""
