"""The `labelgen` command: a lazy table of commands, and exit codes (base/errors.py)."""

import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress

from labelgen import __version__
from labelgen.base.errors import LabelgenError, StorageError, resource_error
from labelgen.base.files import privacy
from labelgen.base.process import Terminated, raise_on_sigterm, running
from labelgen.base.registry import require, resolve
from labelgen.base.terminal import print_lines, printable

COMMANDS = {
    "init": ("labelgen.cli.init:INIT", "begin with a log: look at it, and write a config and the commands to labels"),
    "run": ("labelgen.cli.pipeline:RUN", "run all steps from a log to labels and a report"),
    "data": ("", "validate, convert, count and split logs"),
    "feedback": ("", "find the signals in a log, turn them into targets, choose what to ask users, correct requests"),
    "simulate": ("labelgen.cli.simulate:SIMULATE", "write a simulated log whose truth is known"),
    "pretrain": ("labelgen.cli.train:PRETRAIN", "train a model on dialogues that nobody labeled"),
    "finetune": ("labelgen.cli.train:FINETUNE", "train a model towards annotations and feedback"),
    "consensus": (
        "labelgen.cli.consensus:CONSENSUS",
        "make one annotation from several people's, and say how far they agree",
    ),
    "evaluate": (
        "labelgen.cli.evaluate:EVALUATE",
        "compare a model with one annotator and baselines, on the same answers",
    ),
    "calibrate": (
        "labelgen.cli.calibrate:CALIBRATE",
        "scale a model's probabilities to how often its labels are right",
    ),
    "certify": (
        "labelgen.cli.calibrate:CERTIFY",
        "find thresholds that bound a model's errors, below which it abstains",
    ),
    "drift": ("labelgen.cli.drift:DRIFT", "compare a log with the dialogues that a model was calibrated on"),
    "adapt": ("labelgen.cli.drift:ADAPT", "adapt a calibrated model to a new log with a few labeled dialogues"),
    "estimate": (
        "labelgen.cli.estimate:ESTIMATE",
        "estimate a log's success rate from a model's labels and few people's",
    ),
    "label": ("labelgen.cli.label:LABEL", "label a log with a model; killed and run again, it finishes the rest"),
    "verify": ("labelgen.cli.label:VERIFY", "check labeled records against their manifest"),
    "review": ("", "draw a sample of a log, export it for people or an LLM, import their answers"),
    "report": ("labelgen.cli.evaluate:REPORT", "write an evaluation as one HTML page"),
    "show": ("labelgen.cli.label:SHOW", "draw labeled dialogues in the terminal"),
    "doctor": ("labelgen.cli.doctor:DOCTOR", "check this machine, or write the offline text encoder to a folder"),
}
"""Name -> (module and Command, one line of help). A group of commands has no Command of its own, but ACTIONS."""

