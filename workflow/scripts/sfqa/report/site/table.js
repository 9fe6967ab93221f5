"use strict";
// A table that sorts by its headings and shows one page of rows at a time, which keeps it fast.
(() => {
  const { h } = SFQA;
  const PAGE = 50;

  /**
   * columns: {key, head, note, number, value(row) -> sortable, cell(row, sort) -> node or text, row (is the row's head)}.
   * given: {caption, sort, down, page, pageSize, empty, changed({sort, down, page})}. Returns {node, show(rows), list() -> sorted rows, sort() -> key}.
   */
  SFQA.table = (columns, given = {}) => {
    let rows = [], sort = given.sort || null, down = Boolean(given.down), page = given.page || 0;
    const size = given.pageSize || PAGE;
    const body = h("tbody"), top = h("tr");
    const heads = columns.map(column => {
      const cell = h("th", { scope: "col", class: column.number ? "number" : column.className === "mark" ? "mark" : null, title: column.note });
      cell.append(column.value ? h("button", { type: "button", onclick: () => turn(column) }, column.head, h("i", { "aria-hidden": "true" })) : h("span", { class: "head" }, column.head));
      top.append(cell);
      return cell;
    });
    const table = h("table", {}, given.caption && h("caption", {}, given.caption), h("thead", {}, given.groups || null, top), body);
    const pager = h("div", { class: "pager" });
    const node = h("div", {}, h("div", { class: "scroll", tabIndex: 0, role: "region", "aria-label": given.caption || "table" }, table), pager);

    function turn(column) {
      if (sort === column.key) down = !down;
      else { sort = column.key; down = Boolean(column.number); }
      page = 0;
      draw();
      tell();
    }
    function tell() { if (given.changed) given.changed({ sort, down, page }); }

    function sorted() {
      const column = columns.find(one => one.key === sort && one.value);
      if (!column) return rows;
      const keyed = rows.map((row, place) => ({ row, place, value: column.value(row) }));
      const sign = down ? -1 : 1;
      keyed.sort((a, b) => {
        const left = a.value, right = b.value;
        // Missing values are last in both directions.
        if (left === null || left === undefined) return right === null || right === undefined ? a.place - b.place : 1;
        if (right === null || right === undefined) return -1;
        const order = typeof left === "number" ? left - right : left < right ? -1 : left > right ? 1 : 0;
        return order * sign || a.place - b.place;
      });
      return keyed.map(one => one.row);
    }

    function draw() {
      const all = sorted(), pages = Math.max(1, Math.ceil(all.length / size));
      page = Math.min(page, pages - 1);
      heads.forEach((cell, n) => {
        const on = columns[n].key === sort;
        if (on) cell.setAttribute("aria-sort", down ? "descending" : "ascending");
        else cell.removeAttribute("aria-sort");
      });
      body.replaceChildren(...all.slice(page * size, (page + 1) * size).map(row =>
        h("tr", { class: given.rowClass ? given.rowClass(row) : null }, columns.map(column => {
          const own = column.cell ? column.cell(row, sort) : column.value(row);
          return h(column.row ? "th" : "td", { scope: column.row ? "row" : null, class: [column.number && "number", column.className].filter(Boolean).join(" ") || null },
            own === null || own === undefined ? "–" : own);
        }))));
      if (!all.length) body.append(h("tr", {}, h("td", { colSpan: columns.length, class: "quiet" }, given.empty || "Nothing to show.")));
      const go = step => () => { page += step; draw(); tell(); node.scrollIntoView({ block: "nearest" }); };
      pager.replaceChildren();
      if (pages > 1) pager.append(
        h("button", { type: "button", disabled: page === 0, onclick: go(-1) }, "Previous"),
        h("span", { "aria-live": "polite" }, `${(page * size + 1).toLocaleString("en")}–${Math.min(all.length, (page + 1) * size).toLocaleString("en")} of ${all.length.toLocaleString("en")}`),
        h("button", { type: "button", disabled: page === pages - 1, onclick: go(1) }, "Next"));
    }
    return { node, show: next => { rows = next; draw(); }, list: sorted, sort: () => sort };
  };
})();
