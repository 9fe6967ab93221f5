"use strict";
// Where the numbers come from: the run's identity, code, extractors, metrics, files.
(() => {
  const { h } = SFQA;
  SFQA.views.provenance = {
    title: "Provenance",
    async draw() {
      const files = await SFQA.need("files"), { meta } = SFQA.have;
      const table = SFQA.table([
        { key: "path", head: "File", row: true, value: file => file.path },
        { key: "rows", head: "Rows", number: true, value: file => file.rows, cell: file => file.rows.toLocaleString("en") },
        { key: "bytes", head: "Bytes", number: true, value: file => file.bytes, cell: file => file.bytes.toLocaleString("en") },
        { key: "sha256", head: "sha256", cell: file => h("code", {}, file.sha256) },
      ], { caption: "Tables that this site was built from", sort: "path" });
      table.show(files);
      const extractors = SFQA.table([
        { key: "extractor", head: "Extractor", row: true, value: one => one.extractor }, { key: "version", head: "VERSION", value: one => one.version === undefined ? null : String(one.version) },
        { key: "weights", head: "Weights", cell: one => [SFQA.plainly(one.weights), one.weights && one.weights.kind === "random" && h("span", { class: "badge" }, "random weights")] },
        { key: "options", head: "Options", className: "wide", cell: one => one.options ? SFQA.plainly(one.options) : null }, { key: "files", head: "Files", number: true, value: one => one.files },
      ], { caption: "Extractors" });
      extractors.show(SFQA.extractors(files));
      const metrics = SFQA.table([
        { key: "name", head: "Metric", row: true, value: one => one.name, cell: one => SFQA.press(one.name, () => SFQA.origin({ title: one.name, metric: one.name, facts: [] })) },
        { key: "kind", head: "Kind", value: one => one.kind, cell: one => SFQA.words(one.kind) }, { key: "head", head: "Head", value: one => one.about.head || null },
        { key: "inputs", head: "Inputs", className: "wide", cell: one => (one.about.inputs || []).join(", ") || null }, { key: "weights", head: "Weights", value: one => one.weights },
      ], { caption: "Metrics", pageSize: 100 });
      metrics.show(meta.metrics);
      const trust = meta.reliability && SFQA.table(Object.keys(meta.reliability).map(name => ({ key: name, head: SFQA.words(name), row: name === "dimension", number: typeof meta.reliability[name].find(v => v !== null) === "number", cell: row => typeof row[name] === "number" ? SFQA.short(row[name]) : row[name] })), { caption: "Reliability of the ratings" });
      if (trust) trust.show(SFQA.rows(meta.reliability));
      return h("div", {}, h("h1", {}, "Provenance"),
        SFQA.facts([["Dataset", meta.dataset], ["Identity of the run", h("code", {}, meta.identity)], ...SFQA.codeFacts(meta.code)]),
        h("p", { class: "quiet" }, "The identity is a digest of the paths and contents of the tables below. Code, Python and packages are those that built this page; the versions that wrote each table are in its row. The same data are in provenance.json next to this page, and in ro-crate-metadata.json in the dataset's folder."),
        extractors.node, metrics.node, trust ? trust.node : null, table.node);
    },
  };
})();
