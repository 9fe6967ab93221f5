"""The command line ``sfqa``: every module of this folder without a leading '_' is a subcommand.

A subcommand module defines ``SUMMARY`` (one line), ``EXAMPLES`` (command lines), ``add_arguments``
and ``run``, which returns the exit status. Heavy imports go inside functions, so that ``--help`` is
fast.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import NoReturn, Protocol, cast

from sfqa import __version__
from sfqa.errors import UserError, explain_machine_error, hint
from sfqa.project_files import IS_CHECKOUT
from sfqa.shown_text import shorten_message, show_controls_of_output

#: Exit statuses: success; a video failed or damage was found; the command line is wrong.
SUCCESS, FAILURE, USAGE_ERROR = 0, 1, 2
#: Exit status of a bug in the program.
INTERNAL_ERROR = 70
_INTERRUPTED = 130


class Command(Protocol):
    """The interface of a subcommand module."""

    SUMMARY: str
    EXAMPLES: str

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare the subcommand's arguments."""

    def run(self, args: argparse.Namespace) -> int:
        """Run the subcommand; raises :class:`UserError` for wrong arguments."""


def list_commands() -> list[str]:
    """Return the names of the subcommands: the modules of this folder.

    >>> "cache" in list_commands()
    True
    """
    return sorted(path.stem for path in Path(__file__).parent.glob("[a-z]*.py"))


def load_command(name: str) -> Command:
    """Return a subcommand's module."""
    return cast(Command, import_module(f"sfqa.cli.{name}"))


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line (by default ``sys.argv[1:]``) and return its exit status.

    0: success. 1: a video failed or damage was found. 2: the command line is wrong; the reason is
    printed to stderr. 70: a bug in the program; SFQA_TRACEBACK=1 shows the traceback.
    """
    with show_controls_of_output():
        return _run_command_line(list(sys.argv[1:] if argv is None else argv))


def _run_command_line(arguments: list[str]) -> int:
    """Run a command line and return its exit status; errors become a line on stderr."""
    try:
        status = _dispatch(arguments)
        sys.stdout.flush()
        return status
    except UserError as error:
        return _print_error(f"sfqa: {error}", USAGE_ERROR)
    except KeyboardInterrupt:
        return _print_error("sfqa: interrupted", _INTERRUPTED)
    except BrokenPipeError:
        # The reader (head, less) has exited; the interpreter must not flush into the closed pipe.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return SUCCESS
    except ImportError as error:
        if _wants_traceback():
            raise
        package = f"the package {error.name!r} is" if error.name else "a package is"
        remedy = (
            "run ./run.sh setup, or use a Python that has the packages of requirements.txt"
            if IS_CHECKOUT
            else "install the extra that has it: pip install 'sfqa[torch]' (for videos without "
            "networks 'sfqa[screen]')"
        )
        return _print_error(
            f"sfqa: {package} needed and cannot be imported ({error}); {remedy}", USAGE_ERROR
        )
    except OSError as error:
        if _wants_traceback():
            raise
        return _print_error(f"sfqa: {error}", USAGE_ERROR)
    except Exception as error:
        if _wants_traceback():
            raise
        if machine_error := explain_machine_error(error):
            return _print_error(f"sfqa: {machine_error}", USAGE_ERROR)
        return _print_error(
            f"sfqa: a bug in the program ({type(error).__name__}: {error}); run it again with "
            "SFQA_TRACEBACK=1 and report what it prints",
            INTERNAL_ERROR,
        )


def _dispatch(arguments: list[str]) -> int:
    """Run the subcommand that the first argument names."""
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        if len(arguments) == 2 and arguments[0] == "help":
            return _dispatch([arguments[1], "--help"])
        print(_format_help())
        return SUCCESS if arguments else USAGE_ERROR
    if arguments[0] in ("-V", "--version"):
        print(f"sfqa {__version__}")
        return SUCCESS
    name = arguments[0]
    if name not in list_commands():
        noun, words = "subcommand", list_commands()
        if name.startswith("-"):
            noun, words = "option", ["--help", "--version"]
        raise UserError(f"no {noun} {name!r}; {hint(name, words)}; see sfqa --help")
    command, parser = load_command(name), make_parser(name)
    if {"-h", "--help"} & set(arguments[1:]):
        print(parser.format_help(), end="")
        return SUCCESS
    return command.run(parse_arguments(parser, arguments[1:]))


def parse_arguments(
    parser: argparse.ArgumentParser, arguments: Sequence[str]
) -> argparse.Namespace:
    """Return the arguments of a subcommand; raises :class:`UserError` for an unknown option."""
    args, unknown = parser.parse_known_intermixed_args(arguments)
    if unknown:
        word = unknown[0].partition("=")[0]
        options = sorted(set(re.findall(r"--[a-z][a-z-]*", parser.format_help())))
        parser.error(f"no argument {word!r}; {hint(word, options, 'the options are')}")
    return args


def make_parser(name: str) -> argparse.ArgumentParser:
    """Return the parser of a subcommand's arguments; it raises :class:`UserError`."""
    command = load_command(name)
    parser = _Parser(
        prog=f"sfqa {name}",
        description=command.SUMMARY,
        epilog=f"examples:\n{_indent(command.EXAMPLES)}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    command.add_arguments(parser)
    return parser


class _Parser(argparse.ArgumentParser):
    """Raises a usage error instead of printing it, so that all errors look alike."""

    def error(self, message: str) -> NoReturn:
        name = self.prog.split()[-1]
        raise UserError(f"{name}: {message}; see sfqa {name} --help")


def _format_help() -> str:
    commands = {name: load_command(name) for name in list_commands()}
    width = max(map(len, commands))
    lines = [f"  {name:<{width}}  {command.SUMMARY}" for name, command in commands.items()]
    examples = [_indent(c.EXAMPLES.strip().splitlines()[0]) for c in commands.values()]
    return "\n".join(
        [
            "usage: sfqa COMMAND ...",
            "",
            "Quality measures of talking and singing faces for single files.",
            "README.md explains how to run the whole workflow.",
            "",
            "commands:",
            *lines,
            "",
            "examples:",
            *examples,
            "",
            "See sfqa COMMAND --help for details, sfqa --version for the version. Exit status:",
            "0 success, 1 a video failed or damage was found, 2 the command line is wrong.",
        ]
    )


def _indent(text: str) -> str:
    return "\n".join(f"  {line}" for line in text.strip().splitlines())


def _print_error(message: str, status: int) -> int:
    print(shorten_message(message), file=sys.stderr)
    return status


def _wants_traceback() -> bool:
    return bool(os.environ.get("SFQA_TRACEBACK"))
