"""Control characters of strangers are shown, not obeyed: on the terminal, in logs and in tables."""

from __future__ import annotations

import json
import logging
import re
import sys
import unicodedata
from pathlib import Path

import pytest
from hostile_inputs import make_ridge

from sfqa import cli, job
from sfqa.regression import model_files
from sfqa.shown_text import (
    INVISIBLE,
    ShownFormatter,
    print_styled,
    quote_value,
    shorten_message,
    show_controls,
    show_controls_of_output,
)
from submissions import pack, write_lines

TITLE = "\x1b]0;TITLE\x07\x1b[2J"
CONTROLS = [
    chr(code) for code in (*range(9), 11, 12, 13, *range(14, 32), 127, 0x9B, 0x202E, 0x2028)
]
#: The ranges of Default_Ignorable_Code_Point in DerivedCoreProperties.txt of Unicode.
IGNORABLE = [
    (0xAD, 0xAD), (0x34F, 0x34F), (0x61C, 0x61C), (0x115F, 0x1160), (0x17B4, 0x17B5), (0x180B, 0x180F),
    (0x200B, 0x200F), (0x202A, 0x202E), (0x2060, 0x206F), (0x3164, 0x3164), (0xFE00, 0xFE0F),
    (0xFEFF, 0xFEFF), (0xFFA0, 0xFFA0), (0xFFF0, 0xFFF8), (0x1BCA0, 0x1BCA3), (0x1D173, 0x1D17A),
    (0xE0000, 0xE0FFF),
]  # fmt: skip
#: Words of many scripts, which have no character without a glyph.
SCRIPTS = (
    "é 歌 \u00a0\u3000 ü\u0308 👩 الصوت עברית हिन्दी தமிழ் ไทย ქართული ኣማርኛ 한국어 ខ្មែរ မြန်မာ བོད Ελληνικά Қазақ ½ ™ 🎤🇨🇭 −–—…"
    "\n\tend"
)


def is_harmless(text: str) -> bool:
    return not any(character in text for character in CONTROLS)


@pytest.mark.parametrize("character", CONTROLS)
def test_every_control_character_is_shown(character: str) -> None:
    assert is_harmless(show_controls(f"a{character}b"))
    assert is_harmless(quote_value(f"a{character}b"))


def test_ordinary_text_of_any_script_stays() -> None:
    assert show_controls(SCRIPTS) == SCRIPTS
    assert quote_value("歌 हिन्दी") == "'歌 हिन्दी'"


def test_every_character_without_a_glyph_is_shown() -> None:
    hidden = {chr(code) for first, last in IGNORABLE for code in range(first, last + 1)}
    letters = set()
    for code in range(sys.maxunicode + 1):
        character = chr(code)
        category = unicodedata.category(character)
        if category in ("Cc", "Cf", "Zl", "Zp", "Cs") or (
            category in ("Co", "Cn") and code % 101 == 0
        ):
            hidden.add(character)
        elif category[0] in "LNP":
            letters.add(character)
    shown = show_controls("".join(sorted(hidden)), keep="")
    assert shown.isascii()
    assert shown.isprintable()
    assert shown.count("\\") == len(hidden)
    letters -= {*hidden, "\\"}
    assert "\\" not in show_controls("".join(sorted(letters)))
    assert set(re.findall(f"[{INVISIBLE}]", "".join(sorted(letters)))) == set()


@pytest.mark.parametrize(
    "character", "\u200b\ufeff\u00ad\U000e0041\ufe0f\u3164\u034f\u2066\u200d\ue000\u2800"
)
def test_two_texts_that_differ_look_different(character: str) -> None:
    code = f"{ord(character):x}"
    assert code in show_controls(f"a{character}b")
    assert code in quote_value(f"a{character}b")
    assert code in quote_value([f"a{character}b"])
    assert code in ShownFormatter("%(message)s").format(
        logging.LogRecord("a", logging.INFO, "", 0, f"a{character}b", (), None)
    )


def test_a_long_value_or_message_is_shortened() -> None:
    entries = ["x"] * 10
    for _ in range(9):
        entries = [entries] * 10
    assert len(quote_value(entries)) < 100
    assert len(quote_value("x" * 10**6)) < 100
    assert quote_value(10**9999) == "(type int, too long to show)"
    assert len(shorten_message("x" * 10**6)) < 9000


