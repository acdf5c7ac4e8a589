// Everything in its place.

document.getElementById("head").append(...head());
document
  .getElementById("main")
  .append(
    ...[curvesSection(), samplesSection(), layersSection(), settingsSection(), machineSection()].filter(
      Boolean,
    ),
  );
