"use strict";
// All samples: filtered by label, sorted by MOS or by a metric's error.
(() => {
  const { h, words } = SFQA;

  // A number whose origin is looked up when it is pressed.
  const press = (text, open) => h("button", { type: "button", class: "cell", title: "Where this number comes from", onclick: open }, text);
  SFQA.press = press;

  /** The options that several views share: dimension, protocol, metric. */
  SFQA.chosen = given => {
    const { meta } = SFQA.have;
    const pick = (name, there) => there.includes(given[name]) ? given[name] : there[0];
    const real = meta.metrics.filter(metric => metric.kind !== "control");
    // A metric with trained weights is the default.
    const names = [...real.filter(metric => metric.weights !== "random"), ...real].map(metric => metric.name);
    return { dimension: pick("dimension", meta.dimensions), protocol: pick("protocol", meta.protocols), metric: pick("metric", [...names, ...meta.metrics.map(one => one.name)]) };
  };
  SFQA.sharedChoices = (chosen, set) => {
    const { meta } = SFQA.have;
    return [
      meta.dimensions.length > 1 && SFQA.choice("Dimension", meta.dimensions, chosen.dimension, set("dimension")),
      meta.metrics.length > 0 && SFQA.choice("Metric", meta.metrics.map(m => m.name), chosen.metric, set("metric"), name => name),
      meta.protocols.length > 1 && SFQA.choice("Protocol", meta.protocols, chosen.protocol, set("protocol"), SFQA.protocol),
    ];
  };

  SFQA.mosCell = (i, dimension) => {
    const own = SFQA.have.samples.mos[dimension];
    if (!own || own.mos[i] === null) return "–";
    const low = own.low[i], high = own.high[i];
    return SFQA.cell(SFQA.mos(own.mos[i]), () => SFQA.mosOrigin(i, dimension), { small: low === null || high === null ? null : `${SFQA.mos(low)} to ${SFQA.mos(high)}` });
  };
  SFQA.mosOrigin = (i, dimension) => {
    const { samples, meta } = SFQA.have, own = samples.mos[dimension];
    return {
      title: `MOS ${SFQA.mos(own.mos[i])}, ${samples.id[i]}`, files: ["ratings/mos.parquet", "ratings/scores.parquet", "ratings/raters.parquet"],
      facts: [["Dimension", words(dimension)], ["All digits", own.mos[i]], ["Ratings", own.n[i]], ["SD over raters", own.sd[i] === null ? null : SFQA.short(own.sd[i])],
        ["95 % interval", own.low[i] === null ? null : `${SFQA.mos(own.low[i])} to ${SFQA.mos(own.high[i])}`], ["From", meta.synthetic_mos ? "simulated raters" : "people"]],
    };
  };
  SFQA.predictionOrigin = (i, metric, chosen, column) => async () => {
    const { samples } = SFQA.have, hashes = await SFQA.need("hashes");
    SFQA.origin({
      title: `${metric}, ${samples.id[i]}`, metric, files: ["ratings/mos.parquet", "samples.parquet", "conform/videos.parquet"],
      facts: [["Dimension", words(chosen.dimension)], ["Protocol", words(chosen.protocol)], ["Score as the metric gives it", SFQA.short(column.raw[i])],
        ["Mapped to MOS", column.mapped && SFQA.mos(column.mapped[i])], ["Mapped by", column.mapping], ["Why not mapped", column.reason], ["Trials", "mean over the trials in which this sample is tested"]],
      hashes: SFQA.hashesOf(hashes, i),
    });
  };
  SFQA.hashesOf = (hashes, i) => hashes.map(one => [one.name, SFQA.text(one.values, i)]).filter(([, value]) => value !== null);
  SFQA.sampleLink = i => h("a", { href: SFQA.address("sample", { id: SFQA.have.samples.id[i] }) }, SFQA.have.samples.id[i]);
  SFQA.place = id => {
    if (!SFQA.places) SFQA.places = new Map(SFQA.have.samples.id.map((name, i) => [name, i]));
    return SFQA.places.get(id);
  };

  /** Mapped prediction minus MOS; null if either is missing. */
  SFQA.residual = (predictions, chosen) => {
    const column = ((predictions[chosen.metric] || {})[chosen.dimension]) || {}, mos = SFQA.have.samples.mos[chosen.dimension];
    return i => column.mapped && mos && column.mapped[i] !== null && mos.mos[i] !== null ? column.mapped[i] - mos.mos[i] : null;
  };

  SFQA.views.samples = {
    title: "Samples",
    async draw(given) {
      const { samples, meta } = SFQA.have, chosen = SFQA.chosen(given), predictions = await SFQA.predictions(chosen.protocol);
      const state = { ...given }, labels = Object.keys(meta.labels);
      const column = ((predictions[chosen.metric] || {})[chosen.dimension]) || {}, residual = SFQA.residual(predictions, chosen), mos = samples.mos[chosen.dimension];
      const set = name => value => SFQA.go("samples", { ...state, [name]: value, page: "" });
      const count = h("p", { class: "quiet", "aria-live": "polite" });
      const table = SFQA.table([
        { key: "id", head: "Sample", row: true, value: i => samples.id[i], cell: SFQA.sampleLink },
        { key: "method", head: "Method", value: i => SFQA.text(samples.labels.method, i) },
        { key: "status", head: "Status", value: i => SFQA.text(samples.status, i), cell: i => SFQA.status(SFQA.text(samples.status, i)) },
        ...(mos ? [{ key: "mos", head: "MOS", number: true, value: i => mos.mos[i], cell: i => SFQA.mosCell(i, chosen.dimension) }] : []),
        ...(column.raw ? [
          { key: "score", head: "Score", note: `${chosen.metric}, raw score`, number: true, value: i => column.raw[i], cell: i => column.raw[i] === null ? null : press(SFQA.short(column.raw[i]), SFQA.predictionOrigin(i, chosen.metric, chosen, column)) },
          { key: "mapped", head: "As MOS", note: "the score mapped to MOS", number: true, value: i => column.mapped ? column.mapped[i] : null, cell: i => column.mapped ? SFQA.mos(column.mapped[i]) : null },
          { key: "error", head: "Error", note: "mapped score minus MOS", number: true, value: i => { const r = residual(i); return r === null ? null : Math.abs(r); }, cell: i => SFQA.mos(residual(i)) },
        ] : []),
      ], {
        caption: "Samples", sort: given.sort || "id", down: given.down === "1", page: Number(given.page) || 0,
        changed: now => { Object.assign(state, { sort: now.sort, down: now.down ? "1" : "", page: now.page || "" }); SFQA.go("samples", state, true); },
        empty: "No sample matches these filters.",
      });
      const filter = () => {
        const word = (state.q || "").trim().toLowerCase(), wanted = [];
        for (const name of labels) if (state[name]) wanted.push([samples.labels[name].codes, samples.labels[name].values.indexOf(state[name])]);
        if (state.status) wanted.push([samples.status.codes, samples.status.values.indexOf(state.status)]);
        const rows = [];
        for (let i = 0; i < samples.id.length; i += 1) {
          if (wanted.every(([codes, code]) => codes[i] === code) && (!word || samples.id[i].toLowerCase().includes(word))) rows.push(i);
        }
        count.textContent = `${SFQA.count(rows.length, "sample")} of ${samples.id.length.toLocaleString("en")}${column.raw && column.raw.includes(null) ? "; a dash: not tested under this protocol" : ""}${meta.shown ? `; this small site holds ${meta.shown} of ${meta.count.toLocaleString("en")}` : ""}`;
        table.show(rows);
      };
      const change = name => value => { state[name] = value; state.page = ""; SFQA.go("samples", state, true); filter(); };
      const search = h("input", { type: "search", value: given.q || "", oninput: event => change("q")(event.target.value), autocomplete: "off" });
      const choices = [...labels.map(name => [name, meta.labels[name], samples.labels[name].values]), ["status", "Status", samples.status.values]];
      filter();
      return h("div", {}, h("h1", {}, "Samples"),
        h("div", { class: "choices" },
          h("label", { class: "choice" }, h("span", {}, "Name"), search),
          choices.map(([name, head, values]) => SFQA.choice(head, ["", ...values], given[name] || "", change(name), value => value || "all"))),
        h("div", { class: "choices" }, SFQA.sharedChoices(chosen, set)), count, table.node);
    },
  };
})();
