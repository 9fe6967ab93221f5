"use strict";
// Metrics against MOS, the effect of leakage, and significance.
(() => {
  const { h, svg, fixed, words } = SFQA;
  const LEVELS = { video: "videos", model: "means of the methods", method: "within each method" };
  const POOLINGS = { mean: "mean over the trials", pooled: "all test samples at once", median: "median over the trials", sd: "SD over the trials" };
  const key = row => [row.metric, row.dimension, row.protocol, row.level, row.pooling].join("\n");
  const distinct = (rows, name) => [...new Set(rows.map(row => row[name]))];
  const first = (wanted, there) => there.includes(wanted) ? wanted : there[0];
  const RANDOM = "random";

  /** The labels of the statistics that fit, as a sentence has them: SRCC, PLCC and KRCC. */
  const labels = fits => {
    const found = SFQA.have.meta.statistics.filter(fits).map(one => one.label);
    return [found.slice(0, -1).join(", "), ...found.slice(-1)].filter(Boolean).join(" and ");
  };

  let rows = null, index = null;
  const load = () => {
    if (rows) return;
    rows = SFQA.rows(SFQA.have.meta.correlation);
    index = new Map();
    for (const row of rows) if (!index.has(key(row))) index.set(key(row), row);
  };
  const dimensionsOf = () => {
    const there = distinct(rows, "dimension");
    return [...SFQA.have.meta.dimensions.filter(name => there.includes(name)), ...there.filter(name => !SFQA.have.meta.dimensions.includes(name))];
  };

  const interval = (row, name) => {
    const low = row[`${name}_low`], high = row[`${name}_high`];
    return low === undefined || low === null || high === null ? null : `${fixed(low, 2)} to ${fixed(high, 2)}`;
  };

  const about = (row, name, label) => () => ({
    title: `${label} ${row[name] === null ? "undefined" : fixed(row[name], 4)}, ${row.metric}`,
    metric: row.metric,
    files: ["correlation/correlation.parquet", "ratings/mos.parquet", "samples.parquet"],
    facts: [
      ["Dimension", words(row.dimension)], ["Protocol", words(row.protocol)], ["Level", LEVELS[row.level] || row.level],
      ["Pooling", POOLINGS[row.pooling] || row.pooling], ["Trials", row.trials], ["Test rows", row.n],
      ["95 % interval", interval(row, name)], ["Method of the interval", interval(row, name) && row.interval], [`Mapped before ${labels(one => one.is_mapped)}`, row.mapping],
      ["All digits", row[name]], ["Stored in", "correlation/correlation.parquet"],
      ["MOS", row.synthetic_mos ? "from simulated raters" : "from people"], ["Weights", row.weights], ["Status", row.status], ["Note", row.detail],
    ],
  });

  /** The words of a row's notes. */
  const noteWords = detail => (detail || "").split(/; (?=[a-z][a-z0-9_]*: )/).filter(Boolean).map(note => note.split(":")[0]);
  /** Whether a statistic may be best or second: not with a negative SRCC, nor after a fitted curve that is a step or falls. */
  const isRanked = (row, column) => !(row.srcc !== null && Number(row.srcc.toFixed(4)) < 0) && !(column.is_mapped && noteWords(row.detail).some(word => SFQA.have.meta.unranked.includes(word)));

  /** Best and second value of each column without the controls: Map from column to sorted values. */
  const ranks = (chosen, columns) => new Map(columns.map(column => {
    const { dimension, name, higher_is_better: falling } = column;
    const values = [...new Set(chosen.filter(one => one.metric.kind !== "control" && one.rows[dimension] && isRanked(one.rows[dimension], column)).map(one => one.rows[dimension][name]).filter(v => v !== null && v !== undefined).map(v => Number(v.toFixed(3))))];
    values.sort((a, b) => falling ? b - a : a - b);
    return [`${dimension}.${name}`, values];
  }));

  const LABELS = { rank: "Rank", metric: "Metric", group: "Type", n: "n", note: "Note", interval: "Intervals" };
  /** The columns that can be hidden: [key, label]. */
  const listOptions = () => [["rank", LABELS.rank], ["group", LABELS.group], ...SFQA.have.meta.statistics.map(one => [one.name, one.label]), ["interval", LABELS.interval], ["n", LABELS.n], ["note", LABELS.note]];

  /** The main table: {node, filter(text), toCsv(), toLatex()}. `hidden` are keys of columns; `changed` gets a new sort order. */
  function board(chosen, hidden, changed) {
    const { meta } = SFQA.have;
    const dimensions = chosen.dimension === "all" ? dimensionsOf() : [chosen.dimension];
    const lines = meta.metrics.map(metric => ({ metric, rows: Object.fromEntries(dimensions.map(dimension =>
      [dimension, index.get([metric.name, dimension, chosen.protocol, chosen.level, chosen.pooling].join("\n"))])) }))
      .filter(line => Object.values(line.rows).some(Boolean));
    const visible = meta.statistics.filter(one => !hidden.has(one.name)), statistics = visible.length ? visible : meta.statistics;
    const columns = dimensions.flatMap(dimension => statistics.map(one => ({ ...one, dimension, key: `${dimension}.${one.name}` })));
    const order = ranks(lines, columns), known = ["metric", "group", "n", ...columns.map(column => column.key)];
    // By default the metric with the best overall SRCC comes first.
    const usual = columns[columns.length - statistics.length], isKnown = known.includes(chosen.sort), begin = { sort: isKnown ? chosen.sort : usual.key, down: isKnown ? chosen.down : usual.higher_is_better };
    const best = (column, line) => {
      const value = rankedValue(column, line), position = value === null ? -1 : order.get(column.key).indexOf(value);
      return position === 0 ? "best" : position === 1 ? "second" : "";
    };
    /** The value as it is shown; null for a control and where there is none. */
    const roundedValue = (column, line) => {
      const row = line.rows[column.dimension];
      return !row || row[column.name] === null || line.metric.kind === "control" ? null : Number(row[column.name].toFixed(3));
    };
    /** The same, null also for a value that may not be marked as best. */
    const rankedValue = (column, line) => line.rows[column.dimension] && isRanked(line.rows[column.dimension], column) ? roundedValue(column, line) : null;
    const rank = (line, sort) => {
      // Unlike the marks, a rank is given to a metric with a negative SRCC: it comes last.
      const column = columns.find(one => one.key === sort) || usual, read = one => column.is_mapped ? rankedValue(column, one) : roundedValue(column, one), value = read(line);
      if (value === null) return null;
      const isBetter = other => other !== null && (column.higher_is_better ? other > value : other < value);
      return 1 + lines.filter(one => isBetter(read(one))).length;
    };
    const notes = line => [...new Set(Object.values(line.rows).filter(Boolean).map(row => row.detail).filter(Boolean))];
    const count = line => Math.max(...Object.values(line.rows).filter(Boolean).map(row => row.n));
    const small = (row, name) => hidden.has("interval") ? null : interval(row, name);
    const caption = `Metrics against MOS, ${SFQA.protocol(chosen.protocol)}${chosen.protocol === "all" ? "" : " splits"}, ${LEVELS[chosen.level] || chosen.level}, ${POOLINGS[chosen.pooling] || chosen.pooling}`;
    const before = [
      { key: "rank", head: LABELS.rank, number: true, note: "By the statistic that the table is sorted by, otherwise by SRCC; controls have no rank, nor have values after a fitted curve that is a step or falls", className: "rank", cell: (line, sort) => rank(line, sort) },
      { key: "metric", head: LABELS.metric, row: true, value: line => line.metric.name.toLowerCase(), cell: line => SFQA.metricName(line.metric) },
      { key: "group", head: LABELS.group, value: line => line.metric.group, className: "soft" },
    ].filter(column => !hidden.has(column.key));
    const after = [
      { key: "n", head: LABELS.n, number: true, value: count },
      { key: "note", head: LABELS.note, className: "note", cell: line => notes(line).map(text => h("span", { title: text }, noteWords(text).join(", ").replace(/_/g, " "))) },
    ].filter(column => !hidden.has(column.key));
    const table = SFQA.table([
      ...before,
      ...columns.map(column => ({
        key: column.key, head: column.label, number: true, note: `${column.label}, ${words(column.dimension)}`,
        className: column.name === statistics[0].name ? "begin" : null,
        value: line => line.rows[column.dimension] ? line.rows[column.dimension][column.name] : null,
        cell: line => {
          const row = line.rows[column.dimension];
          return row ? SFQA.cell(fixed(row[column.name]), about(row, column.name, column.label), { class: best(column, line), small: small(row, column.name) }) : null;
        },
      })),
      ...after,
    ], {
      caption, pageSize: 200, ...begin, changed,
      rowClass: line => line.metric.kind === "control" ? "control" : null, empty: lines.length ? "No metric matches the search." : "No metric was correlated with MOS here.",
      groups: h("tr", { class: "groups" }, h("td", { colSpan: before.length }), dimensions.map(name => h("th", { scope: "colgroup", colSpan: statistics.length, class: "begin" }, words(name))), after.length ? h("td", { colSpan: after.length }) : null),
    });
    const filter = text => {
      const search = text.trim().toLowerCase();
      table.show(lines.filter(line => `${line.metric.name}\n${line.metric.group}`.toLowerCase().includes(search)));
    };
    const shows = key => !hidden.has(key);

    /** What is shown as CSV with all digits; weights, protocol and the origin of the MOS are always there. */
    function toCsv() {
      const hasInterval = column => shows("interval") && rows.some(row => row[`${column.name}_low`] !== undefined);
      const parts = [
        shows("rank") && ["rank", line => rank(line, table.sort())], ["metric", line => line.metric.name], shows("group") && ["type", line => line.metric.group],
        ...columns.flatMap(column => ["", ...(hasInterval(column) ? ["_low", "_high"] : [])].map(end => [`${column.dimension}_${column.name}${end}`, line => line.rows[column.dimension] ? line.rows[column.dimension][column.name + end] : null])),
        shows("n") && ["n", count], ["weights", line => line.metric.weights], ["protocol", () => chosen.protocol], ["level", () => chosen.level], ["pooling", () => chosen.pooling],
        ["synthetic_mos", () => meta.synthetic_mos], shows("note") && ["note", line => notes(line).join("; ")],
      ].filter(Boolean);
      return SFQA.toCsv([parts.map(([name]) => name), ...table.list().map(line => parts.map(([, read]) => read(line)))]);
    }

    /** What is shown as a LaTeX table. */
    function toLatex() {
      const text = value => ({ text: value === null || value === undefined ? "–" : value });
      const cell = (column, line) => {
        const row = line.rows[column.dimension];
        return row ? { text: fixed(row[column.name]), rank: best(column, line), small: small(row, column.name) } : text(null);
      };
      const random = line => line.metric.weights === "random" ? " (random weights)" : "";
      const first = [shows("rank") && [LABELS.rank, "r", line => text(rank(line, table.sort()))], [LABELS.metric, "l", line => text(line.metric.name + random(line))], shows("group") && [LABELS.group, "l", line => text(line.metric.group)]].filter(Boolean);
      const last = shows("n") ? [[LABELS.n, "r", line => text(count(line))]] : [];
      const parts = [...first, ...columns.map(column => [column.label, "r", line => cell(column, line)]), ...last];
      return SFQA.toLatex({
        caption: `${caption}; dataset ${meta.dataset}`, align: parts.map(([, align]) => align).join(""), header: parts.map(([head]) => head),
        groups: [{ name: "", span: first.length }, ...dimensions.map(name => ({ name: words(name), span: statistics.length })), ...(last.length ? [{ name: "", span: 1 }] : [])],
        rows: table.list().map(line => parts.map(([, , read]) => read(line))),
        notes: [meta.synthetic_mos && "The MOS come from simulated raters.", shows("interval") && columns.some(column => lines.some(line => line.rows[column.dimension] && interval(line.rows[column.dimension], column.name))) && "In brackets: 95 % intervals.", `Run ${meta.identity.slice(0, 12)}.`].filter(Boolean),
      });
    }
    filter("");
    return { node: table.node, filter, toCsv, toLatex };
  }

  const MARKS = ["circle", "square", "diamond", "triangle"];
  const mark = (x, y, n, words) => {
    const shape = MARKS[n % MARKS.length], given = { class: `p${n % 6}` };
    const made = shape === "circle" ? svg("circle", { ...given, cx: x, cy: y, r: 5 })
      : svg("path", { ...given, d: shape === "square" ? `M${x - 4.5} ${y - 4.5}h9v9h-9z` : shape === "diamond" ? `M${x} ${y - 6}l6 6-6 6-6-6z` : `M${x} ${y - 6}l5.5 10h-11z` });
    if (words) made.append(svg("title", {}, document.createTextNode(words)));
    return made;
  };

  function leakage(chosen) {
    const { meta } = SFQA.have;
    const dimension = chosen.dimension === "all" ? first("overall", dimensionsOf()) : chosen.dimension;
    const row = (metric, protocol) => index.get([metric, dimension, protocol, "video", meta.pooling].join("\n"));
    const protocols = meta.protocols.filter(p => p !== "all").sort((a, b) => (b === RANDOM) - (a === RANDOM));
    const base = protocols.includes(RANDOM) ? RANDOM : null;
    const lines = meta.metrics.filter(metric => metric.kind === "regressor").map(metric => ({ metric, rows: Object.fromEntries(protocols.map(p => [p, row(metric.name, p)])) }))
      .filter(line => Object.values(line.rows).some(Boolean));
    if (!lines.length || protocols.length < 2) return null;
    const value = (line, protocol) => line.rows[protocol] ? line.rows[protocol].srcc : null;
    const section = (...content) => h("section", {}, h("h2", {}, "Leakage"), ...content);
    if (!lines.some(line => protocols.some(protocol => value(line, protocol) !== null))) return section(h("p", { class: "quiet" }, "No regressor has an SRCC under any protocol here."));
    const gap = (line, protocol) => base && value(line, base) !== null && value(line, protocol) !== null ? value(line, base) - value(line, protocol) : null;
    const made = SFQA.table([
      { key: "metric", head: "Regressor", row: true, value: line => line.metric.name.toLowerCase(), cell: line => SFQA.metricName(line.metric) },
      ...protocols.map((protocol, n) => ({
        key: protocol, number: true, head: words(protocol), value: line => value(line, protocol),
        cell: line => line.rows[protocol] ? SFQA.cell(fixed(value(line, protocol)), about(line.rows[protocol], "srcc", "SRCC"), { small: interval(line.rows[protocol], "srcc") }) : null,
      })),
      ...(base ? protocols.filter(p => p !== base).map(protocol => ({ key: `gap.${protocol}`, number: true, head: `random ${"−"} ${words(protocol)}`, note: "drop from random splits", value: line => gap(line, protocol), cell: line => h("b", {}, fixed(gap(line, protocol))) })) : []),
      { key: "picture", head: "", className: "strip", cell: line => {
        const x = v => 10 + 160 * (v + 1) / 2;
        return svg("svg", { viewBox: "0 0 180 22", width: 180, height: 22, role: "img", "aria-label": protocols.map(p => `${words(p)} ${fixed(value(line, p))}`).join(", ") },
          svg("path", { class: "axis", d: `M10 11H170M${x(0)} 5v12` }), protocols.map((p, n) => value(line, p) === null ? null : mark(x(value(line, p)), 11, n, `${words(p)} ${fixed(value(line, p))}`)));
      } },
    ], { caption: `SRCC of the regressors under every protocol, ${words(dimension)}, ${POOLINGS[meta.pooling]}`, pageSize: 200 });
    made.show(lines);
    // What the numbers show: a drop of 0 or less is no sign of leakage.
    const drops = protocols.filter(p => base && p !== base).map(protocol => {
      const known = lines.map(line => gap(line, protocol)).filter(v => v !== null);
      return known.length ? `SRCC is higher under random splits than under ${words(protocol)} for ${known.filter(v => v > 0).length} of ${SFQA.count(known.length, "regressor")}.` : null;
    }).filter(Boolean).join(" ");
    const legend = h("p", { class: "legend" }, protocols.map((protocol, n) => h("span", {}, svg("svg", { viewBox: "0 0 14 14", width: 14, height: 14, "aria-hidden": "true" }, mark(7, 7, n)), words(protocol))), h("span", { class: "quiet" }, `strip from ${"−"}1 to 1`));
    return section(h("p", { class: "quiet" }, `The same regressors under splits that share images, clips or methods with the training data and under splits that do not. ${drops}`), legend, made.node);
  }

  /** For every pair of metrics: better, worse, or no significant difference. */
  async function significance(chosen) {
    if (!SFQA.have.meta.more.includes("significance")) return null;
    const dimension = chosen.dimension === "all" ? first("overall", dimensionsOf()) : chosen.dimension;
    const own = SFQA.rows(await SFQA.need("significance")).filter(row => row.dimension === dimension && row.protocol === chosen.protocol && row.statistic === "srcc");
    if (!own.length) return null;
    const section = content => h("section", {}, h("h2", {}, "Which metrics differ"), content);
    const tested = own.filter(row => row.p_holm !== null);
    if (!tested.length) return section(h("p", { class: "quiet" }, `No two metrics can be compared, ${SFQA.words(dimension)}, ${SFQA.protocol(chosen.protocol)}: ${own[0].detail}.`));
    if (!tested.some(row => row.significant)) return section(h("p", { class: "quiet" }, `No two metrics differ significantly, ${SFQA.words(dimension)}, ${SFQA.protocol(chosen.protocol)} (${SFQA.count(tested.length, "pair")}, paired bootstrap, Holm, 5 %).`));
    const untrained = new Set(SFQA.have.meta.random);
    const pairs = new Map(own.flatMap(row => [[`${row.metric_a}\n${row.metric_b}`, { row, sign: 1 }], [`${row.metric_b}\n${row.metric_a}`, { row, sign: -1 }]]));
    const value = name => { const row = index.get([name, dimension, chosen.protocol, "video", "pooled"].join("\n")); return row && row.srcc !== null ? row.srcc : -2; };
    const names = [...new Set(own.flatMap(row => [row.metric_a, row.metric_b]))].sort((a, b) => value(b) - value(a) || (a < b ? -1 : 1));
    const cell = (a, b) => {
      const found = pairs.get(`${a}\n${b}`);
      if (!found) return "";
      const { row, sign } = found, difference = row.difference === null ? null : row.difference * sign;
      const words = difference === null ? "undefined" : !row.significant ? "no significant difference" : difference > 0 ? "better" : "worse";
      return SFQA.cell(words === "better" ? "▲" : words === "worse" ? "▽" : words === "undefined" ? "–" : "·", () => ({
        title: `${a} against ${b}: ${words}`, files: ["correlation/significance.parquet", `regression/${a}/predictions.parquet`, `regression/${b}/predictions.parquet`, "ratings/mos.parquet"],
        facts: [["Dimension", SFQA.words(dimension)], ["Protocol", SFQA.protocol(chosen.protocol)], [`SRCC of ${row.metric_a}`, fixed(row.value_a, 4)], [`SRCC of ${row.metric_b}`, fixed(row.value_b, 4)], ["Samples that both score", row.n],
          ["First minus second", fixed(row.difference, 4)], ["95 % interval, paired bootstrap", row.ci95_low === null ? null : `${fixed(row.ci95_low, 4)} to ${fixed(row.ci95_high, 4)}`], ["p, paired bootstrap", SFQA.short(row.p_bootstrap)], ["p after Holm", SFQA.short(row.p_holm)],
          ["p of Steiger's Z", SFQA.short(row.p_steiger)], ["p of Meng's Z", SFQA.short(row.p_meng)], ["Drawn", row.resampled], ["Note", row.detail]],
      }), { class: words === "better" ? "best" : "", title: `${a} against ${b}: ${words}` });
    };
    const table = SFQA.table([
      { key: "name", head: "Row against column", row: true, cell: name => [name, untrained.has(name) && h("span", { class: "badge" }, "random weights")] },
      ...names.map((name, n) => ({ key: name, head: String(n + 1), note: name, className: "mark", cell: other => other === name ? "" : cell(other, name) })),
    ], { caption: `SRCC, ${SFQA.words(dimension)}, ${SFQA.protocol(chosen.protocol)}: ▲ the row is better, ▽ worse, · no significant difference (paired bootstrap, Holm, 5 %); columns in the order of the rows`, pageSize: 200 });
    table.show(names);
    return section(table.node);
  }

  /** SRCC within each method, where differences between the methods' means do not count. */
  async function byMethod(chosen) {
    if (!SFQA.have.meta.more.includes("by_method")) return null;
    const all = SFQA.rows(await SFQA.need("by_method")).filter(row => row.protocol === chosen.protocol);
    const there = distinct(all, "dimension"), dimension = first(chosen.dimension, dimensionsOf().filter(name => there.includes(name)));
    const own = all.filter(row => row.dimension === dimension), methods = distinct(own, "method").sort();
    if (!own.length) return null;
    const scored = own.filter(row => row.kind !== "control");
    if (!scored.some(row => row.srcc !== null)) return h("section", {}, h("h2", {}, "Within each method"), h("p", { class: "quiet" }, `No metric has an SRCC within a method, ${SFQA.words(dimension)}, ${SFQA.protocol(chosen.protocol)}: ${(scored[0] || own[0]).detail}.`));
    const found = new Map(own.map(row => [`${row.metric}\n${row.method}`, row]));
    const table = SFQA.table([
      { key: "metric", head: "Metric", row: true, value: metric => metric.name.toLowerCase(), cell: metric => [metric.name, metric.weights === "random" && h("span", { class: "badge" }, "random weights")] },
      ...methods.map(method => ({
        key: method, head: method, number: true, value: metric => { const row = found.get(`${metric.name}\n${method}`); return row ? row.srcc : null; },
        cell: metric => { const row = found.get(`${metric.name}\n${method}`); return row ? SFQA.cell(fixed(row.srcc, 2), () => ({ ...about({ ...row, level: "method", pooling: "pooled" }, "srcc", "SRCC")(), files: ["correlation/by_method.parquet", "ratings/mos.parquet", "samples.parquet"] }), { small: interval(row, "srcc") }) : null; },
      })),
    ], { caption: `SRCC within each method, ${SFQA.words(dimension)}, ${SFQA.protocol(chosen.protocol)}`, pageSize: 200, rowClass: metric => metric.kind === "control" ? "control" : null });
    table.show(SFQA.have.meta.metrics.filter(metric => own.some(row => row.metric === metric.name)));
    return h("section", {}, h("h2", {}, "Within each method"), table.node);
  }

  SFQA.views.leaderboard = {
    title: "Leaderboard",
    async draw(given) {
      load();
      if (!rows.length) return h("section", {}, h("h1", {}, "Leaderboard"), h("p", {}, "This dataset has no ratings, so no metric could be compared with them."));
      const levels = distinct(rows, "level").sort((a, b) => (b === "video") - (a === "video"));
      const chosen = { dimension: given.dimension || "all", protocol: first(given.protocol, SFQA.have.meta.protocols), level: first(given.level || "video", levels), sort: given.sort || null, down: given.down === "1" };
      const usual = SFQA.have.meta.pooling, poolings = distinct(rows.filter(row => row.level === chosen.level), "pooling").sort((a, b) => (b === usual) - (a === usual));
      chosen.pooling = first(given.pooling || usual, poolings);
      const state = { ...given }, dimensions = dimensionsOf(), holder = h("div");
      const set = name => value => SFQA.go("leaderboard", { ...state, [name]: value });
      const remember = change => { Object.assign(state, change); SFQA.go("leaderboard", state, true); };
      // "-" hides nothing. By default a phone has no column of types, so that the first statistic is in view.
      const hide = given.hide || (matchMedia("(max-width: 519px)").matches ? "group" : "-"), hidden = new Set(hide.split(",").filter(key => key !== "-"));
      let shown = null;
      const drawBoard = () => {
        const sort = { sort: state.sort || null, down: state.down === "1" };
        shown = board({ ...chosen, ...sort }, hidden, order => remember({ sort: order.sort, down: order.down ? "1" : "" }));
        shown.filter(state.search || "");
        holder.replaceChildren(shown.node);
      };
      drawBoard();
      const pick = (head, name, values, value, texts) => values.length > 1 ? SFQA.choice(head, values, value, set(name), texts) : null;
      const search = h("label", { class: "choice" }, h("span", {}, "Search"), h("input", { type: "search", value: state.search || "", placeholder: "metric or type", oninput: event => { remember({ search: event.target.value }); shown.filter(event.target.value); } }));
      const menu = h("details", { class: "menu", onkeydown: event => { if (event.key === "Escape") { menu.open = false; menu.firstChild.focus(); } } }, h("summary", {}, "Columns"), h("div", { class: "panel" }, listOptions().map(([key, label]) => h("label", {}, h("input", { type: "checkbox", checked: !hidden.has(key), onchange: event => {
        if (event.target.checked) hidden.delete(key);
        else hidden.add(key);
        remember({ hide: [...hidden].join(",") || "-" });
        drawBoard();
      } }), ` ${label}`))));
      const name = `${SFQA.have.meta.dataset}_${chosen.protocol}_${chosen.level}`.replace(/[^\w.-]+/g, "_");
      const reasons = distinct(rows.filter(row => row.protocol === chosen.protocol && row.level === chosen.level && row.pooling === chosen.pooling), "interval").filter(Boolean);
      return h("div", {}, h("div", { class: "title" }, h("h1", {}, "Leaderboard"), SFQA.overviewLine()),
        h("div", { class: "choices compact" },
          pick("Dimension", "dimension", dimensions.length > 1 ? ["all", ...dimensions] : dimensions, chosen.dimension),
          pick("Protocol", "protocol", SFQA.have.meta.protocols, chosen.protocol, SFQA.protocol),
          pick("Level", "level", levels, chosen.level, level => LEVELS[level] || words(level)),
          pick("Pooling", "pooling", poolings, chosen.pooling, pooling => POOLINGS[pooling] || words(pooling)),
          search,
          h("div", { class: "tools" }, menu,
            h("button", { type: "button", title: "Save the rows and columns that are shown as CSV", onclick: () => SFQA.save(`${name}.csv`, shown.toCsv(), "text/csv") }, "CSV"),
            h("button", { type: "button", title: "Save the rows and columns that are shown as a LaTeX table", onclick: () => SFQA.save(`${name}.tex`, shown.toLatex(), "application/x-tex") }, "LaTeX"))),
        holder,
        h("p", { class: "quiet" }, `Best in bold, second best underlined, without controls, metrics with a negative SRCC and ${labels(one => one.is_mapped)} after a fitted curve that is a step or falls. ${labels(one => one.higher_is_better)}: higher is better; the sign is flipped for metrics that are lower for better quality. ${labels(one => !one.higher_is_better)}: lower is better. ${reasons.length ? `Small numbers are 95 % intervals (${reasons.join("; ")}). ` : ""}Press a number to see where it comes from, a name to see what the metric is.`),
        SFQA.overview(), leakage(chosen), await significance(chosen), await byMethod(chosen));
    },
  };
})();
