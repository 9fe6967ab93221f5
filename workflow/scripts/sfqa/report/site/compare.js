"use strict";
// Two methods on the same pair, side by side.
(() => {
  const { h, words } = SFQA;

  function pairs() {
    if (SFQA.pairList) return SFQA.pairList;
    const { samples } = SFQA.have, by = new Map();
    samples.pair.codes.forEach((code, i) => { if (code >= 0) { if (!by.has(code)) by.set(code, []); by.get(code).push(i); } });
    SFQA.pairList = [...by].filter(([, own]) => own.length > 1).map(([code, own]) => [samples.pair.values[code], own]).sort((a, b) => a[0] < b[0] ? -1 : 1);
    return SFQA.pairList;
  }
  const method = i => SFQA.text(SFQA.have.samples.labels.method, i) || SFQA.have.samples.id[i];

  SFQA.views.compare = {
    title: "Side by side",
    async draw(given) {
      const { samples, meta } = SFQA.have, list = pairs();
      if (!list.length) return h("section", {}, h("h1", {}, "Side by side"), h("p", {}, "No two samples of this site share a pair."));
      let a = SFQA.place(given.a), b = SFQA.place(given.b);
      const known = a === undefined ? list[0] : list.find(([, own]) => own.includes(a)) || list[0];
      const [pair, own] = known;
      if (a === undefined || !own.includes(a)) a = own[0];
      if (b === undefined || !own.includes(b) || b === a) b = own.find(i => i !== a);
      const chosen = SFQA.chosen(given), predictions = await SFQA.predictions(chosen.protocol);
      const rejects = await SFQA.need("rejects");
      const go = change => SFQA.go("compare", { ...given, a: samples.id[a], b: samples.id[b], ...change });
      const other = step => { const n = list.findIndex(([name]) => name === pair), [, next] = list[(n + step + list.length) % list.length]; const same = i => next.find(k => method(k) === method(i)); go({ a: samples.id[same(a) ?? next[0]], b: samples.id[same(b) ?? next[1]] }); };
      const side = (slot, i, name) => {
        const reasons = SFQA.reasons(rejects, i);
        return h("section", { class: "side" },
          SFQA.choice(`Method ${name}`, own.map(k => samples.id[k]), samples.id[i], value => go({ [name.toLowerCase()]: value }), id => method(SFQA.place(id))),
          SFQA.player(slot, i), h("p", {}, SFQA.status(SFQA.text(samples.status, i)), SFQA.sampleLink(i)),
          h("div", { class: "opinions" }, meta.dimensions.map(dimension => h("div", { class: "opinion" }, h("h3", {}, words(dimension)), h("p", { class: "big" }, SFQA.mosCell(i, dimension))))),
          reasons.length ? h("details", { class: "reasons" }, h("summary", {}, SFQA.count(reasons.length, "reason")), h("ul", {}, reasons)) : null);
      };
      return h("div", {}, h("h1", {}, "Side by side"),
        h("div", { class: "choices" },
          SFQA.choice("Pair", list.map(([name]) => name), pair, value => { const [, next] = list.find(([name]) => name === value); const same = i => next.find(k => method(k) === method(i)); go({ a: samples.id[same(a) ?? next[0]], b: samples.id[same(b) ?? next[1]] }); }, name => name),
          h("button", { type: "button", onclick: () => other(-1) }, "Previous pair"), h("button", { type: "button", onclick: () => other(1) }, "Next pair"),
          meta.videos ? [h("button", { type: "button", class: "main", onclick: SFQA.playBoth }, "Play both"), h("button", { type: "button", onclick: SFQA.pauseBoth }, "Pause both"), h("span", { class: "quiet" }, "with the sound of A")] : null),
        h("div", { class: "sides" }, side(0, a, "A"), side(1, b, "B")),
        meta.metrics.length ? [h("h2", {}, "Metrics"), h("div", { class: "choices" }, SFQA.sharedChoices(chosen, name => value => go({ [name]: value })).filter((_, n) => n !== 1)), SFQA.predictionTable(predictions, chosen, [a, b])] : null);
    },
  };
})();
