"""``sfqa completion``: print the script that completes command lines of sfqa in a shell."""

from __future__ import annotations

import argparse

from sfqa.cli import SUCCESS, list_commands, load_command

SUMMARY = "print the script that completes sfqa's words and files in bash, zsh or tcsh"
EXAMPLES = """
sfqa completion bash > ~/.local/share/bash-completion/completions/sfqa
sfqa completion zsh > ~/.zfunc/_sfqa
"""

_SHELLS = ("bash", "zsh", "tcsh")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("shell", choices=_SHELLS, metavar="SHELL", help=", ".join(_SHELLS))


def run(args: argparse.Namespace) -> int:
    """Print the script."""
    print(make_script(args.shell))
    return SUCCESS


def make_script(shell: str) -> str:
    """Return the completion script of a shell; it knows all subcommands and their options."""
    import shtab

    parser = argparse.ArgumentParser(prog="sfqa")
    parser.add_argument("--version", action="version", version="")
    subparsers = parser.add_subparsers()
    for name in list_commands():
        command = load_command(name)
        command.add_arguments(subparsers.add_parser(name, help=command.SUMMARY))
    _complete_files(parser, shtab.FILE)
    return str(shtab.complete(parser, shell))


def _complete_files(parser: argparse.ArgumentParser, complete: object) -> None:
    """Let every argument that takes a free word complete file names."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for subparser in action.choices.values():
                _complete_files(subparser, complete)
        elif action.choices is None and action.nargs != 0:
            action.complete = complete  # type: ignore[attr-defined]  # shtab's name
