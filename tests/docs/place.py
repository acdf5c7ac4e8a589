"""The folder in which a document's commands are run: small stand-ins for what a reader has at that point."""

import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet

import minigpt
from minigpt import rejected, texts
from tests.docs.blocks import ROOT
from tests.docs.rules import SIZES
from tests.support.bundles import openai_names, write_bundle
from tests.support.models import HOW

GPT2 = minigpt.GPTConfig(n_layer=2, n_head=2, n_embd=16, n_ctx=1024, n_vocab=50257)  # of its vocabulary
MADE = {  # what documents make themselves, so that it is not there before
    "README.md": ["shards"],
    "docs/from-noise-to-text.md": ["runs/small"],
    "docs/124M.md": ["shards"],
}


def everything(root):
    """Fill a folder with all that documents take as given."""
    train, held_out = texts.split([text for _, text in texts.load_sotu()])
    (root / "sotu.txt").write_text(train[0])
    for name, files in {"held-out": held_out[:2], "notes": train[1:4]}.items():
        (root / name).mkdir()
        for number, text in enumerate(files):
            (root / name / f"{number:02d}.txt").write_text(text[:3000])
    (root / "fineweb").mkdir()
    rows = pyarrow.table({"text": [text[:2000] for text in train[:8]]})
    pyarrow.parquet.write_table(rows, root / "fineweb" / "000.parquet")
    question = {"ctx": "We the", "endings": ["people", "law", "war", "sea"], "label": 0, "ind": 0}
    (root / "hellaswag_val.jsonl").write_text(json.dumps(question) + "\n")
    weights(root)
    executables(root)
    for command in (
        f"minigpt train --data sotu.txt {SIZES}",
        "minigpt data 'fineweb/*.parquet' --out shards --shard-tokens 1000 --workers 1",
    ):
        carried = run(root, command)
        assert carried.returncode == 0, carried.stderr
    lost_step(root)


def weights(root):
    """Models with GPT-2's vocabulary, as OpenAI and the Hugging Face hub have them."""
    params = minigpt.init_params(GPT2)
    folder = root / "models" / "gpt2-openai"
    write_bundle(folder / "model.ckpt", openai_names(params))
    (folder / "hparams.json").write_text(json.dumps(vars(GPT2)))
    minigpt.save_weights(root / "models" / "gpt2-hub", GPT2, params)


def lost_step(root):
    """A run whose last step was not finite, because its table of tokens is far too large."""
    config, params = minigpt.load_weights(root / "runs" / "small" / "step_00000800")
    trainer = minigpt.Trainer(config, params)
    trainer.params["wte.weight"][...] *= 1e21
    tokens = np.arange(32).reshape(2, 16)
    (root / "runs" / "bad").mkdir()
    kept = rejected.keep(root / "runs" / "bad", trainer, [(tokens, tokens)], HOW, "loss is nan")
    kept.rename(root / "runs" / "bad" / "rejected_00000004")


def executables(root):
    """Python and minigpt under their usual names, of this checkout, as an installation has them."""
    folder = root / ".venv" / "bin"
    folder.mkdir(parents=True)
    python = shlex.quote(sys.executable)
    for name, module in {"python": "", "python3": "", "minigpt": " -m minigpt"}.items():
        (folder / name).write_text(f'#!/bin/sh\nexec {python}{module} "$@"\n')
        (folder / name).chmod(0o755)


def place_of(document, root, everything):
    """A folder for a document's commands: a copy of everything, but for what it makes itself."""
    shutil.copytree(everything, root, dirs_exist_ok=True)
    for made in MADE.get(str(document.relative_to(ROOT)), []):
        shutil.rmtree(root / made)
    return root


def run(root, command):
    """Run a command there, by the shell; no GPU is seen, if there is one."""
    environment = os.environ | {
        "PATH": f"{root}/.venv/bin:{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "CUDA_VISIBLE_DEVICES": "",
        "MINIGPT_PATIENCE": "90",  # ranks on a crowded machine
        "MINIGPT_GATHERING": "90",
        "COLUMNS": "100",
    }
    return subprocess.run(
        ["bash", "-c", command],
        cwd=root,
        env=environment,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
    )
