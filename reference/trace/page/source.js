// Source as it stands in the repository: parts beside what they did, whole files at the end.

function sourceId(file, line) {
  return `${file}:${line}`;
}

// indent: how much of the white space at its beginning is left out
function lineOf(file, number, indent = 0, beside = null) {
  const parts = trace.files[file][number - 1].map(([kind, text], i) => {
    const shown = i ? text : text.slice(indent);
    return kind ? el("span", { class: kind }, shown) : shown;
  });
  return el("div", { class: "line" }, beside && el("span", { class: "beside" }, ...beside),
    el("span", { class: "at", "aria-hidden": "true" }, String(number)), el("code", {}, ...(parts.length ? parts : [" "])));
}

// a part of a file; beside(line) gives elements to stand in front of a line
function source(place, beside = () => null) {
  const lines = [], indent = trace.files[place.file][place.first - 1].map(([, text]) => text).join("").search(/\S/);
  for (let number = place.first; number <= place.last; number++) lines.push(lineOf(place.file, number, indent, beside(number)));
  return el("div", { class: "source", tabindex: "0", role: "group", "aria-label": `${place.file}, lines ${place.first} to ${place.last}` }, ...lines);
}

function sourceLink(place) {
  const lines = place.last > place.first ? `${place.first}–${place.last}` : place.first;
  return el("a", { class: "where", href: `#${sourceId(place.file, place.first)}`, onclick: () => openFile(place) },
    `${place.file}:${lines}`);
}

function openFile(place) {  // before the browser follows the link
  document.getElementById(place.file).open = true;
  for (const line of document.querySelectorAll(".line.meant")) line.classList.remove("meant");
  for (let number = place.first; number <= place.last; number++) {
    document.getElementById(sourceId(place.file, number)).classList.add("meant");
  }
}

function wholeFiles() {
  return Object.keys(trace.files).map((file) => {
    const lines = trace.files[file].map((_, i) => {
      const line = lineOf(file, i + 1);
      line.id = sourceId(file, i + 1);
      return line;
    });
    return el("details", { class: "file", id: file }, el("summary", {}, file),
      el("div", { class: "source", tabindex: "0", role: "group", "aria-label": file }, ...lines));
  });
}
