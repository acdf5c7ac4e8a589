// The head, and the tables of settings and of the machine.

function head() {
  const { name, lead, figures, asked, last } = run;
  const going =
    asked && last < asked
      ? p(
          "note",
          `The run is at step ${grouped(last)} of ${grouped(asked)}: it is going on, or was stopped.`,
        )
      : null;
  return [
    div("top", span("series", "minigpt: a training run"), themeSwitch()),
    el("h1", {}, name),
    p("lead", lead),
    going,
    el(
      "dl",
      { class: "figures" },
      figures.map(([what, how]) => div("", el("dt", {}, what), el("dd", {}, how))),
    ),
  ].filter(Boolean);
}

function settingsSection() {
  const { settings, command } = run;
  if (!settings.length) {
    return section("settings", "Settings", p("none", "The log alone does not tell the run's settings."));
  }
  const changed = settings.filter(([, , usual]) => !usual);
  return section(
    "settings",
    "Settings",
    p(
      "hint",
      changed.length ? "What differs from the preset, as asked for by" : "All as the preset has it:",
    ),
    el(
      "pre",
      { class: "command" },
      command.split(/ (?=--)/).flatMap((words) => [span("flag", words), " "]),
    ),
    changed.length > 0 &&
      table(
        ["flag", "value"],
        changed.map(([flag, value]) => [flag, value]),
      ),
    el(
      "details",
      {},
      el("summary", {}, `All ${settings.length} settings`),
      table(
        ["flag", "value"],
        settings.map(([flag, value]) => [flag, value]),
      ),
    ),
  );
}

function machineSection() {
  const { machine, begun } = run;
  if (!machine.length) return null;
  return section(
    "machine",
    "Machine",
    table(["what", "which"], machine),
    begun.length > 1 && p("hint", `Begun, or gone on with, ${begun.length} times:`),
    begun.length > 0 &&
      table(
        ["when", "at step", "on"],
        begun.map(([at, step, on]) => [at.replace("T", " ").replace("+00:00", " UTC"), grouped(step), on]),
      ),
  );
}

function table(titles, rows) {
  return div(
    "scroll",
    el(
      "table",
      {},
      el(
        "thead",
        {},
        el(
          "tr",
          {},
          titles.map((title) => el("th", { scope: "col" }, title)),
        ),
      ),
      el(
        "tbody",
        {},
        rows.map((row) =>
          el(
            "tr",
            {},
            row.map((cell, i) => el(i ? "td" : "th", i ? {} : { scope: "row" }, String(cell))),
          ),
        ),
      ),
    ),
  );
}
