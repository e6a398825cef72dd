"""The table of commands. Their modules are loaded when a command runs."""

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from labelgen.base.registry import resolve

if TYPE_CHECKING:
    from labelgen.cli.command import Command

COMMANDS = {
    "init": ("labelgen.cli.init:INIT", "begin with a log: look at it, and write a config of the way to labels"),
    "run": ("labelgen.cli.pipeline:RUN", "run all steps from a log to labels and a report"),
    "data validate": ("labelgen.cli.data:VALIDATE", "count valid and rejected records, and what is in them"),
    "data import": ("labelgen.cli.import_log:IMPORT", "import a table or JSON, by a mapping of its columns"),
    "data convert": ("labelgen.cli.data:CONVERT", "convert logs to labelgen's record form"),
    "data split": ("labelgen.cli.data:SPLIT", "split a log into parts that share no user"),
    "data labels": ("labelgen.cli.data:LABELS", "write the labels of a log as a flat table, CSV or Parquet"),
    "data export": ("labelgen.cli.data:EXPORT", "write training data, or scores for tools of traces"),
    "data filter": ("labelgen.cli.data:FILTER", "write logs without the records of a user"),
    "feedback signals": ("labelgen.cli.feedback:SIGNALS", "find signals with the detectors"),
    "feedback aggregate": ("labelgen.cli.feedback:AGGREGATE", "aggregate signals into targets"),
    "feedback explain": ("labelgen.cli.feedback:EXPLAIN", "draw one dialogue, and explain its targets"),
    "feedback curve": ("labelgen.cli.feedback:CURVE", "show what more answers of users would bring"),
    "feedback transcribe": ("labelgen.cli.feedback:TRANSCRIBE", "correct misrecognized requests"),
    "simulate": ("labelgen.cli.simulate:SIMULATE", "write a simulated log whose truth is known"),
    "pretrain": ("labelgen.cli.train:PRETRAIN", "train a model on dialogues that nobody labeled"),
    "finetune": ("labelgen.cli.train:FINETUNE", "train a model towards annotations and feedback"),
    "consensus": ("labelgen.cli.consensus:CONSENSUS", "make one annotation from several people's"),
    "evaluate": ("labelgen.cli.evaluate:EVALUATE", "compare a model with one annotator and baselines"),
    "calibrate": ("labelgen.cli.calibrate:CALIBRATE", "scale a model's probabilities"),
    "certify": ("labelgen.cli.calibrate:CERTIFY", "find thresholds that bound a model's errors"),
    "drift": ("labelgen.cli.calibrate:DRIFT", "compare a log with the dialogues that a model was calibrated on"),
    "adapt": ("labelgen.cli.calibrate:ADAPT", "adapt a calibrated model to a new log with a few labeled dialogues"),
    "estimate": ("labelgen.cli.estimate:ESTIMATE", "estimate a log's success rate from few labels of people"),
    "diff": ("labelgen.cli.estimate:DIFF", "estimate whether a release helped"),
    "discover": ("labelgen.cli.requests:DISCOVER", "discover topics of requests without intents"),
    "rewrite mine": ("labelgen.cli.requests:MINE", "mine rewrites of requests that fail"),
    "label": ("labelgen.cli.label:LABEL", "label a log with a model; killed and run again, it finishes the rest"),
    "verify": ("labelgen.cli.label:VERIFY", "check labeled records against their manifest"),
    "review sample": ("labelgen.cli.review:SAMPLE", "draw a sample of dialogues for people"),
    "review export": ("labelgen.cli.review:EXPORT", "export a sample for people or an LLM"),
    "review import": ("labelgen.cli.review:IMPORT", "import answers into a log"),
    "report": ("labelgen.cli.evaluate:REPORT", "write an evaluation as one HTML page"),
    "show": ("labelgen.cli.label:SHOW", "draw labeled dialogues in the terminal"),
    "doctor": ("labelgen.cli.doctor:DOCTOR", "check this machine, or write the offline text encoder to a folder"),
}
"""Words of a command -> (module and Command, one line of help)."""

GROUPS = {
    "data": "validate, convert, count and split logs",
    "feedback": "find the signals in a log, turn them into targets, correct requests",
    "rewrite": "mine rewrites of requests that fail",
    "review": "draw a sample of a log, export it for people or an LLM, import their answers",
}
"""First word of several commands -> one line of help."""

FIRST_WORDS = {**{name.partition(" ")[0]: about for name, (_, about) in COMMANDS.items()}, **GROUPS}
"""First word of a command line -> one line of help."""


def find_command(words: str) -> "Command[Any]":
    """The command of these words."""
    command: Command[Any] = resolve({words: COMMANDS[words][0]}, words, "command")
    return replace(command, name=words)
