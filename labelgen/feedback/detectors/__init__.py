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
        "regenerate": "labelgen.feedback.detectors.regenerate",
        "retry": "labelgen.feedback.detectors.retry",
        "edit": "labelgen.feedback.detectors.edit",
        "copy": "labelgen.feedback.detectors.copy",
        "tool_error": "labelgen.feedback.detectors.tool_error",
    },
)
