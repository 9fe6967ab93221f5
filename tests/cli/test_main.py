from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sfqa import cli

ROOT = Path(__file__).parents[2]
LAUNCHER = ROOT / "sfqa"


def environment(python: Path | str = sys.executable) -> dict[str, str]:
    """A PATH on which python3 is the interpreter of the tests."""
    return {"PATH": f"{Path(python).parent}{os.pathsep}{os.environ['PATH']}", "HOME": "/"}


def launch(*words: str, script: Path = LAUNCHER, cwd: Path = ROOT):
    return subprocess.run(
        [str(script), *words], capture_output=True, text=True, cwd=cwd, env=environment(),
    )  # fmt: skip


def test_help_names_every_subcommand_with_an_example(capsys):
    assert cli.main(["--help"]) == 0
    said = capsys.readouterr().out
    for name in cli.list_commands():
        assert f"\n  {name}" in said
        assert f"  sfqa {name} " in said


@pytest.mark.parametrize("name", cli.list_commands())
def test_help_of_a_subcommand_shows_its_examples(name, capsys):
    assert cli.main([name, "--help"]) == 0
    said = capsys.readouterr().out
    assert cli.main(["help", name]) == 0
    assert capsys.readouterr().out == said
    for line in cli.load_command(name).EXAMPLES.strip().splitlines():
        assert line.startswith(f"sfqa {name} ")
        assert line in said


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["featurs", "x.mp4"], "no subcommand 'featurs'; did you mean 'features'?"),
        (["qqq"], "no subcommand 'qqq'; there are cache, catalog, challenge, check, completion, correlate, estimate, features"),
        (["--vers"], "no option '--vers'"),
        (["cache", "lst", "."], "no action 'lst'; did you mean 'list'?"),
        (["cache", "list", ".", "--extracter", "lse"], "no argument '--extracter'; did you mean '--extractor'?"),
        (["cache"], "the following arguments are required: list|verify|prune, FOLDER"),
        (["features", "--out"], "argument --out: expected one argument"),
    ],
)  # fmt: skip
def test_a_wrong_word_is_a_sentence_with_the_nearest_one(words, sentence, capsys):
    assert cli.main(words) == 2
    said = capsys.readouterr()
    assert sentence in said.err
    assert said.err.count("\n") == 1
    assert said.out == ""


def test_nothing_to_do_is_help_and_status_2(capsys):
    assert cli.main([]) == 2
    assert "usage: sfqa" in capsys.readouterr().out


def test_a_subcommand_is_a_file_of_the_folder(tmp_path, monkeypatch, capsys):
    module = tmp_path / "judge.py"
    module.write_text(
        "SUMMARY = 'judge videos'\nEXAMPLES = 'sfqa judge x'\n"
        "def add_arguments(parser): parser.add_argument('what')\n"
        "def run(args): print(args.what); return 1\n"
    )
    monkeypatch.setattr(cli, "__path__", [*cli.__path__, str(tmp_path)])
    monkeypatch.setattr(cli, "list_commands", lambda: ["judge"])
    assert cli.main(["judge", "them"]) == 1
    assert capsys.readouterr().out == "them\n"
    sys.modules.pop("sfqa.cli.judge")


@pytest.mark.parametrize(
    ("error", "status", "sentence"),
    [
        (ZeroDivisionError("x"), 70, "a bug in the program (ZeroDivisionError: x)"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (ModuleNotFoundError("No module named 'torch'", name="torch"), 2, "'torch' is needed"),
        (PermissionError(13, "Permission denied", "/x"), 2, "Permission denied: '/x'"),
    ],
)
def test_what_goes_wrong_inside_is_a_sentence(error, status, sentence, monkeypatch, capsys):
    monkeypatch.delenv("SFQA_TRACEBACK", raising=False)

    def fail(words):
        raise error

    monkeypatch.setattr(cli, "_dispatch", fail)
    assert cli.main(["cache"]) == status
    assert sentence in capsys.readouterr().err


def test_a_traceback_where_it_is_asked_for(monkeypatch):
    monkeypatch.setenv("SFQA_TRACEBACK", "1")
    monkeypatch.setattr(cli, "_dispatch", lambda words: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        cli.main(["cache"])


def test_the_launcher_runs_from_anywhere_through_links(tmp_path):
    (tmp_path / "sfqa").mkdir()  # a folder of this name is not the package
    (tmp_path / "sfqa" / "__init__.py").write_text("raise SystemExit('the wrong package')")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "first").symlink_to(LAUNCHER)
    (tmp_path / "bin" / "second link").symlink_to("first")
    done = launch("--help", script=tmp_path / "bin" / "second link", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("usage: sfqa COMMAND")
    assert launch("cash", cwd=tmp_path).returncode == 2


def test_the_launcher_prefers_the_projects_own_environment(tmp_path):
    home = tmp_path / "a project"
    (home / ".venv/bin").mkdir(parents=True)
    (home / "sfqa").write_bytes(LAUNCHER.read_bytes())
    own = home / ".venv/bin/python"
    own.write_text('#!/bin/sh\necho "own $PYTHONPATH $*"\n')
    for path in (home / "sfqa", own):
        path.chmod(0o755)
    done = launch("cache", "list", "x y", script=home / "sfqa", cwd=tmp_path)
    assert done.stdout == f"own {home}/workflow/scripts -m sfqa cache list x y\n"


def test_help_comes_at_once():
    code = (
        "import sys; from sfqa.cli import main; main(['--help']); main(['features', '--help']);"
        "heavy = {'numpy', 'pandas', 'pyarrow', 'torch', 'cv2', 'yaml'} & set(sys.modules);"
        "sys.exit(','.join(sorted(heavy)) or 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True,
        env={"PYTHONPATH": str(ROOT / "workflow/scripts")},
    )  # fmt: skip
    assert done.stderr == ""
    before = os.times()
    started = time.monotonic()
    assert launch("--help").returncode == 0
    own = (os.times()[2] + os.times()[3]) - (before[2] + before[3])
    assert own < 0.5, f"{time.monotonic() - started:.2f} s"


def test_a_reader_that_goes_away_is_no_error():
    done = subprocess.run(
        ["sh", "-c", f"'{LAUNCHER}' --help | true"], capture_output=True, text=True,
        env=environment(),
    )  # fmt: skip
    assert done.stderr == ""
