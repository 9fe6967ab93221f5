"""study.yaml: every key is documented; sections for crowds and display; words of other languages."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from screen_study import STUDY

from sfqa.errors import UserError
from sfqa.ratings.screen import study as settings
from sfqa.ratings.screen import study_options, words
from sfqa.ratings.screen.study import parse_study

PAGE = Path(__file__).parents[2] / "docs" / "study_yaml.md"
ALL_KEYS = {
    *settings.KEYS, *settings.SCALE_KEYS, *settings.DIMENSION_KEYS, *settings.POINT_KEYS,
    *settings.BREAK_KEYS, *settings.SHOW_KEYS, *settings.QUESTION_KEYS,
    *study_options.ENROLMENT_KEYS, *study_options.COMPLETION_KEYS, *study_options.DISPLAY_KEYS,
    *study_options.WINDOW_KEYS,
}  # fmt: skip


def test_the_page_explains_every_key_and_no_other():
    text = PAGE.read_text(encoding="utf-8")
    rows = re.findall(r"^\| (`[^|]+) \|", text, re.MULTILINE)
    in_tables = {key for row in rows for key in re.findall(r"`(\w+)`", row)}
    assert in_tables <= ALL_KEYS
    assert {key for key in ALL_KEYS if f"`{key}`" not in text} == set()
    assert set(settings.KEYS) <= in_tables
    for name in study_options.CHECKS:
        assert f"- `{name}`: " in text


def test_the_defaults_of_the_page_are_those_of_the_code():
    text = PAGE.read_text(encoding="utf-8")
    study = parse_study({"dimensions": [{"name": "quality"}]})
    for row in (
        f"| `person` | `[{', '.join(study.enrolment.person)}]` |",
        f"| `store` | `[{', '.join(study.enrolment.store)}]` |",
        f"| `drop_out_minutes` | {study.enrolment.drop_out_seconds / 60:g} |",
        f"| `next_session_hours` | {study.enrolment.return_seconds / 3600:g} |",
        f"| `breaks` | {study.break_seconds:g} seconds |",
        f"| `pixels` | {study.page['display']['pixels']} |",
        f"| `theme` | {study.page['display']['theme']} |",
    ):
        assert row in text
    assert (study.scale.low, study.scale.high, study.scale.step) == (1, 5, 1)


def test_the_example_of_the_page_is_a_study():
    (example,) = re.findall(r"```yaml\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    study = parse_study(yaml.safe_load(example))
    assert study.checks == ("headphones", "colour_vision")
    assert study.required == {"age"}
    assert study.page["display"]["window"] == {"width": 1024, "height": 700}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"enrolment": {"person": []}}, "give the parameter that names a person"),
        ({"enrolment": {"person": ["a b"]}}, "'a b' is not the name of a parameter"),
        ({"enrolment": {"person": ["X"], "store": ["X"]}}, "'X' is in person and in store"),
        ({"enrolment": {"drop_out_minutes": 0.5}}, "0.5 is too short"),
        ({"enrolment": {"minutes": 5}}, "enrolment: no key 'minutes'"),
        ({"completion": {"code": 12}}, "completion, code: 12 is not a text; put it in quotes"),
        ({"completion": {"code": "a", "code_per_rater": True}}, "keep one of the two"),
        ({"completion": {"url": "example.org"}}, "begin it with https://"),
        ({"completion": {"url": "https://a.org/{PID}"}}, "no value for {PID}; there are PROLIFIC_PID"),
        ({"completion": {"url": "https://a.org/{code}"}}, "{code} needs code"),
        ({"completion": {"url": "https://a.org/{"}}, "completion, url: "),
        ({"display": {"max_zoom": 0}}, "display, max_zoom: 0 is not above 0"),
        ({"display": {"surround": 256}}, "256 is above 255"),
        ({"display": {"pixels": "px"}}, "'px' is not one of css, device"),
        ({"display": {"theme": "grey"}}, "'grey' is not one of light, dark, choice"),
        ({"display": {"window": {"w": 5}}}, "display, window: no key 'w'"),
        ({"display": {"full_screen": "yes"}}, "neither true nor false"),
        ({"checks": ["sound"]}, "checks, entry 1: 'sound' is not one of headphones, colour_vision"),
        ({"checks": ["headphones", "headphones"]}, "a name occurs twice"),
        ({"profile": [{"name": "a", "required": 1}]}, "profile, entry 1, required: 1 is neither"),
        ({"languages": ["e n"]}, "'e n' is not a language tag"),
    ],
)  # fmt: skip
def test_a_wrong_section_is_named(change, says):
    with pytest.raises(UserError) as caught:
        parse_study({**STUDY, **change})
    assert says in str(caught.value)


def make_french(folder, change=lambda texts: None):
    texts = yaml.safe_load((words.FOLDER / "en.yaml").read_text(encoding="utf-8"))
    texts["name"], texts["html_lang"] = "Français", "fr"
    texts["rater"]["save"] = "Enregistrer et continuer"
    texts["rater"]["videos"] = {"one": "{n} vidéo", "many": "{n} de vidéos", "other": "{n} vidéos"}
    del texts["organiser"]
    change(texts)
    (folder / "words.fr.yaml").write_text(
        yaml.safe_dump(texts, allow_unicode=True), encoding="utf-8"
    )
    study = {"dimensions": [{"name": "quality", "label": "Qualité"}], "languages": ["fr", "en"]}
    return parse_study(study, folder)


def test_any_language_by_a_file_of_words(tmp_path):
    study = make_french(tmp_path)
    assert study.page["words"]["fr"]["rater"]["save"] == "Enregistrer et continuer"
    assert "organiser" not in study.page["words"]["fr"]
    assert study.organiser_words["fr"]["organiser"]["pause"] == "Pause the study"
    assert words.list_languages(tmp_path) == ["en", "fr", "zh"]
    assert study.page["dimensions"][0]["label"] == {"fr": "Qualité", "en": "Qualité"}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda t: t["rater"].pop("agree"), "rater: the text 'agree' is missing; in English it is 'I agree.'"),
        (lambda t: t["rater"].update(sav="x"), "rater: no text 'sav'; did you mean 'save'?"),
        (lambda t: t["rater"].update(steps=["a"]), "rater, steps: give a list of 3 entries"),
        (lambda t: t["rater"].update(save=5), "rater, save: 5 is not a text"),
        (lambda t: t["rater"].update(videos={"one": "{n}"}), "is not a text; give one, or its plural forms"),
        (lambda t: t["rater"].update(progress="{a} sur {of}"), "rater, progress: no value for {a}"[:30]),
        (lambda t: t.pop("name"), "the text 'name' is missing"),
    ],
)  # fmt: skip
def test_a_mistake_in_a_file_of_words_is_named(tmp_path, change, says):
    with pytest.raises(UserError) as caught:
        make_french(tmp_path, change)
    assert "words.fr.yaml" in str(caught.value)
    assert says in str(caught.value)


def test_a_language_without_words_says_how_to_add_it(tmp_path):
    with pytest.raises(UserError, match=r"copy .*en\.yaml to words\.fr\.yaml in the folder"):
        parse_study({"dimensions": [{"name": "q"}], "languages": ["fr"]}, tmp_path)


def test_chinese_has_the_texts_of_english():
    english = yaml.safe_load((words.FOLDER / "en.yaml").read_text(encoding="utf-8"))
    chinese = yaml.safe_load((words.FOLDER / "zh.yaml").read_text(encoding="utf-8"))
    words._compare_texts(chinese, english, "zh.yaml")
    assert set(chinese["organiser"]) == set(english["organiser"])


def test_the_pages_use_only_words_that_exist():
    english = yaml.safe_load((words.FOLDER / "en.yaml").read_text(encoding="utf-8"))
    pages = words.FOLDER.parent / "pages"
    used = {}
    for path in pages.glob("*.js"):
        section = "organiser" if path.name == "organiser.js" else "rater"
        keys = set(re.findall(r'\bt\("(\w+)"', path.read_text(encoding="utf-8")))
        keys |= set(re.findall(r'\? "(\w+)" : "(\w+)"\)', path.read_text(encoding="utf-8")) and ())
        assert keys <= set(english[section]), path.name
        used.setdefault(section, set()).update(keys)
    assert {"save", "videos", "completion_code"} <= used["rater"]


def test_the_unit_for_systemd_starts_the_server_as_the_command_line_allows():
    import argparse
    import configparser
    import shlex

    from sfqa.cli import rate

    unit = configparser.ConfigParser()
    unit.optionxform = str  # type: ignore[method-assign,assignment]
    unit.read(PAGE.parent / "examples" / "sfqa-rate.service", encoding="utf-8")
    assert set(unit.sections()) == {"Unit", "Service", "Install"}
    program, command, *words_of_command = shlex.split(unit["Service"]["ExecStart"])
    assert (Path(program).name, command) == ("sfqa", "rate")
    parser = argparse.ArgumentParser()
    rate.add_arguments(parser)
    args = parser.parse_args(words_of_command)
    assert (args.action, args.port) == ("serve", 443)
    assert str(args.folder) == unit["Service"]["ReadWritePaths"]
    assert unit["Service"]["KillSignal"] == "SIGINT"
