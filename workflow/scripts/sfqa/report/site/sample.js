"use strict";
// One sample: its video, ratings, metrics, features and reasons for its status.
(() => {
  const { h, svg, words } = SFQA;

  /** Histogram of the scores; ratings of rejected raters are hatched. */
  function ratings(scores, i, dimension) {
    const own = scores.dimensions[dimension];
    if (!own || own.start[i + 1] === own.start[i]) return null;
    const given = [];
    for (let k = own.start[i]; k < own.start[i + 1]; k += 1) given.push({ rater: scores.raters[own.rater[k]], score: own.score[k], out: own.rejected.includes(own.rater[k]) });
    given.sort((a, b) => a.score - b.score);
    const counts = new Map();
    for (const { score, out } of given) { const cell = counts.get(score) || { kept: 0, out: 0 }; cell[out ? "out" : "kept"] += 1; counts.set(score, cell); }
    const keys = [...counts.keys()].sort((a, b) => a - b), low = keys[0], high = keys[keys.length - 1], most = Math.max(...[...counts.values()].map(c => c.kept + c.out));
    const x = score => high === low ? 110 : 14 + 192 * (score - low) / (high - low);
    const drawing = svg("svg", { viewBox: "0 0 220 74", width: 220, height: 74, role: "img", "aria-label": `${given.length} ratings from ${low} to ${high}` },
      keys.map(score => {
        const { kept, out } = counts.get(score), unit = 46 / most;
        return [svg("rect", { class: "kept", x: x(score) - 4, y: 54 - unit * kept, width: 8, height: unit * kept }), out ? svg("rect", { class: "out", x: x(score) - 4, y: 54 - unit * (kept + out), width: 8, height: unit * out }) : null];
      }).flat(), svg("path", { class: "axis", d: "M6 54.5H214" }),
      [low, high].map((score, n) => n && low === high ? null : svg("text", { x: x(score), y: 68, "text-anchor": low === high ? "middle" : n ? "end" : "start" }, document.createTextNode(String(score)))));
    return h("details", {}, h("summary", {}, "All ratings", given.some(one => one.out) ? ", some from rejected raters" : ""), drawing,
      h("p", { class: "quiet" }, given.map(one => `${one.rater}: ${one.score}${one.out ? " (rejected)" : ""}`).join(", ")));
  }

  const opinion = (i, dimension, scores) => {
    const own = SFQA.have.samples.mos[dimension];
    return h("div", { class: "opinion" }, h("h3", {}, words(dimension)), h("p", { class: "big" }, SFQA.mosCell(i, dimension)),
      h("p", { class: "quiet" }, own.mos[i] === null ? "no MOS" : [own.n[i] === null ? "number of raters unknown" : SFQA.count(own.n[i], "rating"), own.sd[i] === null ? null : `, SD ${SFQA.short(own.sd[i])}`]), ratings(scores, i, dimension));
  };

  /** Scores of all metrics for one or two samples side by side. */
  SFQA.predictionTable = (predictions, chosen, places) => {
    const rows = SFQA.have.meta.metrics.map(metric => ({ metric, column: (predictions[metric.name] || {})[chosen.dimension] })).filter(row => row.column);
    const mos = SFQA.have.samples.mos[chosen.dimension].mos;
    const error = (row, i) => row.column.mapped && row.column.mapped[i] !== null && mos[i] !== null ? row.column.mapped[i] - mos[i] : null;
    const head = n => places.length > 1 ? ` ${"AB"[n]}` : "";
    const table = SFQA.table([
      { key: "metric", head: "Metric", row: true, value: row => row.metric.name.toLowerCase(), cell: row => [row.metric.name, row.metric.weights === "random" && h("span", { class: "badge" }, "random weights")] },
      ...places.map((i, n) => [
        { key: `score${n}`, head: `Score${head(n)}`, number: true, value: row => row.column.raw[i], cell: row => row.column.raw[i] === null ? null : SFQA.press(SFQA.short(row.column.raw[i]), SFQA.predictionOrigin(i, row.metric.name, chosen, row.column)) },
        { key: `mapped${n}`, head: `As MOS${head(n)}`, number: true, value: row => row.column.mapped ? row.column.mapped[i] : null, cell: row => row.column.mapped ? SFQA.mos(row.column.mapped[i]) : null },
        places.length === 1 && { key: "error", head: "Error", note: "as MOS minus MOS", number: true, value: row => error(row, i), cell: row => SFQA.mos(error(row, i)) },
      ]).flat().filter(Boolean),
      ...(places.length > 1 ? [{ key: "prefers", head: "Prefers", value: row => prefers(row, places) }] : []),
    ], { caption: `Predictions, ${words(chosen.dimension)}, ${words(chosen.protocol)}`, pageSize: 100, empty: "Not tested under this protocol.", rowClass: row => row.metric.kind === "control" ? "control" : null });
    table.show(rows.filter(row => places.some(i => row.column.raw[i] !== null)));
    return table.node;
  };
  const prefers = (row, [a, b]) => {
    const left = row.column.raw[a], right = row.column.raw[b];
    if (left === null || right === null) return null;
    return left === right ? "neither" : (left - right) * row.metric.direction > 0 ? "A" : "B";
  };

  SFQA.reasons = (rejects, i) => {
    const id = SFQA.have.samples.id[i], found = SFQA.rows(rejects).filter(row => row.item === id);
    return found.map(row => h("li", {}, SFQA.status(row.status), h("b", {}, SFQA.words(row.stage)), " ", row.detail));
  };

  SFQA.otherMethods = i => {
    const { samples } = SFQA.have, pair = samples.pair.codes[i];
    if (pair < 0) return [];
    return samples.pair.codes.map((code, k) => code === pair && k !== i ? k : -1).filter(k => k >= 0);
  };

  SFQA.views.sample = {
    parent: "samples",
    async draw(given) {
      const { samples, meta } = SFQA.have, i = SFQA.place(given.id);
      if (i === undefined) return h("section", {}, h("h1", {}, "No such sample"), h("p", {}, given.id), meta.shown ? h("p", {}, "This site has only some of the dataset's samples.") : null);
      const chosen = SFQA.chosen(given);
      const [predictions, rejects, features, hashes, scores] = await Promise.all([SFQA.predictions(chosen.protocol), SFQA.need("rejects"), SFQA.need("features"), SFQA.need("hashes"), SFQA.need("scores")]);
      const reasons = SFQA.reasons(rejects, i), others = SFQA.otherMethods(i), set = name => value => SFQA.go("sample", { ...given, [name]: value });
      const measured = features.filter(one => one.values[i] !== null);
      const table = SFQA.table([
        { key: "extractor", head: "Extractor", value: one => one.extractor },
        { key: "name", head: "Feature", row: true, value: one => one.name },
        { key: "value", head: "Value", number: true, value: one => one.values[i], cell: one => SFQA.press(SFQA.short(one.values[i]), () => SFQA.origin({
          title: `${one.name}, ${samples.id[i]}`, files: [`features/${one.extractor}/`], hashes: SFQA.hashesOf(hashes, i),
          facts: [["Value", one.values[i]], ["Unit", one.unit], ["Meaning", one.meaning], ...extractorFacts(one.extractor)] })) },
        { key: "unit", head: "Unit", cell: one => one.unit || null },
        { key: "meaning", head: "Meaning", className: "soft wide", cell: one => one.meaning || null },
      ], { caption: "Scalar features", pageSize: 100 });
      table.show(measured);
      return h("div", {}, h("h1", { class: "name" }, samples.id[i]),
        h("div", { class: "sample" },
          h("div", { class: "left" }, SFQA.player(0, i),
            h("p", {}, SFQA.status(SFQA.text(samples.status, i)), Object.keys(meta.labels).map(name => [name, SFQA.text(samples.labels[name], i)]).filter(([, v]) => v !== null)
              .map(([name, value]) => h("a", { class: "tag", href: SFQA.address("samples", { [name]: value }), title: meta.labels[name] }, value))),
            SFQA.text(samples.prompt, i) === null ? null : h("p", { class: "prompt" }, "“", SFQA.text(samples.prompt, i), "”"),
            h("p", { class: "quiet" }, Object.entries(samples.measures).filter(([, v]) => v[i] !== null).map(([name, v]) => `${words(name)} ${SFQA.short(v[i])}`).join(", ")),
            others.length ? h("p", {}, "Compare with another method: ", others.map((k, n) => [n ? ", " : "", h("a", { href: SFQA.address("compare", { a: samples.id[i], b: samples.id[k] }) }, SFQA.text(samples.labels.method, k) || samples.id[k])])) : null),
          h("div", { class: "right" },
            reasons.length ? h("section", { class: "reasons" }, h("h2", {}, "Reasons for the status"), h("ul", {}, reasons)) : null,
            meta.dimensions.length ? h("section", {}, h("h2", {}, "Opinion"), h("div", { class: "opinions" }, meta.dimensions.map(dimension => opinion(i, dimension, scores)))) : null)),
        meta.metrics.length ? h("section", {}, h("h2", {}, "Metrics"), h("div", { class: "choices" }, SFQA.sharedChoices(chosen, set).filter((_, n) => n !== 1)), SFQA.predictionTable(predictions, chosen, [i])) : null,
        h("section", {}, h("h2", {}, "Features"), table.node),
        h("section", {}, h("h2", {}, "Files"), h("div", { class: "scroll", tabIndex: 0, role: "region", "aria-label": "Hashes" }, h("table", { class: "files" }, h("tbody", {}, SFQA.hashesOf(hashes, i).map(([name, value]) => h("tr", {}, h("th", { scope: "row" }, name), h("td", {}, h("code", {}, value)))))))));
    },
  };

  function extractorFacts(name) {
    const found = SFQA.have.files ? SFQA.extractors(SFQA.have.files, [name]) : [];
    return found.flatMap(one => [["Extractor", `${one.extractor}${one.version === undefined ? "" : `, VERSION ${one.version}`}`], ["Options", one.options && SFQA.plainly(one.options)], ["Weights", SFQA.plainly(one.weights)]]);
  }
})();
