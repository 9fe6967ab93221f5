"""How fast the site opens in Chromium at the paper's size: 12 methods x 432 pairs, 14 metrics.

The tables are drawn, without videos. Printed: what building takes, sizes, time from opening to the
leaderboard, time of a filter and of a sort over all samples, and the heap of JavaScript after a
collection. No rival: the goal is the issue's, open in under 2 s.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "workflow" / "scripts"), str(ROOT / "tests" / "report")]

TARGET_SEC = 2.0


def main(words: Sequence[str] | None = None) -> dict[str, Any]:
    """Build a drawn dataset's site, open it, print and return the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--methods", type=int, default=12)
    parser.add_argument("--pairs", type=int, default=432)
    parser.add_argument("--metrics", type=int, default=14)
    parser.add_argument("--features", type=int, default=41)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--work", type=Path, help="keep the dataset and its site there")
    parser.add_argument("--out", type=Path, help="write the figures there as JSON")
    parser.add_argument("--small", action="store_true", help="a few samples, to see that it runs")
    args = parser.parse_args(words)
    if args.small:
        args.methods, args.pairs, args.metrics, args.repeats = 3, 4, 5, 1
    with tempfile.TemporaryDirectory() as name:
        figures = measured(args, args.work or Path(name))
    if args.out:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(json.dumps(figures, indent=2, sort_keys=True) + "\n")
    return figures


def measured(args: argparse.Namespace, work: Path) -> dict[str, Any]:
    """Return the figures of one size."""
    from site_dataset import make

    from sfqa import tables
    from sfqa.report.site import build_site

    folder = work / "results" / f"made{args.methods}x{args.pairs}x{args.metrics}"
    if not (folder / tables.SAMPLES.path).exists():
        make(
            folder, args.methods, args.pairs, args.metrics, evil=False, videos=0,
            features=args.features,
        )  # fmt: skip
    site = folder / "report" / "site"
    start = time.perf_counter()
    shown = build_site(folder, site)
    build = time.perf_counter() - start
    sizes = {p.relative_to(site).as_posix(): p.stat().st_size for p in site.rglob("*.js")}
    first = sum(sizes[f"data/{n}.js"] for n in ("meta", "samples", "predictions-0"))
    figures: dict[str, Any] = {
        "samples": len(shown),
        "build_sec": build,
        "all_bytes": sum(sizes.values()),
        "first_bytes": first,
        **browsed(site / "index.html", args.repeats),
    }
    megabytes, opening = figures["all_bytes"] / 1e6, first / 1e6
    print(f"{figures['samples']} samples, {args.metrics} metrics: built in {build:.1f} s")
    print(f"  {megabytes:.1f} MB in all, {opening:.1f} MB for the first view")
    for key, words in (
        ("open_sec", "open to the leaderboard"),
        ("samples_sec", "all samples listed"),
        ("filter_sec", "filter by method"),
        ("sort_sec", "sort by error"),
    ):
        print(f"  {words:<26} {figures[key]:7.3f} s")
    print(f"  heap {figures['heap_bytes'] / 1e6:.0f} MB")
    reached = "reached" if figures["open_sec"] < TARGET_SEC else "missed"
    print(f"  open in under {TARGET_SEC:g} s: {reached}")
    return figures


def browsed(page_file: Path, repeats: int) -> dict[str, float]:
    """Return times and heap of the page in Chromium, medians over fresh profiles."""
    from playwright.sync_api import sync_playwright

    found: dict[str, list[float]] = {}
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for _ in range(repeats):
            context = browser.new_context(viewport={"width": 1280, "height": 800})
            page = context.new_page()

            def lap(key: str, start: float) -> None:
                found.setdefault(key, []).append(time.perf_counter() - start)

            start = time.perf_counter()
            page.goto(page_file.as_uri())
            page.wait_for_selector("main table tbody tr")
            lap("open_sec", start)
            start = time.perf_counter()
            page.click("nav a:has-text('Samples')")
            page.wait_for_selector("h1:has-text('Samples')")
            lap("samples_sec", start)
            start = time.perf_counter()
            page.select_option("label:has-text('Method') select", index=1)
            lap("filter_sec", start)
            page.select_option("label:has-text('Method') select", index=0)
            start = time.perf_counter()
            page.click("thead button:has-text('Error')")
            lap("sort_sec", start)
            session = context.new_cdp_session(page)
            session.send("Performance.enable")
            session.send("HeapProfiler.collectGarbage")
            metrics = {m["name"]: m["value"] for m in session.send("Performance.getMetrics")["metrics"]}  # fmt: skip  # noqa: E501
            found.setdefault("heap_bytes", []).append(metrics["JSHeapUsedSize"])
            context.close()
        browser.close()
    return {key: statistics.median(values) for key, values in found.items()}


if __name__ == "__main__":
    main()
