"""Write tests/weights/fixtures: checkpoints as TensorFlow itself writes them. Needs tensorflow-cpu 2.21.

Run from the repository's root, in an environment of its own: python tools/tensorflow_fixtures.py
"""

import json
import lzma
import os
import shutil
import tempfile
from pathlib import Path

import ml_dtypes
import numpy as np

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"
import tensorflow as tf

OUT = Path("tests/weights/fixtures")
HPARAMS = {"n_vocab": 11, "n_ctx": 6, "n_embd": 8, "n_head": 2, "n_layer": 2}


def variables():
    """OpenAI's names and shapes for a small model, filled with numbers that are easy to recognise."""
    C = HPARAMS["n_embd"]
    shapes = {"model/wpe": (HPARAMS["n_ctx"], C), "model/wte": (HPARAMS["n_vocab"], C)}
    for layer in range(HPARAMS["n_layer"]):
        shapes |= {
            f"model/h{layer}/{name}": shape
            for name, shape in {
                "ln_1/g": (C,), "ln_1/b": (C,), "attn/c_attn/w": (1, C, 3 * C), "attn/c_attn/b": (3 * C,),
                "attn/c_proj/w": (1, C, C), "attn/c_proj/b": (C,), "ln_2/g": (C,), "ln_2/b": (C,),
                "mlp/c_fc/w": (1, C, 4 * C), "mlp/c_fc/b": (4 * C,), "mlp/c_proj/w": (1, 4 * C, C),
                "mlp/c_proj/b": (C,),
            }.items()
        }  # fmt: skip
    shapes |= {"model/ln_f/g": (C,), "model/ln_f/b": (C,)}
    arrays, start = {}, 1
    for name, shape in shapes.items():
        count = int(np.prod(shape))
        numbers = np.arange(start, start + count)
        arrays[name] = (((numbers * 7919) % 2003 - 1001) / 1024).astype(np.float32).reshape(shape)
        start += count
    return arrays


def save_v2(prefix, arrays, slices=None):
    """One bundle in one data file, as tf.compat.v1.train.Saver leaves it."""
    prefix.parent.mkdir(parents=True, exist_ok=True)
    names = list(arrays)
    tf.raw_ops.SaveV2(
        prefix=str(prefix),
        tensor_names=names,
        shape_and_slices=slices or [""] * len(names),
        tensors=list(arrays.values()),
    )


def main():
    shutil.rmtree(OUT, ignore_errors=True)
    arrays = variables()
    openai = OUT / "openai"
    save_v2(openai / "model.ckpt", arrays)
    # OpenAI's folders have this file, but of its words only the first line matters
    (openai / "checkpoint").write_text(
        'model_checkpoint_path: "model.ckpt"\nall_model_checkpoint_paths: "model.ckpt"\n'
    )
    (openai / "hparams.json").write_text(json.dumps(HPARAMS) + "\n")
    np.savez(OUT / "openai.npz", **arrays)

    parts, names = [], list(arrays)
    for part in range(3):
        parts.append(str(OUT / "shards" / f"part{part}"))
        save_v2(Path(parts[-1]), {name: arrays[name] for name in names[part::3]})
    tf.raw_ops.MergeV2Checkpoints(
        checkpoint_prefixes=parts,
        destination_prefix=str(OUT / "shards" / "model.ckpt"),
        delete_old_dirs=False,
    )

    for dtype in (np.float64, np.float16, ml_dtypes.bfloat16):
        kept = {name: array.astype(dtype) for name, array in arrays.items()}
        save_v2(OUT / np.dtype(dtype).name / "model.ckpt", kept)
    save_v2(OUT / "trained" / "model.ckpt", {**arrays, "global_step": np.int64(7)})

    save_v2(OUT / "sliced" / "model.ckpt", {"model/wte": arrays["model/wte"][:5]}, ["11 8 0,5:0,8"])
    objects = tf.train.Checkpoint(**{name.replace("/", "_"): tf.Variable(a) for name, a in arrays.items()})
    objects.write(str(OUT / "objects" / "model.ckpt"))
    (OUT / "version1").mkdir()
    tf.raw_ops.Save(
        filename=str(OUT / "version1" / "model.ckpt"), tensor_names=names, data=list(arrays.values())
    )

    with tempfile.TemporaryDirectory() as folder:  # an index of several blocks of 256 KB, kept compressed
        many = {f"{i:05d}/{'long' * 50}": np.float32(i) for i in range(2500)}
        save_v2(Path(folder) / "many", many)
        for path in Path(folder).iterdir():
            OUT.joinpath(path.name + ".xz").write_bytes(lzma.compress(path.read_bytes()))


if __name__ == "__main__":
    main()
