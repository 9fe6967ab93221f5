"""The command line ``sfqa``: every module of this folder without a leading '_' is a subcommand.

A subcommand module holds ``SUMMARY`` (one line), ``EXAMPLES`` (lines to type), ``add_arguments``
and ``run``, which returns the exit status. Modules import what is heavy inside their functions, so
that help comes at once.
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

from sfqa.errors import UserError, hint

#: Exit statuses: all went well; a video failed or damage was found; the call cannot be carried out.
FINE, BAD, USAGE = 0, 1, 2
#: A mistake in the program, not in the call.
INTERNAL = 70
_INTERRUPTED = 130


class Command(Protocol):
    """What a subcommand module holds."""

    SUMMARY: str
    EXAMPLES: str

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare the subcommand's arguments."""

    def run(self, args: argparse.Namespace) -> int:
        """Carry it out and return the exit status; raises :class:`UserError` for wrong calls."""


def names() -> list[str]:
    """Return the subcommands: the modules of this folder.

    >>> "cache" in names()
    True
    """
    return sorted(path.stem for path in Path(__file__).parent.glob("[a-z]*.py"))


def load(name: str) -> Command:
    """Return a subcommand's module."""
    return cast(Command, import_module(f"sfqa.cli.{name}"))


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line (``sys.argv`` without its head by default) and return its exit status.

    0: all went well; 1: a video failed or damage was found; 2: the call cannot be carried out,
    with a sentence on stderr; 70: a mistake in the program (its traceback with SFQA_TRACEBACK=1).
    """
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        status = _dispatch(words)
        sys.stdout.flush()
        return status
    except UserError as error:
        return _say(f"sfqa: {error}", USAGE)
    except KeyboardInterrupt:
        return _say("sfqa: interrupted", _INTERRUPTED)
    except BrokenPipeError:
        # The reader (head, less) went away; the interpreter must not flush into it again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FINE
    except ImportError as error:
        if _traced():
            raise
        needed = f"the package {error.name!r} is" if error.name else "a package is"
        return _say(
            f"sfqa: {needed} needed and cannot be imported ({error}); run ./run.sh setup, or use a "
            "Python that has the packages of requirements.txt",
            USAGE,
        )
    except OSError as error:
        if _traced():
            raise
        return _say(f"sfqa: {error}", USAGE)
    except Exception as error:
        if _traced():
            raise
        return _say(
            f"sfqa: a mistake in the program ({type(error).__name__}: {error}); run it again with "
            "SFQA_TRACEBACK=1 and report what it prints",
            INTERNAL,
        )


def _dispatch(words: list[str]) -> int:
    if not words or words[0] in ("-h", "--help", "help"):
        if len(words) == 2 and words[0] == "help":
            return _dispatch([words[1], "--help"])
        print(_help())
        return FINE if words else USAGE
    name = words[0]
    if name not in names():
        kind = "option" if name.startswith("-") else "subcommand"
        raise UserError(f"no {kind} {name!r}; {hint(name, names())}; see sfqa --help")
    command = load(name)
    parser = _Parser(
        prog=f"sfqa {name}",
        description=command.SUMMARY,
        epilog=f"examples:\n{_indented(command.EXAMPLES)}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    command.add_arguments(parser)
    if {"-h", "--help"} & set(words[1:]):
        print(parser.format_help(), end="")
        return FINE
    args, unknown = parser.parse_known_intermixed_args(words[1:])
    if unknown:
        options = sorted(set(re.findall(r"--[a-z][a-z-]*", parser.format_help())))
        parser.error(f"no argument {unknown[0]!r}; {hint(unknown[0], options, 'the options are')}")
    return command.run(args)


class _Parser(argparse.ArgumentParser):
    """Tells a mistake as all others are told."""

    def error(self, message: str) -> NoReturn:
        name = self.prog.split()[-1]
        raise UserError(f"{name}: {message}; see sfqa {name} --help")


def _help() -> str:
    commands = {name: load(name) for name in names()}
    width = max(map(len, commands))
    lines = [f"  {name:<{width}}  {command.SUMMARY}" for name, command in commands.items()]
    firsts = [_indented(c.EXAMPLES.strip().splitlines()[0]) for c in commands.values()]
    return "\n".join(
        [
            "usage: sfqa COMMAND ...",
            "",
            "Quality measures of talking and singing faces, for a few files by hand.",
            "The whole workflow is started as README.md says.",
            "",
            "commands:",
            *lines,
            "",
            "examples:",
            *firsts,
            "",
            "sfqa COMMAND --help says more. Exit status: 0 all well, 1 a video failed or damage",
            "was found, 2 the call is wrong.",
        ]
    )


def _indented(text: str) -> str:
    return "\n".join(f"  {line}" for line in text.strip().splitlines())


def _say(sentence: str, status: int) -> int:
    print(sentence, file=sys.stderr)
    return status


def _traced() -> bool:
    return bool(os.environ.get("SFQA_TRACEBACK"))
