// At every place: what the model expected, what came, and how surprised it was.

function expectedTable() {
  const worst = Math.max(...trace.expected.map((place) => place.nats ?? 0));
  const rows = trace.expected.map((place, i) => el("tr", {},
    el("th", { scope: "row" }, word(trace.ids[i])),
    el("td", {}, place.came === null ? el("i", {}, "what comes next?") : word(place.came)),
    el("td", { class: "amount" }, place.came === null ? "" : percent(place.prob)),
    el("td", { class: "amount" }, place.came === null ? "not scored" : place.nats.toFixed(2), meter(place.nats, worst)),
    el("td", { class: "likeliest" }, ...place.top.map(([id, prob]) => el("span", { class: id === place.came ? "guess hit" : "guess" },
      word(id), el("small", {}, percent(prob)))))));
  return el("div", { class: "scroll", tabindex: "0", role: "group", "aria-label": "What was expected" }, el("table", {},
    el("thead", {}, el("tr", {}, ...["after", "came", "given", "nats", "likeliest"].map((name) => el("th", { scope: "col" }, name)))),
    el("tbody", {}, ...rows)));
}

function meter(nats, worst) {
  const bar = el("i", { class: "bar", "aria-hidden": "true" });
  bar.style.width = `${nats ? 100 * nats / worst : 0}%`;
  return bar;
}

function percent(prob) {
  return prob >= 0.0995 ? `${(100 * prob).toFixed(0)}%` : prob >= 0.001 ? `${(100 * prob).toFixed(1)}%` : "<0.1%";
}
