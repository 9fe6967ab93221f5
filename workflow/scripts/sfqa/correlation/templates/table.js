for (const table of document.querySelectorAll("table")) {
  const body = table.tBodies[0], rows = [...body.rows];
  const heads = [...table.querySelectorAll("th[data-column]")];
  const value = (row, n) => row.cells[n].dataset.value;
  for (const head of heads) head.querySelector("button").onclick = () => {
    const n = Number(head.dataset.column), number = head.classList.contains("number");
    const ways = number ? ["descending", "ascending"] : ["ascending", "descending"];
    const way = [...ways, "none"][ways.indexOf(head.getAttribute("aria-sort")) + 1];
    heads.forEach(other => other.setAttribute("aria-sort", "none"));
    head.setAttribute("aria-sort", way);
    const sign = way === "ascending" ? 1 : -1;
    const order = (a, b) => {
      const x = value(a, n), y = value(b, n);
      if (x === "" || y === "") return (x === "") - (y === "");
      return sign * (number ? x - y : x.localeCompare(y));
    };
    body.append(...(way === "none" ? rows : [...rows].sort(order)));
    table.classList.toggle("sorted", way !== "none");
  };
}
