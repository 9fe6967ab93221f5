"use strict";
// Two runs side by side: a statistic of every metric in both, and the difference.
(() => {
  const { h, fixed, words } = SFQA;
  const distinct = (rows, name) => [...new Set(rows.map(row => row[name]))];
  const first = (value, values) => values.includes(value) ? value : values[0];

  SFQA.views.runs = {
    title: "Two runs",
    async draw(given) {
      const { meta } = SFQA.have, title = h("h1", {}, "Two runs");
      if (!meta.more.includes("against")) return h("section", {}, title, h("p", {}, "This site was built without a second run. Build it with sfqa site RESULTS --against OTHER_RESULTS."));
      const other = await SFQA.need("against"), rows = SFQA.rows(other.rows);
      const protocols = distinct(rows, "protocol"), protocol = first(given.protocol || meta.protocols[0], protocols);
      const inProtocol = rows.filter(row => row.protocol === protocol), dimensions = distinct(inProtocol, "dimension"), dimension = first(given.dimension || "overall", dimensions);
      const levels = distinct(inProtocol, "level"), level = first(given.level || "video", levels);
      const poolings = distinct(inProtocol.filter(row => row.level === level), "pooling").filter(name => name !== "sd"), pooling = first(given.pooling || meta.pooling, poolings);
      const names = meta.statistics.map(one => one.name), statistic = first(given.statistic || names[0], names), { label } = meta.statistics.find(one => one.name === statistic);
      const shown = inProtocol.filter(row => row.dimension === dimension && row.level === level && row.pooling === pooling);
      const difference = row => row[statistic] === null || row[`${statistic}_other`] === null ? null : row[`${statistic}_other`] - row[statistic];
      const badge = (value, weights) => [fixed(value), weights === "random" && h("small", {}, " random weights")];
      const here = `${meta.dataset} (this run)`, there = `${other.dataset} (${other.identity.slice(0, 8)})`;
      const table = SFQA.table([
        { key: "metric", head: "Metric", row: true, value: row => row.metric.toLowerCase(), cell: row => row.metric },
        { key: "here", head: here, number: true, value: row => row[statistic], cell: row => badge(row[statistic], row.weights) },
        { key: "there", head: there, number: true, value: row => row[`${statistic}_other`], cell: row => badge(row[`${statistic}_other`], row.weights_other) },
        { key: "difference", head: "Second minus first", number: true, value: difference, cell: row => h("b", {}, fixed(difference(row))) },
        { key: "size", head: "Size of the difference", number: true, value: row => difference(row) === null ? null : Math.abs(difference(row)), cell: row => difference(row) === null ? null : fixed(Math.abs(difference(row))) },
        { key: "n", head: "n, first", number: true, value: row => row.n }, { key: "n_other", head: "n, second", number: true, value: row => row.n_other },
      ], { caption: `${label}, ${words(dimension)}, ${SFQA.protocol(protocol)}, ${words(pooling)}`, sort: "size", down: true, pageSize: 200 });
      table.show(shown);
      const set = name => value => SFQA.go("runs", { ...given, [name]: value });
      const pick = (head, name, values, value, texts) => values.length > 1 ? SFQA.choice(head, values, value, set(name), texts) : null;
      const single = shown.filter(row => row.n === null || row.n_other === null).length;
      const synthetic = [shown.some(row => row.synthetic_mos) && "first", shown.some(row => row.synthetic_mos_other) && "second"].filter(Boolean);
      return h("div", {}, title, h("div", { class: "choices compact" },
        pick("Dimension", "dimension", dimensions, dimension), pick("Protocol", "protocol", protocols, protocol, SFQA.protocol), pick("Level", "level", levels, level), pick("Pooling", "pooling", poolings, pooling),
        pick("Statistic", "statistic", names, statistic, name => meta.statistics.find(one => one.name === name).label)),
        h("p", { class: "quiet" }, `Differences are not tested for significance. ${single ? `${SFQA.count(single, "metric")} ${single === 1 ? "is" : "are"} in one run only. ` : ""}${synthetic.length ? `The MOS of the ${synthetic.join(" and the ")} run come from simulated raters.` : ""}`),
        table.node);
    },
  };
})();
