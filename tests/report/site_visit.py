"""A visit of the site in a browser: opened from a file, with all requests and problems kept."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

SIZES: dict[str, dict[str, Any]] = {
    "desktop": {"viewport": {"width": 1280, "height": 800}, "color_scheme": "light"},
    "phone": {"viewport": {"width": 390, "height": 844}, "color_scheme": "dark", "is_mobile": True, "has_touch": True,
              "device_scale_factor": 2},
}  # fmt: skip


class Visit:
    """One opening of a page from a file; whatever it asks for or complains about is kept."""

    def __init__(self, browser, path, size="desktop", **more):
        self.context = browser.new_context(reduced_motion="reduce", **(SIZES[size] | more))
        self.context.set_default_timeout(15_000)
        self.page, self.problems, self.asked, self.address = (
            self.context.new_page(),
            [],
            [],
            path.as_uri(),
        )
        self.page.on("pageerror", lambda error: self.problems.append(str(error)))
        self.page.on(
            "console", lambda m: m.type in ("error", "warning") and self.problems.append(m.text)
        )
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.on("dialog", lambda dialog: (self.problems.append("a dialog"), dialog.dismiss()))
        self.page.goto(self.address)
        self.page.wait_for_selector("body[data-view]")

    def go(self, view, **chosen):
        self.page.evaluate(
            "() => { delete document.body.dataset.view; document.getElementById('main').replaceChildren(); }"
        )
        target = f"#{view}" + (f"?{urlencode(chosen)}" if chosen else "")
        self.page.evaluate(
            "t => { if (location.hash === t) dispatchEvent(new HashChangeEvent('hashchange')); else location.hash = t; }",
            target,
        )
        self.page.wait_for_selector("body[data-view]")

    def ids(self):
        return self.page.locator("main tbody th[scope=row]").all_inner_texts()

    def leave(self):
        """Nothing went wrong, nothing came from elsewhere, no markup of the data became markup."""
        assert self.page.evaluate("() => window.evil") is None
        assert self.page.locator("img").count() == 0
        assert [url for url in self.asked if not url.startswith(("file:", "data:", "blob:"))] == []
        assert self.problems == []
        self.context.close()
