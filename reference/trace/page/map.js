// The whole step in two columns: forward runs down on the left, backward up on the right, as its mirror.

function shownEvents(...stages) {
  const isShown = ({ shown, kind, stage }) => shown && kind !== "block" && stages.includes(stage);
  return trace.events.map((_, i) => i).filter((i) => isShown(trace.events[i]));
}

// rows of [forward, backward], where either may be missing: sums have no operation of their own to mirror
function mirrored() {
  const down = shownEvents("forward"), up = shownEvents("backward").reverse(), rows = [];
  const alone = (number) => trace.events[number].pair === null;
  while (down.length && up.length) {
    if (alone(down[0]) === alone(up[0])) rows.push([down.shift(), up.shift()]);
    else if (alone(down[0])) rows.push([down.shift(), null]);
    else rows.push([null, up.shift()]);
  }
  return [...rows, ...down.map((left) => [left, null]), ...up.map((right) => [null, right])];
}

function mapOf() {
  const largest = { update: Infinity };
  for (const stage of ["forward", "backward"]) largest[stage] = Math.max(...shownEvents(stage).map(strength));
  const update = shownEvents("update").map((number) => mapCell(number, largest, ""));
  return el("details", { open: matchMedia("(min-width: 900px)").matches },
    el("summary", {}, "The step as a map"),
    div("mirror", span("way", "forward ↓"), span("way", "↑ backward"), ...mapRows(largest)),
    div("after", span("way", "then the update"), ...update),
    p("hint", "Bars: root mean square of what comes out."));
}

function mapRows(largest) {
  let before = "";
  return mirrored().flatMap(([left, right]) => {
    const block = blockOf(left ?? right), title = block && block !== before;
    before = block;
    const cells = [mapCell(left, largest, block), mapCell(right, largest, block)];
    return title ? [span("way of", `block ${block}`), ...cells] : cells;
  });
}

function blockOf(number) {
  const block = trace.events[number].inside;
  return block === null ? "" : trace.events[block].label;
}

function strength(number) {
  const [first] = trace.events[number].results;
  return first ? trace.tensors[first.tensor].rms : 0;
}

function mapCell(number, largest, block) {
  if (number === null) return span("none");
  const { stage, label } = trace.events[number], size = strength(number);
  const short = block && label.startsWith(`${block}.`) ? label.slice(block.length + 1) : label;
  const title = `${stage} ${label}: root mean square ${said(size, 3)}`;
  return button(`cell ${stage}`, () => go(number), { "data-event": number, title }, short,
    span("role hidden"), bar(size / largest[stage]));
}
