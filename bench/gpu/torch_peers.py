"""The torch twin as nanoGPT trains: SDPA, fused AdamW, bfloat16 by autocast; eager or compiled."""

import dataclasses

import torch

import minigpt
from bench.peers import BETAS, CLIP, EPS, LR, WEIGHT_DECAY
from reference import torch_twin

PAD = 64  # nanoGPT pads the vocabulary to 50,304, which makes its products faster


class TorchPeer:
    """Training steps of the twin. backend: of torch.compile, None is eager. padded: the vocabulary is."""

    def __init__(self, config, device, backend=None, padded=True, lr=LR, params=None):
        torch.set_float32_matmul_precision("high")
        if padded:
            config = dataclasses.replace(config, n_vocab=-(-config.n_vocab // PAD) * PAD)
        params = minigpt.init_params(config) if params is None else params
        model = torch_twin.build(config, params, torch.float32, "fused").to(device)
        self.model, self.device = model, device
        self.optimizer = torch_twin.adamw(model, lr, BETAS, EPS, WEIGHT_DECAY, fused=True)
        self.loss_of = torch.compile(model.loss, backend=backend) if backend else model.loss

    def upload(self, tokens, targets):
        """The batch where the model is."""
        return tuple(torch_twin.ids(ids).to(self.device) for ids in (tokens, targets))

    def step(self, tokens, targets):
        """One step on an uploaded batch; the loss, on the host."""
        self.optimizer.zero_grad(set_to_none=True)
        with torch.autocast(self.device, torch.bfloat16):
            loss = self.loss_of(tokens, targets)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), CLIP)
        self.optimizer.step()
        return loss.item()

    def free(self):
        """Gradients and cached blocks go back to the GPU."""
        self.optimizer.zero_grad(set_to_none=True)
        if self.device == "cuda":
            torch.cuda.empty_cache()
