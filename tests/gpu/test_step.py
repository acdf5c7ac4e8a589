"""Whole steps: NumPy's course, the same bits twice, the sum of parts, batches that arrive as sent."""

import numpy as np

import minigpt


def batch(sizes, seed):
    ids = np.random.default_rng(seed).integers(0, sizes.config.n_vocab, (sizes.batch[0], sizes.batch[1] + 1))
    return ids[:, :-1], ids[:, 1:]


def trainer(sizes, device="cupy", dtype="float32"):
    params = minigpt.init_params(sizes.config)
    return minigpt.Trainer(sizes.config, params, lr=1e-3, device=device, dtype=dtype)


def course(one, sizes):
    return [one.step(*batch(sizes, seed % 5)) for seed in range(sizes.steps)]


def test_float32_takes_numpys_course(bench, sizes):
    found, expected = course(trainer(sizes), sizes), course(trainer(sizes, "numpy"), sizes)
    assert np.abs(np.subtract(found, expected)).max() <= 1e-4
    assert sizes.steps < 50 or found[-1] < found[0]


def test_two_runs_are_the_same_bits(bench, sizes, dtype):
    ends = []
    for _ in range(2):
        one = trainer(sizes, dtype=dtype.name)
        losses = course(one, sizes)
        ends.append((losses, one.params.buffer.get().tobytes(), one.state.second.get().tobytes()))
    assert ends[0] == ends[1]


def test_a_batch_is_the_mean_of_its_parts(bench, sizes):
    tokens, targets = batch(sizes, 0)
    whole, parts = trainer(sizes), trainer(sizes)
    loss = whole.step(tokens, targets)
    report = parts.step_in_parts([(tokens[:1], targets[:1])] * 2 + [(tokens[1:2], targets[1:2])] * 2)
    if len(tokens) == 2:
        assert abs(report.loss - loss) < 1e-6 * loss
    again = trainer(sizes)
    again.step_in_parts([(tokens, targets)] * 3)
    found, expected = again.state.grads.buffer.get(), whole.state.grads.buffer.get()
    assert np.abs(found - expected).max() <= 1e-6 * np.abs(expected).max()


def test_uploads_arrive_as_they_were_sent(bench, sizes):
    """The host goes on filling places while the GPU is busy; page-locked, or the copies would wait."""
    cupy, uploads = bench.cupy, bench.module("upload")
    upload, n = uploads.Upload(), sizes.busy
    factor, room = cupy.zeros((n, n), np.float32), cupy.zeros((n, n), np.float32)
    for _ in range(5):
        bench.module("gemm").gemm(factor, factor, room)
    sent = [batch(sizes, seed) for seed in range(3 * uploads.PLACES)]
    arrived = [upload(pair) for pair in sent]
    for pair, found in zip(sent, arrived, strict=True):
        assert all((there.get() == here).all() for here, there in zip(pair, found, strict=True))
    for place in upload._places:
        assert page_locked(cupy, place.host)


def page_locked(cupy, host):
    """Whether CUDA knows the memory as its own on the host; the stand-in has no such thing."""
    if not hasattr(cupy.cuda.runtime, "pointerGetAttributes"):
        return True
    return cupy.cuda.runtime.pointerGetAttributes(host.ctypes.data).type == 1  # cudaMemoryTypeHost
