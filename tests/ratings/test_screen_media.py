"""Files as browsers ask for them: ranges, tags, pages and their headers."""

from __future__ import annotations

import hashlib

import pytest
from screen_study import Page

from sfqa.ratings.screen.media_files import UnsatisfiableError, parse_range


def test_ranges_of_a_video(served, clock):
    client, links, _ = served
    page = Page(client, links["r001"])
    identity = page.begin()["presentation"]["id"]
    whole = page.watch(identity)
    data = whole.content
    assert len(data) == 5000
    assert whole.headers["content-type"] == "video/mp4"
    assert whole.headers["accept-ranges"] == "bytes"

    def asked(value, **more):
        return page.get(f"/media/{identity}/video", headers={"range": value, **more})

    for value, start, end in [("bytes=0-99", 0, 99), ("bytes=4990-", 4990, 4999), ("bytes=-10", 4990, 4999),
                              ("bytes=4000-9999", 4000, 4999), ("bytes=9000-,0-0", 0, 0)]:  # fmt: skip
        part = asked(value)
        assert part.status_code == 206
        assert part.headers["content-range"] == f"bytes {start}-{end}/5000"
        assert part.content == data[start : end + 1]
    beyond = asked("bytes=5000-")
    assert (beyond.status_code, beyond.headers["content-range"]) == (416, "bytes */5000")
    assert asked("bytes=9-1").content == data
    tag = whole.headers["etag"]
    assert page.get(f"/media/{identity}/video", headers={"if-none-match": tag}).status_code == 304
    assert asked("bytes=0-9", **{"if-range": '"other"'}).status_code == 200
    head = client.head(f"/r/{links['r001']}/media/{identity}/video")
    assert (head.headers["content-length"], head.content) == ("5000", b"")
    # A file has another ETag under each id: equal files cannot be told to be equal.
    assert hashlib.sha256(data).hexdigest()[:24] not in tag


@pytest.mark.parametrize(
    ("header", "size", "found"),
    [
        ("bytes=0-", 10, (0, 9)), ("BYTES = 1-2", 10, (1, 2)), ("bytes=", 10, None), ("bytes=-", 10, None),
        ("bytes=a-b", 10, None), ("bytes=-0,3-4", 10, (3, 4)), ("bytes=0-0, 5-6", 10, (0, 0)),
        ("bytes=" + "9" * 40 + "-", 10, None), ("", 10, None),
    ],
)  # fmt: skip
def test_range_grammar(header, size, found):
    assert parse_range(header, size) == found


@pytest.mark.parametrize(
    ("header", "size"), [("bytes=10-", 10), ("bytes=-0", 10), ("bytes=0-", 0), ("bytes=-5", 0)]
)
def test_ranges_that_cannot_be_served(header, size):
    with pytest.raises(UnsatisfiableError):
        parse_range(header, size)


def test_pages_and_their_headers(served):
    client, links, _ = served
    page = client.get(f"/r/{links['r001']}")
    assert page.headers["content-type"].startswith("text/html")
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert "unsafe" not in page.headers["content-security-policy"]
    assert page.headers["referrer-policy"] == "no-referrer"
    assert links["r001"] not in page.text
    for name in ("main.js", "style.css", "icon.svg"):
        first = client.get(f"/static/{name}")
        assert first.status_code == 200
        again = client.get(f"/static/{name}", headers={"if-none-match": first.headers["etag"]})
        assert again.status_code == 304
    wrong = client.get("/r/nobody", headers={"accept": "text/html"})
    assert (wrong.status_code, "此地址无效" in wrong.text) == (404, True)
