"""The torch twin on a GPU as nanoGPT trains: SDPA, fused AdamW, bfloat16 by autocast; eager or compiled."""

import torch

import minigpt
from bench.peers import BETAS, CLIP, EPS, LR, WEIGHT_DECAY
from reference import torch_twin


def peers(config, pair):
    """name -> a step on the pair, that ends with its loss on the host."""
    if not torch.cuda.is_available():
        return {}
    torch.set_float32_matmul_precision("high")
    return {
        "torch eager": step_of(config, pair, compiled=False),
        "torch.compile": step_of(config, pair, True),
    }


def step_of(config, pair, compiled):
    """One training step of the twin."""
    model = torch_twin.build(config, minigpt.init_params(config), torch.float32, "fused").cuda()
    optimizer = torch_twin.adamw(model, LR, BETAS, EPS, WEIGHT_DECAY, fused=True)
    tokens, targets = (torch_twin.ids(ids).cuda() for ids in pair)
    loss_of = torch.compile(model.loss) if compiled else model.loss

    def step():
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cuda", torch.bfloat16):
            loss = loss_of(tokens, targets)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        optimizer.step()
        return loss.item()

    return step
