// Source as it stands in the repository: parts beside what they did, whole files at the end.

function sourceId(file, line) {
  return `${file}:${line}`;
}

// indent: how much of the white space at its beginning is left out
function lineOf(file, number, indent = 0, beside = null) {
  const parts = trace.files[file][number - 1].map(([kind, text], i) => {
    const shown = i ? text : text.slice(indent);
    return kind ? span(kind, shown) : shown;
  });
  return div("line", beside && span("beside", ...beside),
    el("span", { class: "at", "aria-hidden": "true" }, String(number)),
    el("code", {}, ...(parts.length ? parts : [" "])));
}

// a part of a file; beside(line) gives elements to stand in front of a line
function source({ file, first, last }, beside = () => null) {
  const begin = trace.files[file][first - 1].map(([, text]) => text).join(""), lines = [];
  for (let number = first; number <= last; number++) {
    lines.push(lineOf(file, number, begin.search(/\S/), beside(number)));
  }
  return scrolling("source", `${file}, lines ${first} to ${last}`, ...lines);
}

function sourceLink(place) {
  const lines = place.last > place.first ? `${place.first}–${place.last}` : place.first;
  const href = `#${sourceId(place.file, place.first)}`;
  return el("a", { class: "where", href, onclick: () => openFile(place) }, `${place.file}:${lines}`);
}

function openFile(place) {  // before the browser follows the link
  document.getElementById(place.file).open = true;
  for (const line of document.querySelectorAll(".line.meant")) line.classList.remove("meant");
  for (let number = place.first; number <= place.last; number++) {
    document.getElementById(sourceId(place.file, number)).classList.add("meant");
  }
}

// something that can be unfolded: a function beside a section that it explains
function folded(title, place) {
  return el("details", { class: "inside" }, el("summary", {}, title), sourceLink(place), source(place));
}

function wholeFiles() {
  return Object.keys(trace.files).map((file) => {
    const lines = trace.files[file].map((_, i) => {
      const line = lineOf(file, i + 1);
      line.id = sourceId(file, i + 1);
      return line;
    });
    return el("details", { class: "file", id: file }, el("summary", {}, file),
      scrolling("source", file, ...lines));
  });
}
