"""Cases of whole models, of clipping, AdamW and the learning rate's course."""

from reference.kit import gpt2
from reference.kit.numbers import Grid
from reference.kit.operations import Case
from reference.kit.wobbly import answered, flat
from reference.scalar import adamw, clip_scale, global_norm, schedules
from reference.scalar.nested import shape
from reference.scalar.rounding import exact, exactly

MODELS = {
    "one-layer": ({"n_layer": 1, "n_head": 1, "n_embd": 3, "n_ctx": 4, "n_vocab": 5}, 2, 3),
    "two-layers": ({"n_layer": 2, "n_head": 2, "n_embd": 6, "n_ctx": 5, "n_vocab": 7}, 2, 4),
    "one-position": ({"n_layer": 1, "n_head": 2, "n_embd": 4, "n_ctx": 1, "n_vocab": 3}, 1, 1),
}
OPTIMIZER = {"lr": 2.0**-6, "betas": [0.875, 0.9375], "eps": 2.0**-6, "weight_decay": 0.125, "clip": 0.5}


def training():
    """Yield all cases of models and of training."""
    for name, (config, B, T) in MODELS.items():
        yield model_case(name, config, B, T)
    yield from clip_cases()
    yield from adamw_cases()
    yield several_steps()
    for name in ("cosine", "linear", "constant", "wsd"):
        yield schedule_case(name)


def model_case(name, config, B, T):
    """Logits, loss, every gradient, and every parameter after one clipped step of AdamW."""
    grid = Grid(f"model {name}")
    params = {key: parameter(grid, key, sizes) for key, sizes in gpt2.shapes(config).items()}
    tokens, targets = grid.ids(config["n_vocab"], B, T), grid.ids(config["n_vocab"], B, T)
    if B * T > 1:
        targets[-1][-1] = -1
    return Case(
        f"model/{name}",
        "GPT-2: logits, loss, gradients d<name>, their norm, and <name>.after one clipped step of AdamW; "
        "the head is wte.weight, matrices are (in, out) and decay",
        config | OPTIMIZER | {"step": 1},
        {"tokens": tokens, "targets": targets} | params,
        answered(lambda p: training_step(config, p, tokens, targets), params, f"model {name}"),
    )


def training_step(config, params, tokens, targets):
    """All that one step gives, by name."""
    logits, loss, grads = gpt2.loss_and_grads(config, params, tokens, targets)
    norm = global_norm([g for table in grads.values() for g in flat(table)])
    scale = clip_scale(norm, OPTIMIZER["clip"])
    after = {f"{key}.after": step_of(params[key], grad, scale) for key, grad in grads.items()}
    gradients = {f"d{key}": grad for key, grad in grads.items()}
    return {"logits": logits, "loss": loss} | gradients | {"norm": norm} | after


def parameter(grid, name, sizes):
    """Gains about 1, biases within 1/4, matrices within 1/2."""
    if len(sizes) == 1:
        return grid.near_one(*sizes) if gpt2.is_gain(name) else grid.even(*sizes, most=16)
    return grid.even(*sizes, most=32)


def step_of(param, grad, scale):
    """A parameter after AdamW's first step."""
    rates = {key: OPTIMIZER[key] for key in ("lr", "betas", "eps")}
    decay = OPTIMIZER["weight_decay"] if len(shape(param)) == 2 else 0.0

    def moved(p, g):
        if isinstance(p, list):
            return [moved(*pair) for pair in zip(p, g, strict=True)]
        return adamw(p, g, 0.0, 0.0, step=1, scale=scale, weight_decay=decay, **rates)[0]

    return moved(param, grad)


def clip_cases():
    """Yield gradients longer than clip, shorter, all zeros, and with no limit."""
    for edge, clip in (("longer", 1.0), ("shorter", 1e4), ("zeros", 1.0), ("no-limit", None)):
        grads = [0.0] * 9 if edge == "zeros" else Grid(f"clip {edge}").even(9)
        norm = global_norm(exactly(grads))
        yield Case(
            f"clip/{edge}",
            "scale = min(1, clip / (norm + 1e-6))",
            {"clip": clip},
            {"grads": grads},
            {"norm": norm, "scale": exact(clip_scale(norm, clip))},
        )


STEP = {"scale": 0.5, "lr": 6e-4, "betas": [0.9, 0.95], "eps": 1e-8, "weight_decay": 0.1, "n_decayed": 4}
EDGES = {
    "first": {"step": 1},
    "late": {"step": 1000},
    "no-decay": {"step": 7, "weight_decay": 0.0},
    "large-eps": {"step": 3, "eps": 0.5, "lr": 0.125},
    "no-momentum": {"step": 2, "betas": [0.0, 0.5]},
}


def adamw_cases():
    """Yield one step of AdamW: the first, a late one, one without decay, one with eps that counts."""
    for edge, changes in EDGES.items():
        grid, settings, zeros = Grid(f"adamw {edge}"), STEP | changes, [0.0] * 7
        params, grads, first, second = grid.even(7), grid.even(7), grid.even(7), grid.positive(7)
        if edge == "first":
            first, second = zeros, zeros
        tables = {"params": params, "grads": grads, "first": first, "second": second}
        results = stepped(settings, *map(exactly, tables.values()))
        names = ("params.after", "first.after", "second.after")
        about = "the first n_decayed parameters decay; step counts from 1"
        yield Case(f"adamw/{edge}", about, settings, tables, dict(zip(names, results, strict=True)))


def stepped(settings, *tables):
    """AdamW of every parameter: params, first, second."""
    rates = {key: settings[key] for key in ("step", "scale", "lr", "betas", "eps")}
    rows = zip(*tables, strict=True)
    decays = [settings["weight_decay"] if i < settings["n_decayed"] else 0.0 for i in range(len(tables[0]))]
    moved = [adamw(*row, weight_decay=decay, **rates) for row, decay in zip(rows, decays, strict=True)]
    return [list(column) for column in zip(*moved, strict=True)]


def several_steps():
    """Five steps, each clipped, from zero moments: what comes out is where the next begins."""
    settings = OPTIMIZER | {"n_decayed": 3, "steps": 5}
    grid = Grid("adamw five steps")
    params, grads = grid.even(5), grid.even(5, 5)
    state = [exactly(params), exactly([0.0] * 5), exactly([0.0] * 5)]
    course = []
    for step, row in enumerate(exactly(grads), start=1):
        scale = clip_scale(global_norm(row), settings["clip"])
        state = stepped(settings | {"step": step, "scale": scale}, state[0], row, *state[1:])
        course.append(state[0])
    about = "row i of grads is the gradient of step i + 1, row i of params.after what it leaves"
    after = {"params.after": course, "first.after": state[1], "second.after": state[2]}
    return Case("adamw/five-steps", about, settings, {"params": params, "grads": grads}, after)


def schedule_case(name):
    """The learning rate of every step of a short run, and of one after it."""
    settings = {"lr": 6e-4, "warmup": 4, "steps": 20, "final": 0.1}
    rate, peak = getattr(schedules, name), exact(settings["lr"])
    rates = [exact(rate(exact(step), peak, 4, 20, settings["final"])) for step in range(22)]
    about = "the learning rate of steps 0 to 21; wsd decays over the last fifth"
    return Case(f"schedule/{name}", about, settings, {}, {"lr": rates})
