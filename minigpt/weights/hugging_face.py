"""GPT-2 as the Hugging Face hub and transformers lay it out: config.json, and safetensors in some files."""

import re
from pathlib import Path

from minigpt.disk import read_json, write_json
from minigpt.errors import CheckpointError
from minigpt.ops.layernorm import EPS
from minigpt.promises import STATE, checked_record
from minigpt.weights.found import Found
from minigpt.weights.safetensors_files import open_safetensors, write_tensors
from minigpt.weights.stored import LIST_ROOM, refuse, same
from minigpt.weights.whole import written_whole

CONFIG, TENSORS, INDEX = "config.json", "model.safetensors", "model.safetensors.index.json"
KEYS = {
    "n_layer": "n_layer",
    "n_head": "n_head",
    "n_embd": "n_embd",
    "n_ctx": "n_positions",
    "n_vocab": "vocab_size",
}
# what config.json must say, where it says anything: another value is another model
MEANT = {
    "model_type": ("gpt2",),
    "activation_function": ("gelu_new", "gelu_pytorch_tanh", "gelu_fast"),
    "layer_norm_epsilon": (EPS,),
    "scale_attn_weights": (True,),
    "scale_attn_by_inverse_layer_idx": (False,),
    "add_cross_attention": (False,),
}
PREFIX = "transformer."
MASK = re.compile(r"h\.\d+\.attn\.(bias|masked_bias)")
WTE, HEAD = "wte.weight", "lm_head.weight"


def open_hugging_face(path):
    """A Found of a folder, or of a file or an index of files in it, with the config.json beside."""
    if path.is_dir():
        tensors, beside = open_folder(path), path / CONFIG
    else:
        tensors = open_index(path) if path.name.endswith(".json") else open_safetensors(path)
        beside = path.with_name(CONFIG)
        if not beside.exists():
            return Found(path, ours(path, tensors), {}, path)
    words = config_words(beside)
    refuse_lost_head(beside, tensors)
    return Found(path, ours(path, tensors), words, beside)


def open_checkpoint(path):
    """A Found of a run's checkpoint, whose weights are what its state.json says they are."""
    checked_record(path, (CONFIG, TENSORS))
    return open_hugging_face(path)


def refuse_lost_head(path, tensors):
    """A CheckpointError if the configuration promises a head of its own, and there is none."""
    heads = {HEAD, PREFIX + HEAD}
    if read_words(path).get("tie_word_embeddings") is False and not heads & set(tensors):
        found = f"tie_word_embeddings false and no {HEAD}"
        refuse(path, f"GPT-2's head, which is {WTE} again", found, "the file is not whole, or no GPT-2")


def open_folder(folder):
    """name -> Stored of a folder's safetensors."""
    if (folder / TENSORS).exists() or not (folder / INDEX).exists():
        return open_safetensors(folder / TENSORS)
    return open_index(folder / INDEX)


def open_index(path):
    """name -> Stored of the files that an index names: {"weight_map": {tensor: file}}."""
    places = read_words(path).get("weight_map")
    if not isinstance(places, dict) or not all(plain_name(name) for name in places.values()):
        expected = "weight_map, from names of tensors to files of this folder"
        refuse(path, expected, repr(places)[:80], "fetch it again")
    files = {name: open_safetensors(path.with_name(name)) for name in sorted(set(places.values()))}
    if absent := [tensor for tensor, name in places.items() if tensor not in files[name]]:
        where = path.with_name(places[absent[0]])
        refuse(where, f"{absent[0]}, by {path.name}", "no such tensor", "fetch both again")
    return {tensor: files[name][tensor] for tensor, name in places.items()}


def plain_name(name):
    """Whether a file's name leads nowhere else."""
    return (
        isinstance(name, str)
        and name.endswith(".safetensors")
        and "\0" not in name
        and Path(name).name == name
    )


