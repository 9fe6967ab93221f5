"""Draw each metric's scores against MOS, a panel per dimension."""

from pathlib import Path

import sfqa.single_thread  # noqa: F401 - before numpy is loaded
from sfqa import identity, store, tables
from sfqa.correlation.figures import choose_protocol, draw_scatter
from sfqa.job import run_job
from sfqa.joint_job import Item, make_items

with run_job(snakemake.log[0]):
    params, inputs = snakemake.params, snakemake.input
    mos = store.read(tables.MOS, inputs.mos)
    samples = store.read(tables.SAMPLES, inputs.samples)
    order = list(params.dimensions)
    dimensions = order + sorted(set(mos["dimension"]) - set(order))
    settings = [params.version, params.protocol, params.mapping, dimensions]
    settings += [identity.sha256_file(path) for path in (inputs.mos, inputs.samples)]

    def describe_figure(metric: dict[str, str], predictions: str, svg: str, png: str) -> Item:
        key = identity.digest([*settings, metric, identity.sha256_file(predictions)])
        cache = Path(svg).parent / "cache" / metric["name"]
        return Item(metric["name"], key, [Path(svg), Path(png)], cache, (metric, predictions))

    def draw_figure(item: Item) -> None:
        metric, path = item.content
        frames = (store.read(tables.PREDICTIONS, path), mos, samples, metric, dimensions)
        draw_scatter(*frames, choose_protocol(*frames, params.protocol), item.paths, params.mapping)

    files = (params.metrics, inputs.predictions, snakemake.output.svg, snakemake.output.png)
    figures = [describe_figure(*names) for names in zip(*files, strict=True)]
    make_items("plot_scatter", "figures", figures, draw_figure, snakemake.threads)
