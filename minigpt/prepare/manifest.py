"""What an output is made of: settings, inputs, counts, and every shard with its SHA-256.

Nothing in it depends on when, where or by how many workers it was made: equal inputs, equal bytes.
"""

from minigpt.errors import DataError
from minigpt.prepare import journal, sealed

MANIFEST, TOKENIZER = "manifest.json", "tokenizer.json"
KIND = {"format": "minigpt data", "version": 1}
COUNTS = ("documents", "skipped", "text_bytes", "tokens")


def settings_of(tokenizer, recipe, shard_tokens, name):
    """What the tokens depend on, beside the inputs."""
    return {
        "name": name,
        "tokenizer": {"n_vocab": tokenizer.n_vocab, "eot": tokenizer.eot, "sha256": recipe.sha256},
        "eot": recipe.eot,
        "field": recipe.field,
        "shard_tokens": shard_tokens,
    }


def inputs_of(sources):
    """The inputs as the manifest has them: without times, which differ from machine to machine."""
    return [
        {"name": source.name, "format": source.format, "bytes": source.size}
        | ({"id": source.stamp} if source.remote else {})
        for source in sources
    ]


def write(folder, settings, inputs, state, tokenizer):
    """The tokenizer and the manifest beside the shards; with the manifest, an output is finished."""
    tokenizer.save(folder / TOKENIZER)
    counts = {name: getattr(state, name) for name in COUNTS}
    content = KIND | settings | {"inputs": inputs} | counts | {"shards": state.shards}
    sealed.write(folder / MANIFEST, content)
    (folder / journal.JOURNAL).unlink(missing_ok=True)
    return content


def read(folder):
    """The manifest of a finished output, or None. DataError if it is damaged, or a shard is not there."""
    path = folder / MANIFEST
    if not path.exists():
        return None
    content = sealed.read(path, KIND)
    for shard in content["shards"]:
        check_size(folder / shard["name"], shard["bytes"])
    return content


def check_size(path, expected):
    """DataError if a file is missing, or longer or shorter than the manifest says."""
    try:
        found = f"{path.stat().st_size:,} bytes"
    except OSError as reason:
        found = f"none: {reason.strerror}"
    if found != f"{expected:,} bytes":
        raise DataError(
            f"{path}: expected {expected:,} bytes, as the manifest says, found {found}; make the output anew"
        )
