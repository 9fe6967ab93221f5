"use strict";
// Where a metric and people disagree most, and a scatter plot of all samples.
(() => {
  const { h, words } = SFQA;
  const ROWS = 12, WIDTH = 640, HEIGHT = 420, EDGE = { left: 52, right: 12, top: 12, bottom: 42 };

  /** Predictions mapped to MOS against MOS on a canvas; a press opens the nearest sample. */
  function cloud(places, x, y, marked) {
    const canvas = h("canvas", { width: WIDTH * 2, height: HEIGHT * 2, class: "cloud", role: "img", "aria-label": "Prediction against MOS; the tables below list the extremes" });
    // reduce, because engines limit the number of arguments of Math.min(...values).
    const all = places.flatMap(i => [x(i), y(i)]), low = all.reduce((a, b) => Math.min(a, b)), high = all.reduce((a, b) => Math.max(a, b)), room = (high - low || 1) * 0.04;
    const from = low - room, to = high + room;
    const px = v => EDGE.left + (WIDTH - EDGE.left - EDGE.right) * (v - from) / (to - from), py = v => HEIGHT - EDGE.bottom - (HEIGHT - EDGE.top - EDGE.bottom) * (v - from) / (to - from);
    const paint = () => {
      const pen = canvas.getContext("2d"), style = getComputedStyle(document.documentElement), colour = name => style.getPropertyValue(name).trim();
      pen.setTransform(2, 0, 0, 2, 0, 0);
      pen.clearRect(0, 0, WIDTH, HEIGHT);
      pen.strokeStyle = colour("--line"); pen.fillStyle = colour("--soft"); pen.font = "12px system-ui, sans-serif"; pen.textAlign = "center"; pen.lineWidth = 1;
      const step = 10 ** Math.floor(Math.log10((to - from) / 2)), every = (to - from) / step > 10 ? 2 * step : (to - from) / step < 4 ? step / 2 : step;
      for (let v = Math.ceil(from / every) * every; v <= to; v += every) {
        const text = String(Number(v.toPrecision(6)));
        pen.beginPath(); pen.moveTo(px(v), py(from)); pen.lineTo(px(v), py(to)); pen.moveTo(px(from), py(v)); pen.lineTo(px(to), py(v)); pen.stroke();
        pen.fillText(text, px(v), HEIGHT - EDGE.bottom + 16);
        pen.save(); pen.textAlign = "right"; pen.fillText(text, EDGE.left - 6, py(v) + 4); pen.restore();
      }
      pen.fillText("prediction on the scale of the MOS", (EDGE.left + WIDTH - EDGE.right) / 2, HEIGHT - 8);
      pen.save(); pen.translate(13, (EDGE.top + HEIGHT - EDGE.bottom) / 2); pen.rotate(-Math.PI / 2); pen.fillText("MOS", 0, 0); pen.restore();
      pen.strokeStyle = colour("--soft"); pen.setLineDash([4, 4]); pen.beginPath(); pen.moveTo(px(from), py(from)); pen.lineTo(px(to), py(to)); pen.stroke(); pen.setLineDash([]);
      pen.fillStyle = colour("--accent"); pen.globalAlpha = places.length > 1000 ? 0.35 : 0.7;
      for (const i of places) { pen.beginPath(); pen.arc(px(x(i)), py(y(i)), places.length > 1000 ? 2.2 : 4, 0, 7); pen.fill(); }
      pen.globalAlpha = 1; pen.strokeStyle = colour("--warn"); pen.lineWidth = 2;
      for (const i of marked) { pen.beginPath(); pen.arc(px(x(i)), py(y(i)), 6, 0, 7); pen.stroke(); }
    };
    const nearest = event => {
      const box = canvas.getBoundingClientRect(), at = { x: (event.clientX - box.left) * WIDTH / box.width, y: (event.clientY - box.top) * HEIGHT / box.height };
      let best = null, least = 400;
      for (const i of places) { const d = (px(x(i)) - at.x) ** 2 + (py(y(i)) - at.y) ** 2; if (d < least) { least = d; best = i; } }
      return best;
    };
    const label = h("p", { class: "quiet", "aria-hidden": "true" }, "Press a point to open its sample; the circled samples are listed below.");
    canvas.addEventListener("pointermove", event => { const i = nearest(event); canvas.style.cursor = i === null ? "" : "pointer"; label.textContent = i === null ? "Press a point to open its sample; the circled samples are listed below." : SFQA.have.samples.id[i]; });
    canvas.addEventListener("click", event => { const i = nearest(event); if (i !== null) SFQA.go("sample", { id: SFQA.have.samples.id[i] }); });
    paint();
    SFQA.repaint = paint;
    return h("figure", { class: "cloud" }, canvas, label);
  }

  SFQA.views.extremes = {
    title: "Disagreement",
    async draw(given) {
      const { samples, meta } = SFQA.have;
      if (!meta.dimensions.length || !meta.metrics.length) return h("section", {}, h("h1", {}, "Disagreement"), h("p", {}, "This view needs both metrics and ratings."));
      const chosen = SFQA.chosen(given), predictions = await SFQA.predictions(chosen.protocol), residual = SFQA.residual(predictions, chosen);
      const column = ((predictions[chosen.metric] || {})[chosen.dimension]) || {}, mos = samples.mos[chosen.dimension].mos;
      const known = samples.id.map((_, i) => i).filter(i => residual(i) !== null);
      const order = [...known].sort((a, b) => residual(a) - residual(b) || a - b), harsh = order.slice(0, ROWS).filter(i => residual(i) < 0), kind = order.slice(-ROWS).reverse().filter(i => residual(i) > 0);
      const list = (title, text, rows) => {
        const table = SFQA.table([
          { key: "id", head: "Sample", row: true, cell: SFQA.sampleLink },
          { key: "mos", head: "MOS", number: true, cell: i => SFQA.mosCell(i, chosen.dimension) },
          { key: "mapped", head: "As MOS", number: true, cell: i => SFQA.press(SFQA.mos(column.mapped[i]), SFQA.predictionOrigin(i, chosen.metric, chosen, column)) },
          { key: "error", head: "Error", number: true, cell: i => h("b", {}, SFQA.mos(residual(i))) },
        ], { caption: title });
        table.show(rows);
        return h("section", {}, h("h2", {}, title), h("p", { class: "quiet" }, text), table.node);
      };
      const head = [h("h1", {}, "Disagreement"), h("div", { class: "choices" }, SFQA.sharedChoices(chosen, name => value => SFQA.go("extremes", { ...given, [name]: value })))];
      if (!known.length) return h("div", {}, head, h("p", {}, column.reason ? `These scores cannot be mapped to MOS: ${column.reason}.` : "This metric has no tested sample under this protocol."));
      const untrained = SFQA.metric(chosen.metric).weights === "random";
      return h("div", {}, head, untrained ? h("p", { class: "warning" }, "This metric ran on random weights: its disagreement says nothing about the published metric.") : null,
        h("p", { class: "quiet" }, `${SFQA.count(known.length, "tested sample")}; scores mapped to MOS by ${column.mapping}, ${words(chosen.dimension)}.`),
        cloud(known, i => column.mapped[i], i => mos[i], [...harsh, ...kind]),
        h("div", { class: "sides" }, list("The metric says good, people say bad", "Largest predictions above the MOS.", kind), list("The metric says bad, people say good", "Largest predictions below the MOS.", harsh)));
    },
  };
})();
