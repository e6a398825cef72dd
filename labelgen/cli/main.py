"""The `labelgen` command: a lazy table of commands, and exit codes (base/errors.py)."""

import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module

from labelgen import __version__
from labelgen.base.errors import LabelgenError, StorageError, UsageError, resource_error
from labelgen.base.files import privacy
from labelgen.base.printable import print_lines, printable
from labelgen.base.process import Terminated, raise_on_sigterm
from labelgen.base.registry import require

COMMANDS = {
    "data": ("labelgen.cli.data", "validate, convert, count and split logs; print the record's schema"),
    "feedback": (
        "labelgen.cli.feedback",
        "find the signals in a log, draw them, turn them into targets, explain those, pick what to ask users",
    ),
    "simulate": ("labelgen.cli.simulate", "write a simulated log whose truth is known"),
    "pretrain": ("labelgen.cli.pretrain", "train a model on dialogues that nobody labeled"),
    "finetune": ("labelgen.cli.finetune", "train a model towards annotations and feedback"),
    "consensus": ("labelgen.cli.consensus", "make one annotation from several people's, and say how far they agree"),
    "evaluate": ("labelgen.cli.evaluate", "judge a model beside single people, on the same answers"),
    "plan": ("labelgen.cli.plan", "say what a planned number of dialogues and votes would show"),
    "calibrate": ("labelgen.cli.calibrate", "find how far a model's labels can be trusted, and where it is to abstain"),
    "estimate": ("labelgen.cli.estimate", "estimate a log's success rate from a model's labels and few people's"),
    "label": ("labelgen.cli.label", "label a log with a model; killed and run again, it finishes the rest"),
    "verify": ("labelgen.cli.verify", "check labeled records against their manifest"),
    "review": ("labelgen.cli.review", "choose what people are to look at, hand it to them, take their answers back"),
    "report": ("labelgen.cli.report", "write what an evaluation found as one HTML page"),
    "show": ("labelgen.cli.show", "draw labeled dialogues in the terminal"),
    "encoder": ("labelgen.cli.encoder", "write a pretrained text encoder to a folder, without a hub"),
    "doctor": ("labelgen.cli.doctor", "check this machine, and say what to do where something is wrong"),
}
"""name -> (module with `main(argv) -> exit code`, one line of help)."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and give its exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    if not words or words[0] in ("-h", "--help"):
        print_lines(*_help().split("\n"))
        return 0
    if words[0] == "--version":
        print_lines(f"labelgen {__version__}")
        return 0
    try:
        require(words[0], COMMANDS, "command")
        with raise_on_sigterm():
            with privacy():
                code: int = import_module(COMMANDS[words[0]][0]).main(words[1:])
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
    except SystemExit as stop:
        # argparse leaves by SystemExit: 0 for --help, 2 for usage.
        return stop.code if isinstance(stop.code, int) else UsageError.exit_code


def _tell(command: str, error: str) -> None:
    """error: of lines that are printable already."""
    print_lines(*f"labelgen {printable(command)}: {error}".split("\n"), file=sys.stderr)


def _flush() -> None:
    """Write what is still to be written, while it can be told that there is no room. Raises OSError."""
    try:
        sys.stdout.flush()
    except OSError:
        # Python would try again when it ends, and tell it in its own way.
        with suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise


def _help() -> str:
    width = max(len(name) for name in COMMANDS)
    lines = [
        "labelgen turns the feedback in an assistant's logs into labels.",
        "",
        "usage: labelgen COMMAND [--help]",
        "",
    ]
    lines += [f"  {name:<{width}}  {summary}" for name, (_, summary) in COMMANDS.items()]
    codes = (
        "0 done, 1 unexpected, 2 usage, 3 too much bad input, 4 integrity, 5 storage, 6 memory or a killed worker, "
        "7 a training that diverged, 143 ended by SIGTERM"
    )
    lines += ["", f"exit codes: {codes}", "", "example: labelgen data validate logs/"]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
