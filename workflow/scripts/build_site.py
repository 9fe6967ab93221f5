"""Build the dataset's site, a folder that works offline, and the RO-Crate of the results."""

from pathlib import Path

from sfqa import store, tables
from sfqa.correlation.main_view import MainView, choose_view
from sfqa.job import run_job
from sfqa.report.metric_cards import Registries
from sfqa.report.site import build_site, write_crate
from sfqa.report.site_data import InitialView

with run_job(snakemake.log[0]) as log:
    params = snakemake.params
    site, crate = Path(snakemake.output.site), Path(snakemake.output.crate)
    order = (tuple(params.dimensions), tuple(params.metrics))
    view = InitialView(params.protocol, *order)
    if correlation := dict(snakemake.input.items()).get("correlation"):
        rows = store.read(tables.CORRELATION, correlation)
        shown = choose_view(rows, MainView(params.protocol, params.pooling))
        view = InitialView(shown.protocol, *order, shown.pooling)
    files = [Path(path) for path in snakemake.input]
    registries = Registries(*map(Path, params.registries))
    sample_ids = build_site(crate.parent, site, view, files, registries=registries)
    write_crate(crate.parent, crate, site)
    log.info("%d samples", len(sample_ids))
