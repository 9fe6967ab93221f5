"use strict";
// Shows one view at a time. Selected options are part of the URL, so that a view can be shared.
(() => {
  const { h } = SFQA;
  const { meta } = SFQA.have;
  const main = document.getElementById("main"), nav = document.getElementById("nav");
  const ORDER = ["leaderboard", "samples", "compare", "extremes", ...(meta.more.includes("against") ? ["runs"] : []), "rejects", "provenance"];
  let drawn = 0, shown = null;

  /** Go to a view with its selected options; with `quietly` only update the URL. */
  SFQA.go = (view, chosen, quietly = false) => {
    const address = SFQA.address(view, chosen);
    if (quietly) {
      // Browsers limit how often this may be called; then only the URL is out of date.
      try { history.replaceState(null, "", address); } catch { /* see above */ }
      return;
    }
    if (location.hash === address) draw();
    else location.hash = address;
  };

  async function draw() {
    const [path, query] = location.hash.slice(1).split("?"), name = Object.hasOwn(SFQA.views, path) ? path : "leaderboard", view = SFQA.views[name];
    const turn = drawn += 1, again = shown === name;
    SFQA.releasePlayers();
    SFQA.repaint = null;
    for (const link of nav.children) link.toggleAttribute("aria-current", false);
    const current = nav.querySelector(`[data-view="${view.parent || name}"]`);
    if (current) current.setAttribute("aria-current", "page");
    let made;
    try { made = await view.draw(Object.fromEntries(new URLSearchParams(query || ""))); }
    catch (error) { console.error(error); made = h("p", { class: "warning broken" }, `This part cannot be shown: ${error.message}`); }
    if (turn !== drawn) return;
    shown = name;
    const top = window.scrollY, focused = document.activeElement && document.activeElement.closest(".choice");
    const place = focused ? [...main.querySelectorAll(".choice")].indexOf(focused) : -1;
    main.replaceChildren(made);
    SFQA.showPlayers();
    document.title = `${meta.dataset}: ${view.title || "sample"}`;
    if (again && name !== "sample") {
      // An option was changed: keep the scroll position.
      window.scrollTo(0, top);
      const same = place >= 0 && main.querySelectorAll(".choice")[place];
      if (same) same.querySelector("select, input").focus();
    } else if (drawn > 1) {
      window.scrollTo(0, 0);
      main.focus({ preventScroll: true });
    }
    document.body.dataset.view = name;
  }

  document.getElementById("dataset").textContent = meta.dataset;
  document.getElementById("counts").textContent = [SFQA.count(meta.count, "sample"), meta.shown ? `${meta.shown} of them on this site` : null, meta.metrics.length ? SFQA.count(meta.metrics.length, "metric") : null].filter(Boolean).join(", ");
  nav.append(...ORDER.map(name => h("a", { href: `#${name}`, "data-view": name }, SFQA.views[name].title)));
  const warnings = document.getElementById("warnings");
  if (meta.synthetic_mos) warnings.append(h("p", { class: "warning" }, h("b", {}, "Synthetic ratings. "), "The MOS come from simulated raters: these figures test the workflow and say nothing about perceived quality."));
  if (meta.random.length) warnings.append(h("p", { class: "warning" }, h("b", {}, "Random weights. "), meta.random.length > 4 ? `${meta.random.length} of ${SFQA.count(meta.metrics.length, "metric")} ran on untrained networks: their figures say nothing about the published metrics.` : `${meta.random.join(", ")} ran on untrained networks: their figures say nothing about the published metrics.`));

  const theme = document.getElementById("theme");
  theme.addEventListener("click", () => {
    const dark = document.documentElement.dataset.theme ? document.documentElement.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    document.documentElement.dataset.theme = dark ? "light" : "dark";
    if (SFQA.repaint) SFQA.repaint();
  });
  window.addEventListener("hashchange", draw);
  draw();
})();
