"""A generator's source as data: read, refused with a sentence, and carried as JSON."""

import copy
import json
import posixpath
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from sfqa.errors import UserError
from sfqa.repositories import hub
from sfqa.repositories.sources import (
    Download,
    Source,
    Weights,
    as_dict,
    from_dict,
    is_web_address,
    read_source,
)

COMMIT = "cd4c0465ae0b54a6f85af57f5c65fec9fe23e7f8"
SHA = "ab" * 32
ENTRY: dict[str, Any] = {
    "name": "SadTalker",  # the registry's keys beside the source's are not looked at
    "repository": "OpenTalker/SadTalker",
    "commit": COMMIT,
    "licence": "Apache-2.0",
    "environment": "workflow/envs/generators/SadT.yaml",
    "weights": {
        "folder": "checkpoints",
        "files": ["checkpoints/mapping.tar", "gfpgan/weights/"],
        "downloads": [
            {"to": "checkpoints/mapping.tar", "url": "https://a.org/m.tar", "sha256": SHA},
            {"to": "gfpgan/weights", "hub": "o/n", "revision": "v1.0", "only": ["*.pth"]},
        ],
        "by_hand": "scripts/download_models.sh in the repository fetches the same files",
    },
}


def changed(path: str, value: object) -> dict[str, Any]:
    """The entry with the value at a dotted path replaced, or removed where it is `...`."""
    entry = copy.deepcopy(ENTRY)
    *above, last = path.split(".")
    place: Any = entry
    for key in above:
        place = place[int(key)] if isinstance(place, list) else place[key]
    if value is ...:
        del place[last]
    else:
        place[last] = value
    return entry


def test_an_entry_is_read_whole() -> None:
    assert read_source(ENTRY, "methods.yaml, method SadT") == Source(
        "OpenTalker/SadTalker",
        COMMIT,
        "Apache-2.0",
        "workflow/envs/generators/SadT.yaml",
        Weights(
            "checkpoints",
            ("checkpoints/mapping.tar", "gfpgan/weights/"),
            (
                Download("checkpoints/mapping.tar", url="https://a.org/m.tar", sha256=SHA),
                Download("gfpgan/weights", "o/n", "v1.0", ("*.pth",)),
            ),
            "scripts/download_models.sh in the repository fetches the same files",
        ),
    )


def test_the_entry_of_the_documentation_is_one() -> None:
    page = (Path(__file__).parents[2] / "docs" / "generators.md").read_text(encoding="utf-8")
    text = page.split("```yaml\n")[1].split("```")[0].replace("64 hex digits", SHA)
    source = read_source(yaml.safe_load(text), "docs/generators.md")
    assert [bool(d.hub) for d in source.weights.downloads] == [False, True]


def test_a_source_travels_as_json() -> None:
    source = read_source(ENTRY, "here")
    assert from_dict(json.loads(json.dumps(as_dict(source)))) == source


