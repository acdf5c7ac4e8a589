"""What may differ between a command in a document and the same in its test: size and place, nothing else."""

import re

# a model of 20,000 parameters instead of millions; flags that come later win
SIZES = "--n-layer 2 --n-head 2 --n-embd 16 --context 16 --batch-size 2 --tokens-per-step 64"
TRAIN = r"\bminigpt train\b"
SMALLER = [  # (commands, what is added to them)
    (TRAIN, SIZES),
    (TRAIN + r"(?!.* --data )", "--data sotu.txt"),  # one address instead of 233
    (TRAIN + r"(?=.* --out )(?!.* --steps \d{2,3}\b)", "--steps 20 --warmup 2"),  # but the default run
    (TRAIN + r"(?=.* --preset gpt2)", "--steps 4 --warmup 1"),
    (r"\bminigpt data\b(?=.*\.parquet)", "--shard-tokens 1000 --workers 1"),
]
REPLACED = [  # (in Python, a smaller one)
    ("n_layer=12, n_head=12, n_embd=768, n_ctx=1024", "n_layer=2, n_head=2, n_embd=16, n_ctx=64"),
]
# what README's example takes as given
GIVEN = """import numpy as np
tokens = np.arange(32).reshape(2, 16)
targets, prompt_ids, texts = tokens + 1, [464, 3290], ["to be or not to be"] * 9
"""

# how closely what is printed must be what is said; else in its words, with numbers and models' texts left out
EXACT = r"minigpt (plan|tokenize show|tokenize encode)|ls |python lost\.py"
ROUNDED = r"python -m reference (dump|diff)"


def smaller(command):
    """A command as it is tested."""
    added = [words for pattern, words in SMALLER if re.search(pattern, command)]
    return " ".join([command, *added])


def smaller_python(program):
    """A program as it is tested."""
    for text, other in REPLACED:
        program = program.replace(text, other)
    return GIVEN + program


def exit_code(command, said):
    """With which code a command leaves: `reference diff` with 1 unless it is said to find all equal."""
    if "reference diff" not in command:
        return 0
    return int(not any(line.startswith("equal:") for line in said))


def form(text):
    """A text's words, with its numbers as # and without what a model wrote."""
    text = text.replace("sotu.txt", "State of the Union addresses")
    text = re.sub(r"(sample at step \d+:).*(\n +.*)*", r"\1", text)
    text = re.sub(r"\b[0-9a-f]{64}\b", "#", text)
    text = re.sub(r"\b(\d+h)?(\d+m)?\d+s\b", "#", text)
    return re.sub(r"-?\d[\d,.]*(e[-+]\d+)?|\b(nan|inf)\b", "#", text)


def counted(text):
    """Of what `minigpt sample` prints, the last line."""
    return form("\n".join(line for line in text.splitlines() if " tokens in " in line))


def form_of(command):
    """What is compared of a text that a command prints."""
    if re.match(EXACT, command):
        return str
    return counted if "minigpt sample" in command else form
