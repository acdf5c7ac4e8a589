"""Files that are given for weights and are something else: what they are, and what helps."""

from minigpt.strangers import LLMC, what_is
from minigpt.weights.stored import AGAIN, refuse

ELSEWHERE = "give an OpenAI folder, a safetensors file or folder, a .bin of llm.c, or an .npz"
PICKLE = (
    "weights as PyTorch pickles them",
    "a pickle can run any code while it is read, so minigpt never reads one: save the model with safetensors "
    "(transformers: model.save_pretrained(folder, safe_serialization=True))",
)
# first bytes -> what it is, what to do
STRANGERS = {
    b"\x89HDF": ("an HDF5 file, such as Keras's tf_model.h5", "give the model's safetensors"),
    b"GGUF": ("a GGUF file of llama.cpp", "give the weights that it was made from"),
    **{bytes([0x80, protocol]): PICKLE for protocol in range(2, 6)},
}
HEAD = 4096  # bytes that show what a file is


def stranger(head, size):
    """(what a file is, what to do) by its first bytes and its size, or None if they are not known."""
    for start, found in STRANGERS.items():
        if head.startswith(start):
            return found
    found = what_is(head, size)
    if found and (found[0].startswith("text") or int.from_bytes(head[:4], "little") in LLMC):
        return found[0], ELSEWHERE  # the advice was meant for token shards
    return found


def refuse_damaged(file, expected, found):
    """Raise the CheckpointError of a mapped file that breaks its format's rules: often it is another file."""
    known = stranger(file.content[:HEAD].tobytes(), file.size)
    refuse(file.path, expected, *(known or (found, AGAIN)))
