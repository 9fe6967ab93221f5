"use strict";
// What a metric is: description, paper, licences, size and measured costs.
(() => {
  const { h } = SFQA;
  const megabytes = bytes => bytes >= 1e9 ? `${(bytes / 1e9).toFixed(1)} GB` : `${(bytes / 1e6).toFixed(0)} MB`;

  /** The metric's name; pressing it opens the description. */
  SFQA.metricName = metric => [
    h("button", { type: "button", class: "name-button", title: `What ${metric.name} is`, onclick: () => SFQA.origin({ title: metric.name, metric: metric.name, facts: [] }) }, metric.name), " ",
    metric.weights === "random" && h("span", { class: "badge" }, "random weights"), " ",
    metric.card && metric.card.restrictions.some(text => text.includes("non-commercial")) && h("span", { class: "badge licence" }, "non-commercial")];

  const describeSize = card => {
    if (!card.weights.length) return "none needed";
    if (card.bytes === null) return `${SFQA.count(card.weights.length, "file")}, size not stated: ${card.weights.join(", ")}`;
    const missing = card.weights.length - card.sized;
    return `${megabytes(card.bytes)}${missing ? `, without ${SFQA.count(missing, "file")} whose size is not stated` : ""}: ${card.weights.join(", ")}`;
  };
  const describeCosts = costs => costs.measured ? `${[costs.seconds && `${costs.seconds} s`, costs.memory_gb && `${costs.memory_gb} GB of memory`].filter(Boolean).join(", ")} for one video (${costs.measured})` : "not measured";

  /** The description of a quality model, null for a metric that the registry does not describe. */
  SFQA.describeMetric = metric => {
    const { card } = metric;
    if (!card) return null;
    const [address, text] = card.link;
    return [h("h3", {}, "About the model"), h("p", {}, card.summary),
      card.restrictions.length ? h("p", { class: "warning" }, card.restrictions.join(" ")) : null,
      SFQA.facts([
        ["Paper", h("span", {}, card.paper, " ", h("a", { href: address, target: "_blank", rel: "noopener noreferrer" }, text))],
        ["Licence of the code", card.licences.code], ["Licence of the weights", card.licences.weights],
        ["Size of the weights", describeSize(card)], ["Cost", describeCosts(card.costs)], ["Note", card.note],
      ]),
      card.reading.length ? h("details", {}, h("summary", {}, "Differences from the paper"), h("ul", { class: "reading" }, card.reading.map(sentence => h("li", {}, sentence)))) : null];
  };
})();
