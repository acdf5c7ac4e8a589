"""Mutants that no proof can notice, because they compute the same: (file, name) -> why.

Every entry is checked: one that is noticed after all, or that no longer exists, is an error.
"""

UNKNOWN = "any negative length stands for the one that reshape works out"
ROWS = "a product of (B, T, C) and a matrix has the same numbers as one of its rows (B*T, C), only slower"
SQUARE = "scores are square, so both lengths are T"
FOURTH = "of four axes, axis 2 is axis -2"
SHIFT = "the shift cancels, its imaginary part like its real one: .real only says that it is a constant"
REAL = "outside complex-step derivatives logits are real, and in them the zero imaginary part changes nothing"
UNSCORED = "-1 looks up the last token instead of token 0; either way the position's share of the loss is 0"

EQUIVALENT = {
    ("linear", "linear_forward: rows = x"): ROWS,
    ("linear", "linear_forward: rows = x.reshape(-2, x.shape[-1])"): UNKNOWN,
    ("linear", "linear_forward: y = (rows @ weight + bias).reshape(*x.shape[:-1], -2)"): UNKNOWN,
    ("linear", "linear_backward: rows = x.reshape(-2, x.shape[-1])"): UNKNOWN,
    ("linear", "linear_backward: drows = dy.reshape(-2, dy.shape[-1])"): UNKNOWN,
    ("unembedding", "unembedding_forward: rows = x"): ROWS,
    ("unembedding", "unembedding_forward: rows = x.reshape(-2, x.shape[-1])"): UNKNOWN,
    ("unembedding", "unembedding_forward: logits = (rows @ wte.T).reshape(*x.shape[:-1], -2)"): UNKNOWN,
    ("unembedding", "unembedding_backward: rows = x.reshape(-2, x.shape[-1])"): UNKNOWN,
    ("unembedding", "unembedding_backward: drows = dlogits.reshape(-2, dlogits.shape[-1])"): UNKNOWN,
    (
        "attention",
        "attention_forward: scores = (q @ k.swapaxes(-1, (2))) / math.sqrt(q.shape[-1])",
    ): FOURTH,
    ("attention", "attention_backward: dv = probs.swapaxes(-1, (2)) @ do"): FOURTH,
    ("attention", "attention_backward: dprobs = do @ v.swapaxes(-1, (2))"): FOURTH,
    ("attention", "attention_backward: dk = scale * (dscores.swapaxes(-1, (2)) @ q)"): FOURTH,
    (
        "attention",
        "attention_forward: seen = np.tri(scores.shape[-1], like=qkv)",
    ): "np.where takes 1.0 and 0.0 for True and False",
    ("attention", "attention_forward: seen = np.tri(scores.shape[-2], dtype=bool, like=qkv)"): SQUARE,
    (
        "attention",
        "softmax: weights = (1.00001 * np.exp(scores - scores.real.max(axis=-1, keepdims=True)))",
    ): "a factor common to all weights cancels in weights / sum",
    ("attention", "softmax: weights = np.exp(scores - scores.max(axis=-1, keepdims=True))"): SHIFT,
    ("cross_entropy", "cross_entropy_forward: shifted = logits - logits.max(axis=-1, keepdims=True)"): SHIFT,
    ("cross_entropy", "cross_entropy_forward: scored = (targets != IGNORED).astype(logits.dtype)"): REAL,
    ("cross_entropy", "cross_entropy_forward: places = targets[..., None]"): UNSCORED,
    (
        "cross_entropy",
        "cross_entropy_forward: places = np.where(0, targets == IGNORED, targets)[..., None]",
    ): UNSCORED,
    (
        "model",
        "init_params: elif name.endswith('weight'):",
    ): "vectors whose names end in weight are the layernorms' gains: no others are left at this place",
}
