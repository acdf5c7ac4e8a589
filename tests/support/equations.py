"""Every op's forward, and the model's, once more: one number at a time and with exactly rounded sums.

Nothing is shared with minigpt.ops, constants included, and nothing is vectorised: slow and plain on purpose.
"""

import math

import numpy as np


def embedding(tokens, wte, wpe):
    """x[b, t] = wte[token] + wpe[t]"""
    return np.array([[wte[token] + wpe[t] for t, token in enumerate(row)] for row in tokens])


def layernorm(x, gain, bias):
    """y_c = gain_c * (x_c - mean) / sqrt(variance + 1e-5) + bias_c"""
    return each_row(x, lambda row: normalised(row, gain, bias))


def normalised(row, gain, bias):
    """layernorm of one row."""
    mean = math.fsum(row) / len(row)
    variance = math.fsum((value - mean) ** 2 for value in row) / len(row)
    channels = zip(row, gain, bias, strict=True)
    return [g * (value - mean) / math.sqrt(variance + 1e-5) + b for value, g, b in channels]


def linear(x, weight, bias):
    """y_o = sum_i x_i * weight_io + bias_o"""
    return each_row(x, lambda row: [dot(row, column) + b for column, b in zip(weight.T, bias, strict=True)])


def unembedding(x, wte):
    """logits_v = sum_c x_c * wte_vc"""
    return each_row(x, lambda row: [dot(row, embedded) for embedded in wte])


def attention(qkv, n_head):
    """y_t = sum over s <= t of softmax(q_t . k_s / sqrt(D))_s * v_s, head by head"""
    B, T, C = qkv.shape[0], qkv.shape[1], qkv.shape[2] // 3
    D = C // n_head
    y = np.empty((B, T, C))
    for b in range(B):
        for t in range(T):
            for head in range(n_head):
                q, k, v = (qkv[b, :, start : start + D] for start in range(head * D, 3 * C, C))
                probs = softmax([dot(q[t], k[s]) / math.sqrt(D) for s in range(t + 1)])
                y[b, t, head * D : (head + 1) * D] = [dot(probs, v[: t + 1, d]) for d in range(D)]
    return y


def gelu(x):
    """y = 0.5 * x * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 * x^3)))"""

    def gelu_of(z):
        return 0.5 * z * (1 + math.tanh(math.sqrt(2 / math.pi) * (z + 0.044715 * z**3)))

    return np.vectorize(gelu_of)(x)


def gelu_exact(x):
    """y = x * Phi(x), the form of which GPT-2 uses an approximation"""
    return np.vectorize(lambda z: 0.5 * z * (1 + math.erf(z / math.sqrt(2))))(x)


def cross_entropy(logits, targets):
    """mean over targets other than -1 of -log softmax(logits)_target"""
    rows = zip(logits.reshape(-1, logits.shape[-1]), targets.ravel(), strict=True)
    losses = [-math.log(softmax(row)[target]) for row, target in rows if target != -1]
    return np.array(math.fsum(losses) / len(losses))


def gpt2(config, params, tokens):
    """The logits of the whole model, block by block (Radford et al. 2019, section 2.3: layernorm first)."""

    def p(name):
        return params[f"{name}.weight"], params[f"{name}.bias"]

    x = embedding(tokens, params["wte.weight"], params["wpe.weight"])
    for h in [f"h.{layer}" for layer in range(config.n_layer)]:
        qkv = linear(layernorm(x, *p(f"{h}.ln_1")), *p(f"{h}.attn.c_attn"))
        x = x + linear(attention(qkv, config.n_head), *p(f"{h}.attn.c_proj"))
        wide = linear(layernorm(x, *p(f"{h}.ln_2")), *p(f"{h}.mlp.c_fc"))
        x = x + linear(gelu(wide), *p(f"{h}.mlp.c_proj"))
    return unembedding(layernorm(x, *p("ln_f")), params["wte.weight"])


def softmax(scores):
    """exp(s_i) / sum_j exp(s_j), both divided by exp of the largest score"""
    weights = [math.exp(score - max(scores)) for score in scores]
    return [weight / math.fsum(weights) for weight in weights]


def dot(a, b):
    """sum_i a_i * b_i"""
    return math.fsum(p * q for p, q in zip(a, b, strict=True))


def each_row(x, function):
    """function applied to every row of x along the last axis."""
    return np.array([[function(row) for row in sequence] for sequence in x])
