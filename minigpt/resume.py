"""Where a run goes on: which checkpoint, whether it is of the same run, and what becomes of an older one."""

from minigpt import checkpoint
from minigpt.disk import as_path
from minigpt.errors import CheckpointError, ConfigError


def source_of(recipe):
    """The checkpoint to resume from, or None for a new run."""
    if recipe.resume not in ("auto", "never"):
        source = as_path(recipe.resume, "resume")
        if not (source / "state.json").is_file():
            raise CheckpointError(
                f"resume: {recipe.resume} is no checkpoint: expected a folder with state.json"
            )
        return source
    found = checkpoint.checkpoints(recipe.out) if recipe.resume == "auto" else []
    return found[-1] if found else None


def resumed_state(source, config, wanted):
    """The state in a checkpoint, if it is of the same run as is wanted."""
    found_config, state, found = checkpoint.load(source)
    differences = [
        f"{name}: {found.get(name)!r} there, {wanted.get(name)!r} here"
        for name in sorted(found.keys() | wanted.keys())
        if found.get(name) != wanted.get(name)
    ]
    if differences:
        raise ConfigError(
            f"{source} is of another run: {'; '.join(differences)}. Give its values to continue it, "
            f"another --out, or --resume never to start anew"
        )
    if found_config != config:
        raise CheckpointError(f"{source}: state.json and config.json disagree: {found_config}")
    return state


def move_aside(out):
    """Rename an older run's folder, so that a new run may take its place and nothing is lost."""
    if not any(out.iterdir()):
        return
    if not (out / "main.log").exists() and not checkpoint.checkpoints(out):
        raise ConfigError(f"out: {out} holds something, but no run: give another --out")
    out = out.resolve()
    number = 1
    while (aside := out.with_name(f"{out.name}.{number}")).exists():
        number += 1
    out.rename(aside)
    out.mkdir()