@pytest.mark.parametrize(
    ("path", "value", "sentence"),
    [
        ("commit", ..., "the key 'commit' is missing"),
        ("commit", "main", "give all 40 hex digits"),
        ("commit", COMMIT[:7], "give all 40 hex digits"),
        ("commit", 12, "give one line of text"),
        ("licence", "a\nb", "give one line of text"),
        ("repository", "SadTalker", "give OWNER/NAME"),
        ("repository", "-u/x", "give OWNER/NAME"),
        ("repository", "ext::sh -c date", "give OWNER/NAME"),
        ("repository", "http://github.com/a/b", "give OWNER/NAME"),
        ("repository", "https://me:secret@github.com/a/b", "give OWNER/NAME"),
        ("environment", "/home/me/env.yaml", "leaves the project's folder"),
        ("weights", "checkpoints", "give the keys folder, files"),
        ("weights.folder", "../checkpoints", "leaves the repository"),
        ("weights.folder", ..., "the key 'folder' is missing"),
        ("weights.by_hand", ..., "the key 'by_hand' is missing"),
        ("weights.downlods", [], "did you mean 'downloads'?"),
        ("weights.files", "checkpoints/mapping.tar", "give a list"),
        ("weights.files", ["/etc/passwd"], "leaves the repository"),
        ("weights.files", ["a/../../b"], "leaves the repository"),
        ("weights.files", ["checkpoints/*.onnx"], "list the folder itself"),
        ("weights.files", ["."], "the whole repository"),
        (
            "weights.files",
            ["other.pth"],
            "no required file is at checkpoints/mapping.tar (other.pth)",
        ),
        ("weights.downloads.0.to", "/tmp/x", "leaves the repository"),
        ("weights.downloads.0.to", ".git/hooks/post-checkout", "git's own folder"),
        ("weights.downloads.0.hub", "o/n", "one of hub"),
        ("weights.downloads.0.url", ..., "one of hub"),
        ("weights.downloads.0.url", "http://a.org/m.tar", "give an https or file address"),
        ("weights.downloads.0.url", "ftp://a.org/m.tar", "give an https or file address"),
        ("weights.downloads.0.sha256", ..., "give the 64 hex digits"),
        ("weights.downloads.0.sha256", SHA[1:], "give the 64 hex digits"),
        ("weights.downloads.0.revision", "main", "revision is for a hub"),
        ("weights.downloads.1.sha256", SHA, "the hub states the digests"),
        ("weights.downloads.1.hub", "just-a-name", "give OWNER/NAME"),
        ("weights.downloads.1.revision", "--all", "give a commit, a tag or a branch"),
        ("weights.downloads.1.onyl", ["*"], "did you mean 'only'?"),
    ],
)
def test_a_wrong_entry_is_a_sentence(path: str, value: object, sentence: str) -> None:
    with pytest.raises(UserError) as caught:
        read_source(changed(path, value), "methods.yaml, method SadT")
    assert str(caught.value).startswith("methods.yaml, method SadT")
    assert sentence in str(caught.value)


def test_addresses() -> None:
    good = ["https://a.org/x", "http://127.0.0.1:8000/x", "http://[::1]:9/x", "file:///a/b"]
    bad = ["http://a.org", "file://host/a", "https://", "data:,x", "https://u@a.org/x", "/a/b", ""]
    bad += ["http://127.0.0.1.evil.org/x", "http://localhost@evil.org/", "http://[bad/"]
    assert all(map(is_web_address, good))
    assert not any(map(is_web_address, bad))


@pytest.mark.parametrize(
    ("repository", "url"),
    [
        ("a/b.c", "https://github.com/a/b.c.git"),
        ("https://codeberg.org/a/b", "https://codeberg.org/a/b"),
        ("/srv/mirror/it's here.git", "/srv/mirror/it's here.git"),
    ],
)
def test_clone_url(repository: str, url: str) -> None:
    assert read_source(changed("repository", repository), "here").clone_url == url


NAMES = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=12)


@given(st.lists(st.sampled_from(["..", ".", "", "a", "/", "~", ".git"]) | NAMES, max_size=5))
def test_no_accepted_path_leaves_the_repository(parts: list[str]) -> None:
    text = "/".join(parts)
    try:
        source = read_source(changed("weights.folder", text), "here")
    except UserError:
        return
    found = posixpath.normpath(posixpath.join("/repo", source.weights.folder))
    assert found == "/repo" or found.startswith("/repo/")
    assert ".git" not in found.split("/")


def test_may_hold() -> None:
    some = Download("w/sd", "o/n", only=("unet/*", "v*/net.bin"))
    assert hub.may_hold(some, "w/")
    assert hub.may_hold(some, "w/sd/unet")
    assert hub.may_hold(some, "w/sd/vae/net.bin")
    assert not hub.may_hold(some, "w/sd/text_encoder/")
    assert not hub.may_hold(some, "w/sd2/unet")
    assert hub.may_hold(Download(".", "o/n"), "anything")
