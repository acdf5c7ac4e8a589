// The whole step in two columns: forward runs down on the left, backward up on the right, each beside its mirror.

function shownEvents(...stages) {
  return trace.events.map((_, i) => i).filter((i) => {
    const event = trace.events[i];
    return event.shown && event.kind !== "block" && stages.includes(event.stage);
  });
}

// rows of [forward, backward], where either may be missing: sums have no operation of their own to mirror
function mirrored() {
  const down = shownEvents("forward"), up = shownEvents("backward").reverse(), rows = [];
  let i = 0, j = 0;
  while (i < down.length || j < up.length) {
    const left = down[i], right = up[j];
    const alone = [left !== undefined && trace.events[left].pair === null, right !== undefined && trace.events[right].pair === null];
    if (left !== undefined && right !== undefined && alone[0] === alone[1]) rows.push([left, right]), i++, j++;
    else if (left !== undefined && (alone[0] || right === undefined)) rows.push([left, null]), i++;
    else rows.push([null, right]), j++;
  }
  return rows;
}

function mapOf() {
  const largest = {};
  for (const stage of ["forward", "backward"]) largest[stage] = Math.max(...shownEvents(stage).map(strength));
  let before = "";
  const cells = mirrored().flatMap(([left, right]) => {
    const block = blockOf(left ?? right), title = block && block !== before ? [el("span", { class: "way of" }, `block ${block}`)] : [];
    before = block;
    return [...title, mapCell(left, largest, block), mapCell(right, largest, block)];
  });
  return el("details", { open: matchMedia("(min-width: 900px)").matches },
    el("summary", {}, "The step as a map"),
    el("div", { class: "mirror" }, el("span", { class: "way" }, "forward ↓"), el("span", { class: "way" }, "↑ backward"), ...cells),
    el("div", { class: "after" }, el("span", { class: "way" }, "then the update"), ...shownEvents("update").map((i) => mapCell(i, largest, ""))),
    el("p", { class: "hint" }, "Bars: root mean square of what comes out."));
}

function strength(number) {
  const [first] = trace.events[number].results;
  return first ? trace.tensors[first.tensor].rms : 0;
}

function blockOf(number) {
  const block = trace.events[number].inside;
  return block === null ? "" : trace.events[block].label;
}

function mapCell(number, largest, block) {
  if (number === null || number === undefined) return el("span", { class: "none" });
  const event = trace.events[number], short = block && event.label.startsWith(`${block}.`) ? event.label.slice(block.length + 1) : event.label;
  const bar = el("i", { class: "bar", "aria-hidden": "true" });
  if (largest[event.stage]) bar.style.width = `${100 * strength(number) / largest[event.stage]}%`;
  return el("button", {
    type: "button", class: `cell ${event.stage}`, "data-event": number, onclick: () => go(number),
    title: `${event.stage} ${event.label}: root mean square ${said(strength(number), 3)}`,
  }, short, el("span", { class: "role hidden" }), bar);
}