def ours(path, tensors):
    """Tensors by our names: without prefix, masks and a tied head."""
    found = {}
    for name, stored in tensors.items():
        name = name.removeprefix(PREFIX)
        if name in found:
            refuse(path, "each tensor once", f"{name} with and without {PREFIX!r}", "remove one of them")
        if not MASK.fullmatch(name):
            found[name] = stored
    if head := found.pop(HEAD, None):
        found = tied(path, found, head)
    return found


def tied(path, found, head):
    """Tensors without the head, which must be the token table again.

    Of tensors that share memory, safetensors keeps one under either name.
    """
    wte = found.setdefault(WTE, head)
    if wte is not head and (wte.shape != head.shape or not same(wte, head)):
        refuse(
            f"{path}: {HEAD}",
            f"the same numbers as {WTE}: GPT-2's head is its token table, read the other way",
            "a head of its own" if wte.shape == head.shape else f"shape {head.shape}, not {wte.shape}",
            "minigpt has no place for an untied head: use transformers for this model",
        )
    return found


def config_words(path):
    """GPTConfig's fields as config.json says them, after refusing what is not GPT-2."""
    words = read_words(path)
    for key, meant in MEANT.items():
        if key in words and words[key] not in meant:
            form = " (with erf, where GPT-2 has tanh)" if words[key] == "gelu" else ""
            wanted = " or ".join(map(repr, meant))
            refuse(path, f"{key} to be {wanted}", f"{words[key]!r}{form}", "minigpt computes GPT-2 alone")
    if absent := [key for key in KEYS.values() if key not in words]:
        expected = f"a GPT-2 configuration with {', '.join(KEYS.values())}"
        refuse(path, expected, f"no {absent[0]!r}", "is it the configuration of another model?")
    found = {field: words[key] for field, key in KEYS.items()}
    inner = words.get("n_inner")
    if inner is not None and inner != 4 * int_or_0(found["n_embd"]):
        refuse(path, "n_inner to be 4 n_embd", repr(inner), "minigpt has no other width")
    return found


def read_words(path):
    """The JSON object in a file that describes weights."""
    return read_json(path, LIST_ROOM)


def int_or_0(value):
    return value if isinstance(value, int) else 0


def places(path):
    """(file, whether what is there may be replaced) of each file that save_folder writes.

    Raises CheckpointError for a run's checkpoint.
    """
    if (path / STATE).exists():
        refuse(path, "a folder for weights", "a checkpoint of a run", "it could not be resumed: name another")
    return [(path / TENSORS, are_tensors), (path / CONFIG, is_config)]


def are_tensors(path):
    """Whether a file is a safetensors file of a GPT-2: those of other models have other names."""
    try:
        return not {WTE, PREFIX + WTE, HEAD}.isdisjoint(open_safetensors(path))
    except CheckpointError:
        return False


def is_config(path):
    """Whether a file is the configuration of a GPT-2."""
    try:
        words = read_words(path)
    except CheckpointError:
        return False
    return words.get("model_type", "gpt2") == "gpt2" and words.keys() >= set(KEYS.values())


def save_folder(path, config, params):
    """Write params as a folder with the names and words of the hub's GPT-2.

    Each file is replaced in one step, config.json last.
    """
    path.mkdir(parents=True, exist_ok=True)
    # transformers asks for this word; with a second one, safetensors would write them in any order
    write_tensors(path / TENSORS, params, {"format": "pt"})
    with written_whole(path / CONFIG) as temporary:
        write_json(temporary, hub_config(config))


def hub_config(config):
    """config.json as transformers' GPT2Config has it."""
    last = config.n_vocab - 1  # <|endoftext|>
    words = {
        "architectures": ["GPT2LMHeadModel"],
        "model_type": "gpt2",
        "activation_function": "gelu_new",
        "layer_norm_epsilon": EPS,
        "tie_word_embeddings": True,
        "bos_token_id": last,
        "eos_token_id": last,
    }
    return words | {key: getattr(config, field) for field, key in KEYS.items()}
