// A picture of curves that fits its place, with a cursor that the pointer or the arrow keys move.

const MARGIN = { left: 46, right: 12, top: 10, bottom: 26 };
const observer = new ResizeObserver((entries) => {
  for (const { target } of entries) target.draw();
});
let charts = 0;

// where charts that share it point to: the number of a training step's place, null for nowhere
function newCursor() {
  const listeners = new Set();
  return {
    at: null,
    listen(act) {
      listeners.add(act);
    },
    move(at) {
      this.at = at;
      for (const act of listeners) act();
    },
  };
}

// spec: label, height(width), xs(), curves(): [{kind, xs, ys, lows, highs}], low, top, form(y), axis(),
// lines: [[name, y]], cursor, read(at): what is said there, marks(at): [y, ...], quiet: no cursor of its own
function chart(spec) {
  const clip = `clip-${charts++}`;
  const picture = svg("svg", { role: "img", "aria-label": spec.label });
  const said = el("output", { class: "read", "aria-live": "off" }, "\u00a0");
  const host = el("div", { class: "plot" }, picture);
  const place = { x: null, y: null, hair: null };
  if (!spec.quiet) makeMovable(host, picture, said, spec, place);

  host.draw = () => {
    const width = host.clientWidth;
    const height = spec.height(width);
    if (!width) return;
    picture.setAttribute("viewBox", `0 0 ${width} ${height}`);
    picture.setAttribute("height", height);
    const curves = spec.curves();
    const all = curves.flatMap((one) => one.xs).filter((x) => x != null);
    const first = all.reduce((a, b) => Math.min(a, b), Infinity);
    const last = all.reduce((a, b) => Math.max(a, b), -Infinity);
    const bottom = height - MARGIN.bottom;
    const right = width - MARGIN.right;
    place.x = scale(first, last, MARGIN.left, right);
    place.y = scale(spec.low, spec.top, bottom, MARGIN.top);
    const frame = svg(
      "clipPath",
      { id: clip },
      svg("rect", {
        x: MARGIN.left - 4,
        y: MARGIN.top - 4,
        width: right - MARGIN.left + 8,
        height: bottom - MARGIN.top + 4,
      }),
    );
    place.hair = svg("g", { class: "hair" });
    picture.replaceChildren(
      frame,
      ...axes(spec, place, first, last, width, bottom),
      svg(
        "g",
        { "clip-path": `url(#${clip})` },
        ...levels(spec, place, right),
        ...curves.flatMap((one) => drawn(one, place)),
      ),
      place.hair,
    );
    point(spec, place, said, bottom);
  };
  spec.cursor.listen(() => point(spec, place, said, spec.height(host.clientWidth) - MARGIN.bottom));
  observer.observe(host);
  host.said = said;
  return host;
}

function point(spec, place, said, bottom) {
  const { at } = spec.cursor;
  said.textContent = spec.read && at != null ? spec.read(at) : "\u00a0";
  if (!place.hair) return;
  place.hair.replaceChildren();
  if (at == null) return;
  const x = place.x(spec.xs()[at]);
  place.hair.append(svg("line", { x1: x, x2: x, y1: MARGIN.top, y2: bottom }));
  for (const y of spec.marks(at)) {
    if (y != null && y <= spec.top) place.hair.append(svg("circle", { cx: x, cy: place.y(y), r: 4.5 }));
  }
}

function makeMovable(host, picture, said, spec, place) {
  fill(
    host,
    { tabindex: "0", role: "group", "aria-label": `${spec.label}; arrow keys read its numbers` },
    [],
  );
  const to = (event) => {
    const x = event.clientX - picture.getBoundingClientRect().left;
    const xs = spec.xs();
    if (xs.length && place.x) spec.cursor.move(nearest(xs.map(place.x), x));
  };
  host.addEventListener("pointermove", to);
  host.addEventListener("pointerdown", to);
  host.addEventListener("pointerleave", () => {
    if (document.activeElement !== host) spec.cursor.move(null);
  });
  host.addEventListener("focus", () => said.setAttribute("aria-live", "polite"));
  host.addEventListener("blur", () => {
    said.setAttribute("aria-live", "off");
    spec.cursor.move(null);
  });
  host.addEventListener("keydown", (event) => {
    const last = spec.xs().length - 1;
    const now = spec.cursor.at ?? last;
    const stride = event.shiftKey ? Math.max(1, Math.round(last / 20)) : 1;
    const next = { ArrowLeft: now - stride, ArrowRight: now + stride, Home: 0, End: last }[event.key];
    if (event.key === "Escape") spec.cursor.move(null);
    if (next == null || last < 0) return;
    event.preventDefault();
    spec.cursor.move(Math.max(0, Math.min(last, next)));
  });
}
