// The text's way to ids: pieces, bytes, and merge after merge the one that was learned first.

const SAID = "In each, of all pairs of neighbours that are in the list of merges, the one learned first is "
  + "merged, until none is left. Ġ is a space, as vocabulary files write it.";

function tokensOf() {
  return [
    p("lead", `The text is cut into ${counted(trace.pieces.length, "piece")}. ${SAID}`),
    el("ul", { class: "pieces" }, ...trace.pieces.map(pieceOf)),
    folded("cut: how text becomes pieces", trace.beside.cut),
    folded("steps: how pieces become tokens", trace.beside.steps),
    rowOf(trace.ids),
  ];
}

function pieceOf(piece) {
  const title = el("h3", {}, span("quoted", visible(piece.text)), span("label", `bytes ${piece.bytes}`));
  const rows = piece.rows.map((row, i) => {
    const rank = i === 0 ? "bytes" : row.rank === null ? "all merges" : `merge ${grouped(row.rank)}`;
    const kind = (at) => row.made.includes(at) ? "symbol made" : "symbol";
    const symbols = row.tokens.map((symbol, at) => span(kind(at), symbol));
    return el("li", {}, span("rank", rank), span("symbols", ...symbols));
  });
  return el("li", { class: "piece" }, title, el("ol", { class: "merges" }, ...rows),
    p("ids", `ids ${piece.ids.join(" ")}`));
}

function rowOf(ids) {
  const items = ids.map((id) => el("li", {}, span("symbol", word(id)), span("label", said(id))));
  return el("ol", { class: "row", "aria-label": "Tokens and their ids" }, ...items);
}