def write_phase(folder: Path) -> Path:
    path = folder / "phase.csv"
    path.write_text("name,mos\n" + "".join(f"v{n}.mp4,{n}\n" for n in range(8)))
    return path


def test_a_submission_cannot_write_to_the_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = write_lines({f"v{n}.mp4": n * 1.1 for n in range(8)})
    readme = f"runtime per video [s] : {TITLE}\nOther description : \x9b31mred\n"
    (tmp_path / "subs").mkdir()
    first = pack(tmp_path / "subs" / "a.zip", {
        "output.txt": output, "readme.txt": readme, f"{TITLE}.txt": "x",
    })  # fmt: skip
    second = pack(tmp_path / "subs" / "b.zip", {
        "output.txt": output + "\x1b[31m,1\n", "readme.txt": "x", "\x1b[31mq/readme.txt": "x",
    })  # fmt: skip
    phase = ["--phase", str(write_phase(tmp_path))]
    for path in (first, second):
        cli.main(["challenge", "score", str(path), *phase])
        captured = capsys.readouterr()
        assert "\\x1b" in captured.out + captured.err
        assert is_harmless(captured.out + captured.err)
    for form in ("md", "tex", "csv", "html"):
        cli.main(["challenge", "leaderboard", str(tmp_path / "subs"), *phase, "--format", form])
        captured = capsys.readouterr()
        assert is_harmless(captured.out + captured.err)


def test_files_that_the_program_writes_have_no_controls_of_submissions(tmp_path: Path) -> None:
    output = write_lines({f"v{n}.mp4": n * 1.1 for n in range(8)})
    (tmp_path / "subs").mkdir()
    pack(tmp_path / "subs" / "a.zip", {
        "output.txt": output, "readme.txt": f"runtime per video [s] : {TITLE}\n",
    })  # fmt: skip
    for form in ("md", "tex", "csv", "html"):
        out = tmp_path / f"board.{form}"
        assert cli.main([
            "challenge", "leaderboard", str(tmp_path / "subs"), "--phase", str(write_phase(tmp_path)),
            "--format", form, "--out", str(out),
        ]) == 0  # fmt: skip
        assert is_harmless(out.read_text(encoding="utf-8"))


def test_names_of_a_table_and_of_a_model_cannot_write_to_the_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "scores.jsonl"
    rows = [
        {
            "rater": f"r{rater}{TITLE}",
            "sample_id": f"v{n}",
            "dimension": f"q{TITLE}",
            "score": n + 1,
        }
        for rater in range(3)
        for n in range(4)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    cli.main(["mos", str(path)])
    captured = capsys.readouterr()
    assert is_harmless(captured.out + captured.err)
    metadata, arrays = make_ridge()
    metadata["metric"]["name"] = metadata["dataset"] = f"m{TITLE}"
    model_files.write(tmp_path / "m.sfqa", metadata, arrays)
    (tmp_path / "talk.mp4").write_bytes(b"")
    cli.main(["score", str(tmp_path / "talk.mp4"), "--model", str(tmp_path / "m.sfqa")])
    captured = capsys.readouterr()
    assert captured.out + captured.err
    assert is_harmless(captured.out + captured.err)


def test_a_record_of_a_log_cannot_look_like_two(tmp_path: Path) -> None:
    path = tmp_path / "job.log"
    with job.run_job(path) as log:
        log.info("seen %s", "1.2.3.4\n2026-01-01 00:00:00 rater r001: stored\x1b[31m")
    lines = path.read_text().splitlines()
    assert [line.startswith("20") for line in lines] == [True, False]
    assert is_harmless(path.read_text())
    record = logging.LogRecord("a", logging.INFO, "", 0, "x\r\ny%s", ("\x07",), None)
    assert ShownFormatter("%(message)s").format(record) == "x\\r\n    y\\x07"


def test_the_own_styles_of_tables_reach_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with show_controls_of_output():
        print_styled("\x1b[1mbold\x1b[0m \x1b[31mred")
        print("\x1b[1mplain", file=sys.stderr)
    captured = capsys.readouterr()
    assert captured.out == "\x1b[1mbold\x1b[0m \\x1b[31mred\n"
    assert captured.err == "\\x1b[1mplain\n"
