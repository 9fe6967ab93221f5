"use strict";
// The table on the screen as a CSV or LaTeX file, made in the page: no server is needed.
(() => {
  const ESCAPES = { "\\": "\\textbackslash{}", "{": "\\{", "}": "\\}", "&": "\\&", "%": "\\%", "$": "\\$", "#": "\\#", "_": "\\_", "~": "\\textasciitilde{}", "^": "\\textasciicircum{}", "−": "$-$", "–": "--", "<": "\\textless{}", ">": "\\textgreater{}" };
  const escapeTex = text => String(text).replace(/[\\{}&%$#_~^−–<>]/g, letter => ESCAPES[letter]).replace(/^-(?=\d)/, "$-$");
  const NUMBER = /^ *(?:[-+]|[-+]?(?:\d[\d.,']*|\.\d+)(?:e[-+]?\d+)?(?: *%)?|[-+]?(?:inf|infinity|nan)) *$/i;
  const FORMULA = /^'*[\s\p{Cc}\p{Cf}\p{Default_Ignorable_Code_Point}\u2800]*[=+\-@−＝＋－＠﹦﹢﹣﹫]/u;
  /** A text with an apostrophe before each formula in it, as csv_text.py writes it: a spreadsheet may split it at these signs. */
  const defuse = text => {
    const parts = text.split(/([;\t\r\n])/);
    const isFirstSafe = !/^'*[\t\r\n]/.test(text) && (!FORMULA.test(parts[0]) || parts.every((part, n) => n % 2 || NUMBER.test(part)));
    return parts.map((part, n) => (n ? n % 2 || !FORMULA.test(part) || NUMBER.test(part) : isFirstSafe) ? part : `'${part}`).join("");
  };
  const escapeCsv = value => {
    if (value === null || value === undefined) return "";
    const text = typeof value === "string" ? defuse(value) : String(value);
    return /[",\r\n]/.test(text) ? `"${text.replace(/"/g, '""')}"` : text;
  };

  /** Rows of an array of cells as CSV with all digits; the first row is the header. */
  SFQA.toCsv = rows => rows.map(row => row.map(escapeCsv).join(",") + "\r\n").join("");

  /** A LaTeX table with booktabs rules: groups [{name, span}], header and rows of text, notes below it. */
  SFQA.toLatex = ({ caption, align, groups, header, rows, notes }) => {
    const line = cells => `${cells.join(" & ")} \\\\`;
    const format = cell => cell.rank === "best" ? `\\textbf{${escapeTex(cell.text)}}` : cell.rank === "second" ? `\\underline{${escapeTex(cell.text)}}` : escapeTex(cell.text);
    const spread = cell => cell.small ? ` {\\scriptsize [${escapeTex(cell.small)}]}` : "";
    return ["% needs \\usepackage{booktabs,adjustbox}", "\\begin{table*}", "\\centering", `\\caption{${escapeTex(caption)}}`, "\\begin{adjustbox}{max width=\\textwidth}", `\\begin{tabular}{${align}}`, "\\toprule",
      line(groups.map(({ name, span }) => name ? `\\multicolumn{${span}}{c}{${escapeTex(name)}}` : span > 1 ? `\\multicolumn{${span}}{c}{}` : "")),
      line(header.map(escapeTex)), "\\midrule", ...rows.map(row => line(row.map(cell => format(cell) + spread(cell)))), "\\bottomrule", "\\end{tabular}", "\\end{adjustbox}",
      ...notes.map(note => `\\par\\smallskip\\footnotesize ${escapeTex(note)}`), "\\end{table*}", ""].join("\n");
  };

  /** Save a text as a file of the reader's downloads. */
  SFQA.save = (name, text, type) => {
    const address = URL.createObjectURL(new Blob([text], { type: `${type};charset=utf-8` }));
    const link = SFQA.h("a", { href: address, download: name });
    document.body.append(link);
    link.click();
    link.remove();
    setTimeout(() => URL.revokeObjectURL(address), 10_000);
    SFQA.say(`${name} saved`);
  };
})();
