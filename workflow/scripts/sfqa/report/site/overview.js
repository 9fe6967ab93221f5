"use strict";
// The dataset in numbers: size, raters, distribution of MOS, licences, and how to cite it.
(() => {
  const { h, svg, words } = SFQA;
  const number = value => value.toLocaleString("en");

  /** One line of numbers for the head of the first page. */
  SFQA.overviewLine = () => {
    const { meta } = SFQA.have, { overview } = meta;
    const raters = overview.raters === null ? null : `${meta.synthetic_mos ? "simulated " : ""}rater`;
    const facts = [
      [number(meta.count), meta.count === 1 ? "video" : "videos"], overview.seconds === null ? null : [number(Math.round(overview.seconds)), "seconds"],
      [number(overview.methods), overview.methods === 1 ? "method" : "methods"], raters && [number(overview.raters), overview.raters === 1 ? raters : `${raters}s`],
      overview.ratings === null ? null : [number(overview.ratings), "ratings"],
    ].filter(Boolean);
    return h("p", { class: "numbers" }, facts.map(([value, label]) => h("span", {}, h("b", {}, value), ` ${label} `)), h("button", { type: "button", class: "plain", onclick: () => { document.getElementById("about-dataset").scrollIntoView(); document.getElementById("about-dataset").focus({ preventScroll: true }); } }, "About the dataset"));
  };

  function histogram(dimension, { edges, counts, mean }) {
    const most = Math.max(...counts), width = 260, height = 90, base = 72, step = (width - 20) / counts.length;
    const title = `${words(dimension)}: ${counts.map((count, n) => `${count} between ${SFQA.short(edges[n])} and ${SFQA.short(edges[n + 1])}`).join(", ")}`;
    return h("figure", { class: "histogram" },
      h("figcaption", {}, h("b", {}, words(dimension)), ` mean ${SFQA.mos(mean)}, ${SFQA.count(counts.reduce((a, b) => a + b, 0), "video")}`),
      svg("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": title },
        counts.map((count, n) => {
          const size = count ? Math.max(1, 60 * count / most) : 0;
          return svg("rect", { class: "bin", x: 10 + n * step + 1, y: base - size, width: step - 2, height: size }, svg("title", {}, document.createTextNode(`${count} between ${SFQA.short(edges[n])} and ${SFQA.short(edges[n + 1])}`)));
        }),
        svg("path", { class: "axis", d: `M10 ${base}H${width - 10}` }),
        [0, counts.length / 2, counts.length].map(n => svg("text", { x: 10 + n * step, y: height - 4, "text-anchor": n === 0 ? "start" : n === counts.length ? "end" : "middle" }, document.createTextNode(SFQA.short(edges[n]))))));
  }

  /** The section at the end of the first page. */
  SFQA.overview = () => {
    const { meta } = SFQA.have, { overview, code } = meta;
    const figures = Object.entries(overview.mos).filter(([, own]) => own.counts.length);
    const licences = overview.licences.length ? overview.licences.map(([kind, licence, count]) => `${kind}: ${licence} (${number(count)})`).join("; ") : "not stated in the tables";
    const papers = [...new Map(meta.metrics.filter(metric => metric.card).map(metric => [metric.card.paper, metric.card])).values()];
    const length = overview.seconds === null ? null : `${number(overview.seconds)} s in ${SFQA.count(overview.measured, "video")}, ${(overview.seconds / overview.measured).toFixed(1)} s each on average`;
    return h("section", { id: "about-dataset", tabIndex: -1 }, h("h2", {}, "About the dataset"),
      SFQA.facts([
        ["Videos", `${number(meta.count)} by ${SFQA.count(overview.methods, "method")}${overview.images ? `, ${SFQA.count(overview.images, "image")}` : ""}${overview.clips ? `, ${SFQA.count(overview.clips, "driving clip")}` : ""}`],
        ["Length", length],
        ["Raters", overview.ratings === null ? (figures.length ? "number of raters not stated" : "no ratings") : `${overview.raters === null ? "imported MOS" : SFQA.count(overview.raters, meta.synthetic_mos ? "simulated rater" : "rater")}, ${SFQA.count(overview.ratings, "rating")}`],
        ["Licences", licences],
        ["How to cite", h("span", {}, "Cite the dataset's own paper, the papers of the metrics that you report, and the software: ", h("q", {}, `SFQA ${code.sfqa}${code.commit ? `, commit ${code.commit.slice(0, 12)}` : ""}, dataset ${meta.dataset}, run ${meta.identity.slice(0, 12)}`), ".")],
      ]),
      papers.length ? h("details", {}, h("summary", {}, SFQA.count(papers.length, "paper"), " of these metrics"), h("ul", { class: "reading" }, papers.map(card => h("li", {}, card.paper)))) : null,
      figures.length ? [h("h3", {}, "Distribution of MOS"), h("div", { class: "histograms" }, figures.map(([dimension, own]) => histogram(dimension, own)))] : null);
  };
})();
