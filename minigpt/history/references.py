"""Scores of the GPT-2 checkpoints that OpenAI released, and of what runs they can stand beside.

A loss compares on the same text in the same tokens only. fineweb: llm.c's validation shard, by llm.c;
fineweb-edu: build-nanogpt's shard, by its script; openwebtext: nanoGPT's README. HellaSwag: acc_norm by
llm.c's rule; its questions are the same for everybody.
"""

LOSSES = {
    "fineweb": {"124M": 3.424958, "355M": 3.083089, "774M": 3.000580, "1558M": 2.831273},
    "fineweb-edu": {"124M": 3.2924},
    "openwebtext": {"124M": 3.12, "355M": 2.84, "774M": 2.67, "1558M": 2.54},
}
HELLASWAG = {"124M": 0.294463, "355M": 0.375224, "774M": 0.431986, "1558M": 0.488946}
CHANCE = 0.25  # of one in four
VOCABULARY = 50257


def corpus_of(history):
    """Which of these texts a run reads in GPT-2's tokens, by its files' names; None: none, or unknown."""
    recipe = history.about.get("recipe", {})
    if other_tokens(history) or not recipe:
        return None
    path = f"{recipe.get('data')} {recipe.get('val_data')}".lower()
    if "fineweb" in path:
        return "fineweb-edu" if "edu" in path else "fineweb"
    return "openwebtext" if "openwebtext" in path else None


def other_tokens(history):
    """Whether a run is known to read other tokens than GPT-2's."""
    recipe, model = history.about.get("recipe", {}), history.about.get("model", {})
    return recipe.get("tokenizer") == "train" or model.get("n_vocab", VOCABULARY) != VOCABULARY
