"use strict";
// Where a number comes from: the dialog behind every cell.
(() => {
  const { h } = SFQA;

  /** A number that opens the dialog with its origin when it is pressed. */
  SFQA.cell = (text, about, more = {}) =>
    h("button", { type: "button", class: `cell ${more.class || ""}`, title: more.title || "Where this number comes from", onclick: () => SFQA.origin(about()) }, h("span", {}, text), more.small && h("small", {}, more.small));

  /** Facts as a description list; facts without a value are omitted. */
  SFQA.facts = pairs => h("dl", {}, pairs.filter(([, value]) => value !== null && value !== undefined && value !== "")
    .map(([words, value]) => h("div", {}, h("dt", {}, words), h("dd", {}, value))));

  SFQA.metric = name => SFQA.have.meta.metrics.find(one => one.name === name);

  /** The extractors of a metric from the metadata of its files: VERSION, options, weights. */
  SFQA.extractors = (files, names) => {
    const found = new Map();
    for (const file of files) {
      const { extractor, version, options, weights } = file.about;
      if (extractor === undefined || (names && !names.includes(extractor))) continue;
      const key = JSON.stringify([extractor, version, options, weights]);
      if (!found.has(key)) found.set(key, { extractor, version, options, weights, files: 0 });
      found.get(key).files += 1;
    }
    return [...found.values()];
  };

  SFQA.plainly = value => value === null || value === undefined ? "none" : typeof value === "object"
    ? Object.entries(value).map(([key, own]) => `${key}: ${typeof own === "object" && own !== null ? JSON.stringify(own) : own}`).join(", ") || "none" : String(value);

  SFQA.codeFacts = code => [
    ["Code", `SFQA ${code.sfqa}${code.commit ? `, commit ${code.commit}` : ", commit unknown"}${code.edited ? ", with local edits" : ""}`],
    ["Python", code.python],
    ["Packages", Object.entries(code.packages).map(([name, version]) => `${name} ${version}`).join(", ")],
  ];

  const tableOf = (files, label = "Files") => h("div", { class: "scroll", tabIndex: 0, role: "region", "aria-label": label }, h("table", { class: "files" },
    h("thead", {}, h("tr", {}, ["File", "Rows", "sha256"].map(head => h("th", { scope: "col" }, head)))),
    h("tbody", {}, files.map(file => h("tr", {}, h("th", { scope: "row" }, file.path), h("td", { class: "number" }, file.rows.toLocaleString("en")), h("td", {}, h("code", {}, file.sha256)))))));

  /** Open the dialog: {title, facts, metric (name), files (paths, or folders ending in '/'), hashes}. */
  SFQA.origin = async ({ title, facts, metric, files = [], hashes = [] }) => {
    const dialog = document.getElementById("origin"), all = await SFQA.need("files");
    const known = metric && SFQA.metric(metric), wanted = [...files];
    let names = null;
    if (known) {
      names = known.about.extractors || [];
      wanted.push(`regression/${metric}/predictions.parquet`, ...names.map(name => `features/${name}/`));
    }
    const used = all.filter(file => wanted.some(path => path.endsWith("/") ? file.path.startsWith(path) : file.path === path));
    const few = used.filter(file => !file.path.startsWith("features/")), features = used.filter(file => file.path.startsWith("features/"));
    const about = known ? known.about : {};
    const close = h("button", { type: "button", class: "plain", onclick: () => dialog.close() }, "Close");
    dialog.replaceChildren(h("div", {},
      h("div", { class: "bar" }, h("h2", { id: "origin-title" }, title), close),
      SFQA.facts(facts),
      known && SFQA.describeMetric(known),
      known && [h("h3", {}, "Metric"), SFQA.facts([
        ["Kind", `${SFQA.words(known.kind)}, ${known.group}`], ["Head", about.head], ["Inputs", (about.inputs || []).join(", ")],
        ["Direction", known.direction < 0 ? "lower is better; the sign is flipped first" : "higher is better"],
        ["Options", about.options && SFQA.plainly(about.options)], ["Versions", about.versions && SFQA.plainly(about.versions)],
        ["Weights", known.weights],
      ])],
      names && names.length ? [h("h3", {}, "Features"), SFQA.extractors(all, names).map(one => SFQA.facts([
        ["Extractor", `${one.extractor}${one.version === undefined ? "" : `, VERSION ${one.version}`}`],
        ["Options", one.options && SFQA.plainly(one.options)], ["Weights", SFQA.plainly(one.weights)],
      ]))] : null,
      hashes.length ? [h("h3", {}, "Hashes"), h("div", { class: "scroll", tabIndex: 0, role: "region", "aria-label": "Hashes" }, h("table", { class: "files" }, h("tbody", {}, hashes.map(([name, value]) => h("tr", {}, h("th", { scope: "row" }, name), h("td", {}, h("code", {}, value)))))))] : null,
      h("h3", {}, "Files"), tableOf(few),
      features.length ? h("details", { open: features.length < 5 }, h("summary", {}, SFQA.count(features.length, "feature file")), tableOf(features, "Feature files")) : null,
      h("h3", {}, "Program"), SFQA.facts([...SFQA.codeFacts(SFQA.have.meta.code), ["Identity of the run", h("code", {}, SFQA.have.meta.identity)]])));
    if (!dialog.open) dialog.showModal();
    close.focus();
  };

  // A press outside the dialog closes it.
  document.getElementById("origin").addEventListener("click", event => { if (event.target.id === "origin") event.target.close(); });
})();
