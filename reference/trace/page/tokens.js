// The text's way to ids: pieces, bytes, and merge after merge the one that was learned first.

function tokensOf() {
  const places = trace.pieces.map((piece) => el("li", { class: "piece" },
    el("h3", {}, el("span", { class: "quoted" }, visible(piece.text)), el("span", { class: "label" }, `bytes ${piece.bytes}`)),
    el("ol", { class: "merges" }, ...piece.rows.map((row, i) => el("li", {},
      el("span", { class: "rank" }, row.rank === null ? "bytes" : piece.rows.length === 2 && piece.bytes.length > 3 * 64 ? "all merges" : `merge ${row.rank.toLocaleString("en")}`),
      el("span", { class: "symbols" }, ...row.tokens.map((symbol, at) =>
        el("span", { class: row.made.includes(at) ? "symbol made" : "symbol" }, symbol)))))),
    el("p", { class: "ids" }, `ids ${piece.ids.join(" ")}`)));
  return [
    el("p", { class: "lead" }, `The text is cut into ${counted(trace.pieces.length, "piece")}. In each, of all pairs of neighbours that are in the list of merges, the one learned first is merged, until none is left. Ġ is a space, as vocabulary files write it.`),
    el("ul", { class: "pieces" }, ...places),
    ...["cut", "steps"].map((name) => el("details", { class: "inside" },
      el("summary", {}, `${name}: how it is done`), sourceLink(trace.beside[name]), source(trace.beside[name]))),
  ];
}

function rowOf(ids) {
  return el("ol", { class: "row", "aria-label": "Tokens and their ids" }, ...ids.map((id) => el("li", {},
    el("span", { class: "symbol" }, id < 0 ? "none" : word(id)), el("span", { class: "label" }, said(id)))));
}
