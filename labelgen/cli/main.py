"""The `labelgen` command, and its exit codes (base/errors.py)."""

import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress

from labelgen import __version__
from labelgen.base.errors import LabelgenError, StorageError, resource_error
from labelgen.base.files import privacy
from labelgen.base.process import Terminated, raise_on_sigterm, running
from labelgen.base.registry import require
from labelgen.base.terminal import print_lines, printable
from labelgen.cli.commands import COMMANDS, FIRST_WORDS, GROUPS, find_command


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and give its exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    # Threads that spin while they wait take the cores from those that work: on a busy machine a training step took more than
    # 50 times as long. OpenMP reads this when torch is loaded.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        if not words or words[0] in ("-h", "--help", "--version"):
            print_lines(*(f"labelgen {__version__}" if words[:1] == ["--version"] else _help()).split("\n"))
            _flush()
            return 0
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
    require(words[0], FIRST_WORDS, "command")
    actions = [name.partition(" ")[2] for name in COMMANDS if name.startswith(f"{words[0]} ")]
    if not actions or words[1:2] in ([], ["-h"], ["--help"]):
        return words[0], list(words[1:])
    require(words[1], actions, f"action of {words[0]}")
    return f"{words[0]} {words[1]}", list(words[2:])


def _run(command: str, words: Sequence[str]) -> int:
    if command in GROUPS:
        print_lines(*_group_help(command).split("\n"))
        return 0
    return find_command(command).main(words)


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
    lines += _table(FIRST_WORDS)
    codes = (
        "0 done, 1 unexpected, 2 usage, 3 too much bad input, 4 integrity, 5 storage, 6 memory or a killed worker, "
        "7 a training that diverged, 143 ended by SIGTERM"
    )
    lines += ["", f"exit codes: {codes}", "", "example: labelgen data validate logs/"]
    return "\n".join(lines)


def _group_help(group: str) -> str:
    actions = {name: about for name, (_, about) in COMMANDS.items() if name.startswith(f"{group} ")}
    lines = [f"usage: labelgen {group} ACTION [--help]", "", GROUPS[group], "", *_table(actions)]
    return "\n".join([*lines, "", f"example: labelgen {next(iter(actions))} --help"])


def _table(commands: Mapping[str, str]) -> list[str]:
    width = max(map(len, commands))
    return [f"  {name:<{width}}  {summary}" for name, summary in commands.items()]


if __name__ == "__main__":
    sys.exit(main())
