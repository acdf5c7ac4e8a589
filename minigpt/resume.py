"""Where a run goes on: which checkpoint, whether it is of the same run, and what becomes of an older one."""

from minigpt import checkpoint
from minigpt.disk import as_path
from minigpt.errors import CheckpointError, ConfigError
from minigpt.recipe import masters
from minigpt.shelf import checkpoints, newest_sound, set_aside, step_of

# what makes a model's weights: another value is another model
SHAPE = ("n_layer", "n_head", "n_embd", "n_vocab", "context", "tokenizer")
TEXT = "train_ids_sha256"
SPOKEN = {TEXT: "data"}  # what people call a setting that follows from a flag


def source_of(recipe, warn):
    """The checkpoint to resume from, or None for a new run. warn(line): of those that are passed over."""
    if recipe.resume == "never":
        return None
    if recipe.resume == "auto":
        return newest_sound(recipe.out, warn)
    source = as_path(recipe.resume, "resume")
    if not (source / "state.json").is_file():
        raise CheckpointError(f"resume: {recipe.resume} is no checkpoint: expected a folder with state.json")
    return source


def resumed_state(source, config, recipe, wanted, say):
    """The state in a checkpoint, if it is of the run that is wanted, but for changes that are allowed.

    say(line): what differs. Raises ConfigError with every difference that is not allowed.
    """
    allowed = names_in(recipe.allow_changes, wanted)
    found_config, state, found = checkpoint.load(source)
    changes = {
        name: difference(name, found.get(name), wanted.get(name))
        for name in sorted(found.keys() | wanted.keys())
        if found.get(name) != wanted.get(name)
    }
    if refused := [name for name in changes if name in SHAPE or name not in allowed]:
        raise ConfigError(f"{source} is of another run: {'; '.join(changes.values())}. {advice(refused)}")
    if found_config != config:
        raise CheckpointError(f"{source}: state.json and config.json disagree: {found_config}")
    if state.step > recipe.steps:
        found = f"expected {state.step} or more, which {source} has done, found {recipe.steps}"
        raise ConfigError(f"steps, those of the whole run: {found}; give more, or an earlier checkpoint")
    if (there := state.params.buffer.dtype) != masters(recipe):
        here = f"{recipe.dtype} needs {masters(recipe)}"
        raise ConfigError(f"{source}: dtype: its parameters are {there}, {here}")
    for change in changes.values():
        say(f"changed, as allowed: {change}")
    return state


def difference(name, there, here):
    """How a setting of two runs differs."""
    if name == TEXT and there and here:
        return "data: the training text (--data) is another, or is cut into other tokens"
    return f"{spoken(name)}: {there!r} there, {here!r} here"


def spoken(name):
    """What people call a setting."""
    return SPOKEN.get(name, name)


def names_in(allowed, settings):
    """The settings named in a list with commas. Raises ConfigError for what is none, or a shape's."""
    said = [name.strip().replace("-", "_") for name in (allowed or "").split(",") if name.strip()]
    of_spoken = {short: name for name, short in SPOKEN.items()}
    names = [of_spoken.get(name, name) for name in said]
    for name in names:
        if name in SHAPE:
            raise ConfigError(f"allow-changes: {name} cannot change: it makes the shape of the weights")
        if name not in settings:
            known = ", ".join(map(spoken, settings))
            raise ConfigError(f"allow-changes: no setting {name!r}: expected some of {known}")
    return names


def advice(refused):
    """What to do about differences."""
    other = "another --out, or --resume never to start anew"
    if fixed := [name for name in refused if name in SHAPE]:
        return f"{', '.join(fixed)} cannot change: give its values to continue it, {other}"
    names = ",".join(map(spoken, refused))
    return f"Give its values to continue it, --allow-changes {names} to change them, {other}"


def leave_later(out, source, step, warn):
    """Set aside what a run that goes on from `step` would meet later, of its own or of another run."""
    if not source:
        return
    first = step + (source.resolve().parent == out.resolve())  # its own of that step is where it goes on from
    for path in checkpoints(out):
        if step_of(path) >= first:
            warn(f"{path}: is not earlier than {source}: kept as {set_aside(path, 'replaced')}")


def move_aside(out):
    """Rename an older run's folder, so that a new one may take its place; True if there was one."""
    if not any(out.iterdir()):
        return False
    if not (out / "main.log").exists() and not checkpoints(out):
        raise ConfigError(f"out: {out} holds something, but no run: give another --out")
    out = out.resolve()
    number = 1
    while (aside := out.with_name(f"{out.name}.{number}")).exists():
        number += 1
    out.rename(aside)
    out.mkdir()
    return True


def way_on(recipe):
    """How a run is gone on with after its last checkpoint."""
    if recipe.resume == "auto":
        return "the same command goes on from there"
    out = "" if recipe.resume == "never" else f" --out {recipe.out}"  # without it, auto looks in runs/PRESET
    return f"the same command with --resume auto{out} goes on from there"


def unsaved(recipe, saved, source):
    """What a run loses that ends without its last save. saved: its last checkpoint, source: its first."""
    if saved:
        return f"what came after {saved} is not saved; {way_on(recipe)}"
    if source:
        return f"what came after {source} is not saved; the same command goes on from there"
    return "nothing is saved: make room, and the same command begins anew"
