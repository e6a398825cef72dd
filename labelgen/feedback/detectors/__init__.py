"""Detectors of feedback signals: one for each kind, in four modules by what they read."""

from labelgen.base.registry import Registry

_HERE = "labelgen.feedback.detectors"

DETECTORS = Registry(
    "labelgen.detectors",
    {
        "answer": f"{_HERE}.explicit:Answer",
        "rating": f"{_HERE}.explicit:Rating",
        "questionnaire": f"{_HERE}.explicit:Questionnaire",
        "disconnect": f"{_HERE}.leaving:Disconnect",
        "stop": f"{_HERE}.words:Stop",
        "abandonment": f"{_HERE}.leaving:Abandonment",
        "barge_in": f"{_HERE}.leaving:BargeIn",
        "rephrase": f"{_HERE}.words:Rephrase",
        "correction": f"{_HERE}.words:Correction",
        "reaction": "labelgen.verdicts.reaction:Reaction",
        "repetition": f"{_HERE}.words:Repetition",
        "gratitude": f"{_HERE}.words:Gratitude",
        "regenerate": f"{_HERE}.explicit:Regenerate",
        "retry": f"{_HERE}.explicit:Retry",
        "edit": f"{_HERE}.explicit:Edit",
        "copy": f"{_HERE}.explicit:Copy",
        "tool_error": f"{_HERE}.explicit:ToolError",
        "preference": f"{_HERE}.moments:PREFERENCE",
        "fact": f"{_HERE}.moments:FACT",
        "remember": f"{_HERE}.moments:REMEMBER",
    },
)
