from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

import sfqa
from sfqa import cli
from sfqa.cli.completion import make_script


def complete(script: Path, line: str, cwd: Path) -> set[str]:
    """Words that bash offers at the end of a line."""
    words = line.split(" ")
    code = f"""
source {script}
COMP_WORDS=({" ".join(f"'{word}'" for word in words)})
COMP_CWORD={len(words) - 1}
COMP_LINE='{line}'; COMP_POINT={len(line)}
$(complete -p sfqa | sed 's/.*-F \\([^ ]*\\).*/\\1/') sfqa '{words[-1]}' '{words[-2]}'
printf '%s\\n' "${{COMPREPLY[@]}}"
"""
    done = subprocess.run(
        ["bash", "-c", code], cwd=cwd, capture_output=True, text=True, check=False
    )
    return {word.strip() for word in done.stdout.split("\n") if word.strip()}


def test_bash_completes_subcommands_options_and_files(tmp_path: Path) -> None:
    script = tmp_path / "sfqa.bash"
    script.write_text(make_script("bash"))
    (tmp_path / "scores.csv").write_text("")
    assert {"mos", "models"} <= complete(script, "sfqa mo", tmp_path)
    assert "--screening" in complete(script, "sfqa mos --scr", tmp_path)
    assert "scores.csv" in complete(script, "sfqa mos sco", tmp_path)
    assert {*cli.list_commands()} <= complete(script, "sfqa ", tmp_path)


@pytest.mark.parametrize("shell", ["bash", "zsh", "tcsh"])
def test_every_subcommand_is_in_the_script(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["completion", shell]) == 0
    script = capsys.readouterr().out
    assert [name for name in cli.list_commands() if name not in script] == []
    if shutil.which(shell) and shell != "tcsh":
        subprocess.run([shell, "-n"], input=script, text=True, check=True)


def test_the_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == f"sfqa {sfqa.__version__}\n"
    assert cli.main(["--versio"]) == 2
    assert "did you mean '--version'?" in capsys.readouterr().err
