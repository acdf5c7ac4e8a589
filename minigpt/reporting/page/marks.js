// What a chart consists of: axes, levels, bands, lines, points.

function axes(spec, place, first, last, width, bottom) {
  const xs = ticks(first, last, Math.max(4, Math.min(8, Math.floor(width / 95))));
  const ys = ticks(spec.low, spec.top, bottom > 200 ? 8 : 4);
  return [
    ...ys.map((y) =>
      svg(
        "g",
        { class: "tick" },
        svg("line", { x1: MARGIN.left, x2: width - MARGIN.right, y1: place.y(y), y2: place.y(y) }),
        svg(
          "text",
          { x: MARGIN.left - 7, y: place.y(y) + 4, "text-anchor": "end" },
          (spec.form || short)(y),
        ),
      ),
    ),
    ...xs.map((x) =>
      svg(
        "g",
        { class: "tick" },
        svg("text", { x: place.x(x), y: bottom + 18, "text-anchor": end(place.x(x), width) }, short(x)),
      ),
    ),
  ];
}

function end(x, width) {
  // numbers near the edges lean inwards
  return x > width - 24 ? "end" : x < MARGIN.left + 6 ? "start" : "middle";
}

function levels(spec, place, right) {
  return (spec.lines || []).flatMap(([name, y], i) => [
    svg("line", { class: "level", x1: MARGIN.left, x2: right, y1: place.y(y), y2: place.y(y) }),
    svg(
      "text",
      {
        class: "level",
        x: right - 4 - (spec.lines.length - 1 - i) * 46,
        y: place.y(y) - 3,
        "text-anchor": "end",
      },
      name,
    ),
  ]);
}

function drawn(curve, place) {
  const xs = curve.xs.map(place.x);
  const at = (ys) => ys.map((y) => (y == null ? null : place.y(y)));
  if (curve.kind === "band") {
    const lows = at(curve.lows);
    const highs = at(curve.highs);
    const there = xs.map((_, i) => i).filter((i) => lows[i] != null);
    const edge = [...there.map((i) => [xs[i], highs[i]]), ...there.reverse().map((i) => [xs[i], lows[i]])];
    return [
      svg("path", {
        class: "band",
        d: edge.length ? `M${edge.map(([x, y]) => `${x.toFixed(1)} ${y.toFixed(1)}`).join("L")}Z` : "",
      }),
    ];
  }
  const line = svg("path", { class: curve.kind, d: path(xs, at(curve.ys)) });
  if (curve.kind === "line") return [line, ...lone(xs, at(curve.ys))];
  if (curve.kind !== "points") return [line];
  const size = xs.length > 40 ? 2 : 3.5;
  return [
    line,
    ...at(curve.ys).map(
      (y, i) => y != null && svg("circle", { class: "points", cx: xs[i], cy: y, r: size }),
    ),
  ].filter(Boolean);
}

// numbers without neighbours, of which no line can be drawn
function lone(xs, ys) {
  return ys.flatMap((y, i) =>
    y != null && ys[i - 1] == null && ys[i + 1] == null
      ? [svg("circle", { class: "lone", cx: xs[i], cy: y, r: 3 })]
      : [],
  );
}
