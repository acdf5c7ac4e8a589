"""A report's page, read back: what its script is given."""

import json
import re

from minigpt import cli


def read_report(path):
    """What lies in a page as JSON."""
    return json.loads(
        re.search(r'<script type="application/json" id="run">(.*?)</script>', path.read_text())[1]
    )


def written(folder, out):
    """The page of a run, by the command; what lies in it."""
    assert cli.main(["report", str(folder), "--out", str(out)]) == 0
    return read_report(out)


def layers_line(step, n_layer=2, scale=1.0):
    """A line of layers.jsonl, lengths that grow with the layer."""
    parts = ["wte", "wpe", *(f"h.{i}.{part}" for i in range(n_layer) for part in
             ("ln_1", "attn.c_attn", "attn.c_proj", "ln_2", "mlp.c_fc", "mlp.c_proj")), "ln_f"]  # fmt: skip
    layers = {part: [scale * (i + 1) / step, 10.0 + step, 0.01 * (i + 1)] for i, part in enumerate(parts)}
    return json.dumps({"step": step, "layers": layers})
