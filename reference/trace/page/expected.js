// At every place: what the model expected, what came, and how surprised it was.

function expectedTable() {
  const worst = Math.max(...trace.expected.map((place) => place.nats ?? 0));
  const names = ["after", "came", "given", "nats", "likeliest"];
  const head = el("tr", {}, ...names.map((name) => el("th", { scope: "col" }, name)));
  const rows = trace.expected.map((place, i) => expectedRow(place, i, worst));
  return scrolling("scroll", "What was expected",
    el("table", {}, el("thead", {}, head), el("tbody", {}, ...rows)));
}

function expectedRow(place, i, worst) {
  const guesses = place.top.map(([id, prob]) =>
    span(id === place.came ? "guess hit" : "guess", word(id), el("small", {}, percent(prob))));
  const cells = place.came === null
    ? [el("td", {}, el("i", {}, "what comes next?")), el("td"), el("td", {}, "not scored")]
    : [el("td", {}, word(place.came)), el("td", { class: "amount" }, percent(place.prob)),
      el("td", { class: "amount" }, place.nats.toFixed(2), bar(place.nats / worst))];
  return el("tr", {}, el("th", { scope: "row" }, word(trace.ids[i])), ...cells,
    el("td", { class: "likeliest" }, ...guesses));
}
