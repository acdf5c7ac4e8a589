"""train, sample and evaluate with --device cupy, from the command line to the files, on the stand-in."""

import json

import numpy as np
import pytest

import minigpt
from minigpt.arrays import device_of
from minigpt.cli import main
from tests.support.device_array import LAUNCHES

LT, CUDNN = ("--products", "cublaslt"), ("--dtype", "bfloat16", "--attention", "cudnn")

TEXT = "the cat sat on the mat, and the dog sat on the cat. " * 12
SMALL = (
    "--n-layer 1 --n-head 2 --n-embd 16 --context 8 --n-vocab 270 --batch-size 2 --tokens-per-step 32 "
    "--steps 3 --warmup 1 --lr 1e-2 --checkpoint-every 2 --eval-every 2 --sample-every 2 --sample-tokens 3 "
    "--device cupy"
).split()


@pytest.fixture
def train(bench, tmp_path):
    """train(*flags) -> exit code and the losses of all steps so far."""
    (tmp_path / "text.txt").write_text(TEXT)
    common = ["train", "--data", str(tmp_path / "text.txt"), *SMALL, "--tokenizer", "train"]

    def run(out, *flags):
        code = main([*common, "--out", str(tmp_path / out), *flags])
        lines = map(json.loads, (tmp_path / out / "metrics.jsonl").read_text().splitlines())
        return code, {line["step"]: line["loss"] for line in lines if "loss" in line}

    return run


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_run_on_the_device_takes_the_course_of_one_on_cores(train, tmp_path, dtype):
    assert train("gpu", "--dtype", dtype)[0] == 0
    losses = train("gpu", "--dtype", dtype)[1]
    expected = train("cpu", "--device", "numpy")[1]
    bound = 1e-4 if dtype == "float32" else 3e-2
    assert losses.keys() == expected.keys() == {1, 2, 3}
    assert all(abs(losses[step] - expected[step]) < bound for step in losses)
    _, params = minigpt.load_weights(tmp_path / "gpu" / "step_00000003")
    assert params.buffer.dtype == np.float32
    assert device_of(params.buffer) == "numpy"


def test_a_run_goes_on_from_its_checkpoint_bit_for_bit(train, tmp_path):
    straight = train("one", "--dtype", "bfloat16")[1]
    assert train("two", "--dtype", "bfloat16")[0] == 0
    (tmp_path / "two" / "step_00000003").rename(tmp_path / "last")
    assert train("two", "--dtype", "bfloat16")[0] == 0
    again = (tmp_path / "two" / "step_00000003" / "model.safetensors").read_bytes()
    assert again == (tmp_path / "last" / "model.safetensors").read_bytes()
    assert train("two", "--dtype", "bfloat16")[1] == straight


def test_sample_and_evaluate_give_what_they_give_on_cores(train, tmp_path, capsys):
    train("run", "--device", "numpy")
    weights = str(tmp_path / "run" / "step_00000003")
    found = {}
    for device in ("numpy", "cupy"):
        capsys.readouterr()
        ask = ["--weights", weights, "--device", device, "--json"]
        greedy = ["--prompt", "the cat", "--max-new-tokens", "12", "--temperature", "0"]
        assert main(["sample", *ask, *greedy]) == 0
        text = json.loads(capsys.readouterr().out)["text"]
        assert main(["evaluate", *ask, "--data", str(tmp_path / "text.txt"), "--tokens", "60"]) == 0
        found[device] = text, json.loads(capsys.readouterr().out)["nats_per_token"]
    assert found["cupy"][0] == found["numpy"][0]
    assert abs(found["cupy"][1] - found["numpy"][1]) < 1e-5


def test_sample_and_evaluate_take_the_choices_of_train(train, tmp_path, capsys):
    train("run", "--device", "numpy")
    weights = str(tmp_path / "run" / "step_00000003")

    def asked(command, *flags):
        capsys.readouterr(), LAUNCHES.clear()
        assert main([command, "--weights", weights, "--device", "cupy", "--json", *flags]) == 0
        return json.loads(capsys.readouterr().out), set(LAUNCHES)

    text = "--prompt", "the cat", "--max-new-tokens", "6", "--temperature", "0"
    data = "--data", str(tmp_path / "text.txt"), "--tokens", "60"
    usual, launched = asked("sample", *text)
    found, more = asked("sample", *text, *LT)
    assert found["text"] == usual["text"]
    assert "product BIAS" in more - launched
    usual, launched = asked("evaluate", *data)
    found, more = asked("evaluate", *data, *LT, *CUDNN)
    assert 0 < abs(found["nats_per_token"] - usual["nats_per_token"]) < 3e-2
    assert {"product BIAS", "product GELU_AUX_BIAS", "sdpa"} <= more - launched


def test_choices_that_cannot_be_are_refused(train, tmp_path, capsys):
    train("run", "--device", "numpy")
    weights = "--weights", str(tmp_path / "run" / "step_00000003")
    data = "--data", str(tmp_path / "text.txt")
    assert main(["sample", *weights, *LT]) == 2
    assert "products cublaslt is for device cupy and ops fast" in capsys.readouterr().err
    assert main(["evaluate", *weights, *data, "--device", "cupy", "--attention", "cudnn"]) == 2
    assert "attention cudnn is for dtype bfloat16: found float32" in capsys.readouterr().err
    assert main(["evaluate", "--hellaswag", "h", "--write-bin", "w", "--dtype", "bfloat16"]) == 2
    assert "--dtype: is about a model, which no --weights names" in capsys.readouterr().err


def test_functions_work_where_their_arrays_are(bench):
    config = minigpt.GPTConfig(n_layer=1, n_head=2, n_embd=16, n_ctx=8, n_vocab=11)
    params = minigpt.init_params(config)
    device = params.like(bench.cupy.asarray(params.buffer))
    tokens = np.random.default_rng(0).integers(0, 11, (2, 5))
    logits = minigpt.logits(config, device, tokens)
    assert device_of(logits) == "cupy"
    assert np.abs(logits.get() - minigpt.logits(config, params, tokens)).max() < 1e-5
    loss, grads = minigpt.loss_and_grads(config, device, tokens, tokens)
    expected_loss, expected = minigpt.loss_and_grads(config, params, tokens, tokens)
    assert abs(loss - expected_loss) < 1e-5
    for name, grad in expected.items():
        assert device_of(grads[name]) == "cupy"
        assert np.abs(grads[name].get() - grad).max() < 1e-5
    assert minigpt.generate(config, device, [1, 2], 12) == minigpt.generate(config, params, [1, 2], 12)
    trainer = minigpt.Trainer(config, params, device="cupy", dtype="bfloat16")
    assert abs(trainer.step(tokens, tokens) - expected_loss) < 3e-2
