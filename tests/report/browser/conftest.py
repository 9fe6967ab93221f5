"""A visit of the site that the module's fixture ``dataset`` has built."""

from __future__ import annotations

import pytest
from site_visit import Visit


@pytest.fixture
def visit(browser, dataset):
    opened = Visit(browser, dataset / "report" / "site" / "index.html")
    yield opened
    opened.context.close()
