"use strict";
// Rows that failed or are flawed, with their reasons.
(() => {
  const { h, words } = SFQA;

  /** The words of a detail, which is a list 'word: sentence; word: sentence'. */
  const kinds = detail => detail.split(/; (?=[a-z][a-z0-9_]*: )/).map(part => (/^([a-z][a-z0-9_]*): /.exec(part) || [null, "other"])[1]);

  SFQA.views.rejects = {
    title: "Failed or flawed",
    async draw(given) {
      const rows = SFQA.rows(await SFQA.need("rejects")).map(row => ({ ...row, kinds: kinds(row.detail) }));
      const state = { ...given }, stages = [...new Set(rows.map(row => row.stage))], reasons = [...new Set(rows.flatMap(row => row.kinds))].sort(), methods = [...new Set(rows.map(row => row.method).filter(Boolean))].sort();
      const counted = new Map();
      for (const row of rows) for (const kind of row.kinds) { const key = JSON.stringify([row.stage, row.status, kind]); counted.set(key, (counted.get(key) || 0) + 1); }
      const summary = SFQA.table([
        { key: "stage", head: "Stage", row: true, value: one => one.stage, cell: one => words(one.stage) }, { key: "status", head: "Status", value: one => one.status, cell: one => SFQA.status(one.status) },
        { key: "kind", head: "Reason", value: one => one.kind, cell: one => h("button", { type: "button", class: "cell", onclick: () => SFQA.go("rejects", { ...state, stage: one.stage, reason: one.kind }) }, words(one.kind)) },
        { key: "count", head: "Rows", number: true, value: one => one.count },
      ], { caption: "Counted by stage and reason", sort: "count", down: true, pageSize: 25, empty: "Every row of every stage is ok." });
      summary.show([...counted].map(([key, count]) => { const [stage, status, kind] = JSON.parse(key); return { stage, status, kind, count }; }));
      const table = SFQA.table([
        { key: "stage", head: "Stage", value: row => row.stage, cell: row => words(row.stage) },
        { key: "item", head: "Item", row: true, value: row => row.item, cell: row => SFQA.place(row.item) === undefined ? row.item : SFQA.sampleLink(SFQA.place(row.item)) },
        { key: "method", head: "Method", value: row => row.method },
        { key: "status", head: "Status", value: row => row.status, cell: row => SFQA.status(row.status) },
        { key: "detail", head: "Why", className: "wide", cell: row => row.detail },
      ], { caption: "Rows that are not ok", empty: "No row matches these filters." });
      const count = h("p", { class: "quiet", "aria-live": "polite" });
      const filter = () => {
        const kept = rows.filter(row => (!state.stage || row.stage === state.stage) && (!state.status || row.status === state.status) && (!state.method || row.method === state.method) && (!state.reason || row.kinds.includes(state.reason)));
        count.textContent = `${SFQA.count(kept.length, "row")} of ${rows.length.toLocaleString("en")}`;
        table.show(kept);
      };
      const change = name => value => { state[name] = value; SFQA.go("rejects", state, true); filter(); };
      filter();
      return h("div", {}, h("h1", {}, "Failed or flawed rows"), h("p", { class: "quiet" }, "Failed rows are left out of later stages. Flawed rows are used like any other; they are listed so that you can look at them. A row with two reasons counts under both. rejects.parquet lists all of them."), summary.node,
        h("h2", {}, "Row by row"), h("div", { class: "choices" },
          [["stage", "Stage", stages], ["status", "Status", ["failed", "flawed"]], ["method", "Method", methods], ["reason", "Reason", reasons]].map(([name, head, values]) => SFQA.choice(head, ["", ...values], given[name] || "", change(name), value => value ? words(value) : "all"))),
        count, table.node);
    },
  };
})();
