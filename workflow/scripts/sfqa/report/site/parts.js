"use strict";
// Data files are scripts that call SFQA.part, because a page opened from a file cannot fetch JSON.
const SFQA = { have: {}, waiting: {}, views: {} };

SFQA.part = (name, value) => {
  SFQA.have[name] = value;
  for (const done of SFQA.waiting[name] || []) done(value);
  delete SFQA.waiting[name];
};

/** Return a promise of a part of the data, which is loaded on first use. */
SFQA.need = name => new Promise((done, fail) => {
  if (name in SFQA.have) { done(SFQA.have[name]); return; }
  const others = SFQA.waiting[name];
  if (others) { others.push(done); return; }
  SFQA.waiting[name] = [done];
  const script = document.createElement("script");
  script.src = `data/${name}.js`;
  script.onerror = () => { delete SFQA.waiting[name]; fail(new Error(`data/${name}.js is missing next to this page`)); };
  document.head.append(script);
});

/** The text of row i of an encoded column ({values, codes}); null if the cell is empty. */
SFQA.text = (column, i) => column.codes[i] < 0 ? null : column.values[column.codes[i]];

/** The predictions under a protocol: {metric: {dimension: {raw, mapped, mapping, reason}}}. */
SFQA.predictions = protocol => {
  const number = SFQA.have.meta.protocols.indexOf(protocol);
  return number < 0 ? Promise.resolve({}) : SFQA.need(`predictions-${number}`);
};

/** Rows of a table of columns as objects. */
SFQA.rows = columns => {
  const names = Object.keys(columns);
  const count = names.length ? columns[names[0]].length : 0;
  return Array.from({ length: count }, (_, i) => Object.fromEntries(names.map(name => [name, columns[name][i]])));
};