ACTIONS = {
    "data validate": ("labelgen.cli.data:VALIDATE", "read a whole log, and count valid and rejected records"),
    "data import": (
        "labelgen.cli.import_log:IMPORT",
        "import a table or JSON of any form, by a mapping of its columns",
    ),
    "data convert": ("labelgen.cli.data:CONVERT", "convert logs to labelgen's record form"),
    "data stats": ("labelgen.cli.data:STATS", "count what is in a log"),
    "data split": ("labelgen.cli.data:SPLIT", "split a log into parts that share no user"),
    "data labels": ("labelgen.cli.data:LABELS", "write the labels of a log as a flat table, CSV or Parquet"),
    "data export": (
        "labelgen.cli.data:EXPORT",
        "write training data for the next assistant: chats, preferences, or intents and slots",
    ),
    "data filter": ("labelgen.cli.data:FILTER", "write logs without the records of a user"),
    "feedback signals": ("labelgen.cli.feedback:SIGNALS", "find signals with the detectors"),
    "feedback aggregate": ("labelgen.cli.feedback:AGGREGATE", "aggregate signals into targets"),
    "feedback explain": ("labelgen.cli.feedback:EXPLAIN", "draw one dialogue, and explain its targets"),
    "feedback ask": ("labelgen.cli.feedback:ASK", "choose turns to ask users about, within a budget"),
    "feedback transcribe": (
        "labelgen.cli.feedback:TRANSCRIBE",
        "correct misrecognized requests by n-best lists and rephrases",
    ),
    "review sample": ("labelgen.cli.review:SAMPLE", "draw a sample of dialogues for people"),
    "review errors": ("labelgen.cli.review:ERRORS", "list people's labels that are likely to be errors"),
    "review export": ("labelgen.cli.review:EXPORT", "export a sample for people or an LLM"),
    "review import": ("labelgen.cli.review:IMPORT", "import answers into a log"),
}
"""Words of a command of a group -> (module and Command, one line of help)."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and give its exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    if not words or words[0] in ("-h", "--help"):
        print_lines(*_help().split("\n"))
        return 0
    if words[0] == "--version":
        print_lines(f"labelgen {__version__}")
        return 0
    # Threads that spin while they wait take the cores from those that work: on a busy machine a training step took more than
    # 50 times as long. OpenMP reads this when torch is loaded.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        command, rest = _split(words)
        with running(words), raise_on_sigterm():
            with privacy():
                code = _run(command, rest)
            _flush()
        return code
    except LabelgenError as error:
        # What a part of the command took for a failed file may have been a lack of memory.
        shown = resource_error(error.__cause__) or error
        _tell(words[0], str(shown))
        return shown.exit_code
    except BrokenPipeError:
        # The reader of our output went away, as `| head` does; that is no failure of ours.
        sys.stderr.close()
        return 0
    except Exception as error:
        if (lack := resource_error(error)) is not None:
            _tell(words[0], str(lack))
            return lack.exit_code
        if not isinstance(error, OSError):
            raise
        # What no part of the command foresaw: a path below a file, a full disk behind a pipe.
        unforeseen = StorageError(
            str(error.strerror or error),
            str(error.filename or ""),
            "check that it exists, may be read and written, and has room",
        )
        _tell(words[0], str(unforeseen))
        return StorageError.exit_code
    except KeyboardInterrupt:
        _tell(words[0], "stopped; the same command goes on where it can")
        return 130
    except Terminated as stop:
        _tell(words[0], str(stop))
        return stop.exit_code


def _split(words: Sequence[str]) -> tuple[str, list[str]]:
    """The command and its words; a group alone stands for its help. Raises UsageError for an unknown command."""
    require(words[0], COMMANDS, "command")
    actions = [name.partition(" ")[2] for name in ACTIONS if name.startswith(f"{words[0]} ")]
    if not actions or words[1:2] in ([], ["-h"], ["--help"]):
        return words[0], list(words[1:])
    require(words[1], actions, f"action of {words[0]}")
    return f"{words[0]} {words[1]}", list(words[2:])


def _run(command: str, words: Sequence[str]) -> int:
    target, _ = {**COMMANDS, **ACTIONS}[command]
    if not target:
        print_lines(*_group_help(command).split("\n"))
        return 0
    resolved = resolve({command: target}, command, "command")
    code: int = resolved.main(words)
    return code


def _tell(command: str, error: str) -> None:
    """error: of lines that are printable already."""
    print_lines(*f"labelgen {printable(command)}: {error}".split("\n"), file=sys.stderr)


def _flush() -> None:
    """Write what is still to be written, while a full disk can still be reported. Raises OSError."""
    try:
        sys.stdout.flush()
    except OSError:
        # Python would try again when it ends, and print its own message.
        with suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise


def _help() -> str:
    lines = [
        "labelgen turns the feedback in an assistant's logs into labels.",
        "",
        "usage: labelgen COMMAND [--help]",
        "",
    ]
    lines += _table(COMMANDS)
    codes = (
        "0 done, 1 unexpected, 2 usage, 3 too much bad input, 4 integrity, 5 storage, 6 memory or a killed worker, "
        "7 a training that diverged, 143 ended by SIGTERM"
    )
    lines += ["", f"exit codes: {codes}", "", "example: labelgen data validate logs/"]
    return "\n".join(lines)


def _group_help(group: str) -> str:
    actions = {name: about for name, about in ACTIONS.items() if name.startswith(f"{group} ")}
    lines = [f"usage: labelgen {group} ACTION [--help]", "", COMMANDS[group][1], "", *_table(actions)]
    return "\n".join([*lines, "", f"example: labelgen {next(iter(actions))} --help"])


def _table(commands: Mapping[str, tuple[str, str]]) -> list[str]:
    width = max(map(len, commands))
    return [f"  {name:<{width}}  {summary}" for name, (_, summary) in commands.items()]


if __name__ == "__main__":
    sys.exit(main())
