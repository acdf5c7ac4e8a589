"""reference trace: the page's data, held to the source as it stands and to passes computed without it."""

import inspect
import re
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

import minigpt
from minigpt.arrays import Flat
from minigpt.choice import Choice, Dice
from minigpt.kernels import REFERENCE
from reference.llmc import run
from reference.llmc.names import Inputs
from reference.llmc.parameters import from_hub
from reference.questions import sizes_of
from reference.tools import main
from reference.trace.gradients import link_gradients
from reference.trace.model import SMALL, model_of
from reference.trace.record import Recorder
from reference.trace.step import traced_step
from reference.trace.tokens import pieces_of
from reference.trace.write import LONGEST, MOST, write_trace
from tests.support.trace_page import read_page

ROOT = Path(__file__).parents[2]
TEXT = "The state of the Union is strong, and the people are free."


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    path = tmp_path_factory.mktemp("trace") / "trace.html"
    write_trace(TEXT, path)
    return path


@pytest.fixture(scope="module")
def page(path):
    return read_page(path)


@pytest.fixture(scope="module")
def exact(page):
    """(config, parameters in float64, loss, gradients) by minigpt's own door."""
    model = model_of(None, None)
    ids = page.trace["ids"]
    targets = np.array([[*ids[1:], -1]])
    loss, grads = minigpt.loss_and_grads(model.config, model.params, np.array([ids]), targets)
    return model.config, model.params, loss, grads


@pytest.fixture(scope="module")
def oracle(page, exact):
    """Every activation and gradient by reference/llmc, which shares no code with minigpt."""
    config, params, _, _ = exact
    ids = page.trace["ids"]
    tokens, targets = np.array([ids]), np.array([[*ids[1:], -1]])
    return run(Inputs(sizes_of(config, 1, len(ids)), from_hub(params, config.n_layer), tokens, targets))


BLOCK = ["layernorm", "linear", "attention", "linear", "add", "layernorm", "linear", "gelu", "linear", "add"]

MIRROR = ["linear", "gelu", "linear", "layernorm", "add", "linear", "attention", "linear", "layernorm", "add"]


def names(page, stage):
    return [event["name"] for event in page.trace["events"] if event["stage"] == stage and event["shown"]]


def test_all_operations_are_there_in_the_order_of_the_step(page):
    L = page.trace["model"]["sizes"]["L"]
    block = ["block_forward", *(name if name == "add" else f"{name}_forward" for name in BLOCK)]
    ends = ["layernorm_forward", "unembedding_forward", "cross_entropy_forward"]
    assert names(page, "forward") == ["embedding_forward", *block * L, *ends]
    block = ["block_backward", *(name if name == "add" else f"{name}_backward" for name in MIRROR)]
    begin = ["cross_entropy_backward", "unembedding_backward", "layernorm_backward"]
    assert names(page, "backward") == [*begin, *block * L, "embedding_backward", "add"]
    assert names(page, "update") == ["collect", "global_norm", "clip_scale", "adamw"]


def test_labels_say_which_of_its_kind(page):
    labels = [event["label"] for event in page.trace["events"] if event["inside"] == 2]
    assert labels == ["h.0.ln_1", "h.0.attn.c_attn", "h.0.attention", "h.0.attn.c_proj", "h.0.sum",
                      "h.0.ln_2", "h.0.mlp.c_fc", "h.0.gelu", "h.0.mlp.c_proj", "h.0.sum"]  # fmt: skip
    assert page.events("unembedding_backward")[0]["label"] == "unembedding"


# Values ---------------------------------------------------------------------------------------------------


def kept(page, number, array):
    """The part of an array that the page has of a tensor."""
    for axis, places in enumerate(page.trace["tensors"][number]["kept"]):
        if places is not None:
            array = array.take(range(places) if isinstance(places, int) else places, axis)
    return array.astype(np.float32)


def test_parameters_and_their_gradients_are_those_of_a_fresh_pass(page, exact):
    _, params, loss, grads = exact
    by_name = {tensor["name"]: number for number, tensor in enumerate(page.trace["tensors"])}
    for name, param in params.items():
        number = by_name[name]
        assert (page.array(number) == kept(page, number, param)).all(), name
        gradient = page.trace["tensors"][number]["gradient"]
        assert gradient == by_name[f"d{name}"]
        assert (page.array(gradient) == kept(page, gradient, grads[name])).all(), name
    assert abs(page.trace["model"]["loss"] - loss) < 1e-14


ACTIVATIONS = {  # llm.c's name -> the event, and the name in it
    "encoded": ("embedding_forward", "embedding", "x"), "ln1": ("layernorm_forward", "h.{}.ln_1", "y"),
    "qkv": ("linear_forward", "h.{}.attn.c_attn", "y"),
    "att": ("attention_forward", "h.{}.attention", "probs"),
    "atty": ("attention_forward", "h.{}.attention", "y"),
    "attproj": ("linear_forward", "h.{}.attn.c_proj", "y"),
    "residual2": ("add", "h.{}.sum", "result"), "ln2": ("layernorm_forward", "h.{}.ln_2", "y"),
    "fch": ("linear_forward", "h.{}.mlp.c_fc", "y"), "fch_gelu": ("gelu_forward", "h.{}.gelu", "y"),
    "fcproj": ("linear_forward", "h.{}.mlp.c_proj", "y"), "lnf": ("layernorm_forward", "ln_f", "y"),
    "logits": ("unembedding_forward", "unembedding", "logits"),
}  # fmt: skip


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_and_the_gradients_linked_to_them_are_the_oracles(page, oracle, name):
    function, label, role = ACTIVATIONS[name]
    layered = "{}" in label
    for layer in range(page.trace["model"]["sizes"]["L"]) if layered else [None]:
        event = page.events(function, label.format(layer))[0]
        number = page.tensor(event, role, "results", "kept")
        gradient = page.trace["tensors"][number]["gradient"]
        for found, key in ((number, name), (gradient, f"d{name}")):
            want = oracle[key, layer]
            want = want.reshape(page.trace["tensors"][found]["shape"])
            want, array = kept(page, found, want), page.array(found)
            if name == "att":  # where nothing is seen llm.c has 0, which no gradient needs
                want, array = np.tril(want), np.tril(array)
            error = np.abs(array - want).max()
            assert error <= 1e-6 * np.abs(want).max(), (key, layer, error)  # float32's digits


def test_a_gradient_is_linked_on_both_sides_and_has_the_same_shape(page):
    tensors = page.trace["tensors"]
    linked = [(number, tensor["gradient"]) for number, tensor in enumerate(tensors)
              if tensor["gradient"] is not None]  # fmt: skip
    L = page.trace["model"]["sizes"]["L"]  # in a block: results, q, k, v, scores, probs, and n twice
    assert len(linked) == (12 * L + 4) + 1 + (10 + 5 + 2) * L + 2 + 1
    for number, gradient in linked:
        assert tensors[gradient]["shape"] == tensors[number]["shape"]
        assert tensors[gradient]["of"] is not None
    forward = [number for number, tensor in enumerate(tensors) if tensor["maker"] is not None
               and page.trace["events"][tensor["maker"]]["name"] == "linear_forward"]  # fmt: skip
    assert all(tensors[number]["gradient"] is not None for number in forward)


def test_a_sum_s_gradient_does_not_depend_on_the_order_of_its_sides():
    config = minigpt.GPTConfig(n_layer=2, n_head=2, n_embd=8, n_ctx=6, n_vocab=11)
    params = Flat.pack(minigpt.init_params(config, 1, "float64"), np.float64)
    notes, _ = traced_step(config, params, [3, 1, 4, 1, 5])
    before = [tensor.gradient for tensor in notes.tensors]
    for event in notes.events:
        if event.name == "add":
            event.inputs.reverse()
            notes.tensors[event.results[0].tensor].gradient = None
    assert [tensor.gradient for tensor in notes.tensors] != before
    link_gradients(notes)
    assert [tensor.gradient for tensor in notes.tensors] == before


GIVEN = ("tokens", "targets", "params", "first", "second")


def test_where_tensors_come_from_and_go_is_what_the_events_say(page):
    made, used = {}, {}
    for place, event in enumerate(page.trace["events"]):
        if event["kind"] == "block":
            continue
        for use in event["inputs"]:
            used.setdefault(use["tensor"], []).append(place)
        fresh = {use["tensor"] for role in ("results", "kept", "variables") for use in event[role]}
        for number in fresh - {use["tensor"] for use in event["inputs"]}:
            made.setdefault(number, place)
    for number, tensor in enumerate(page.trace["tensors"]):
        assert tensor["users"] == list(dict.fromkeys(used.get(number, [])))
        if tensor["maker"] is not None:
            assert made[number] == tensor["maker"]
            assert all(user > tensor["maker"] for user in tensor["users"])
        else:
            assert tensor["is_parameter"] or tensor["name"] in GIVEN


def test_the_values_by_line_are_those_of_the_variables(page, oracle):
    event = page.events("attention_forward")[0]
    lines = (ROOT / event["source"]["file"]).read_text().split("\n")
    uses = {use["name"]: use["tensor"] for use in event["variables"]}
    assert list(uses) == ["q", "k", "v", "scores", "seen", "probs", "y"]
    for name in uses:
        assert re.match(rf" +(q, k, v|{name}) = ", lines[event["born"][name] - 1]), name
    T = len(page.trace["ids"])
    seen, scores = page.array(uses["seen"]) > 0, page.array(uses["scores"])[0]
    assert (seen == np.tri(T, dtype=bool)).all()
    want = np.where(seen, oracle["preatt", 0][0], 0)
    assert np.abs(np.where(seen, scores, 0) - want).max() < 1e-5
    backward = page.trace["events"][event["pair"]]
    assert {"dprobs", "dscores", "dq", "dk", "dv"} <= {use["name"] for use in backward["variables"]}


# Source ---------------------------------------------------------------------------------------------------


def test_every_piece_of_source_is_at_its_line(page):
    text = {file: (ROOT / file).read_text().split("\n")[:-1] for file in page.trace["files"]}
    for file, lines in page.trace["files"].items():
        assert ["".join(part for _, part in line) for line in lines] == text[file]
    assert {"minigpt/train.py", "minigpt/model.py", "minigpt/optim.py"} <= set(text)
    for event in page.trace["events"]:
        site = text[event["site"]["file"]][event["site"]["first"] - 1 : event["site"]["last"]]
        if event["kind"] == "between":
            assert re.search(r"\b(x|dx|dwte_head) \+ ", site[0])
            continue
        assert f"ops.{event['name']}(" in "".join(site)
        place, function = event["source"], REFERENCE[event["name"]]
        snippet = "\n".join(text[place["file"]][place["first"] - 1 : place["last"]]) + "\n"
        assert snippet == inspect.getsource(function)
        assert snippet.startswith(f"def {event['name']}(")


def test_the_equation_is_the_docstring_but_for_its_arrow_line(page):
    for event in page.trace["events"]:
        if event["source"]:
            paragraphs = inspect.getdoc(REFERENCE[event["name"]]).split("\n\n")
            words = " ".join(paragraph for paragraph in paragraphs if " -> " not in paragraph).split()
            assert words
            assert " ".join(text for _, text in event["says"]).split() == words
    (backward, *_) = page.events("layernorm_backward")
    assert ["lines" in kind for kind, _ in backward["says"]] == [False, False, True, False]
    assert "dn_i/dx_j = rstd * (delta_ij - 1/C - n_i * n_j / C)\n" in backward["says"][2][1]


def test_letters_of_axes_mean_one_length_each(page):
    sizes = page.trace["model"]["sizes"]
    known = {"B": 1, "T": len(page.trace["ids"]), "D": sizes["C"] // sizes["H"], "1": 1}
    known |= {letter: sizes[letter] for letter in "CHVN"} | {"3C": 3 * sizes["C"], "F": 4 * sizes["C"]}
    lettered = [tensor for tensor in page.trace["tensors"] if tensor["axes"]]
    assert len(lettered) > 0.9 * len([tensor for tensor in page.trace["tensors"] if tensor["shape"]])
    for tensor in lettered:
        pairs = zip(tensor["axes"], tensor["shape"], strict=True)
        assert all(known.get(letter, size) == size for letter, size in pairs), tensor["name"]


# What is wrapped --------------------------------------------------------------------------------------------


def halve_forward(x):
    """y = x / 2, which no table has.

    x (B, T) -> y (B, T)
    """
    half = 0.5  # a number
    y = half * x  # (B, T)
    return y, (x, half)


def halve_backward(dy, cache):
    """Return dx.

    dy (B, T) -> dx (B, T)
    """
    _, half = cache
    return half * dy


def test_an_operation_that_is_added_to_the_table_appears_by_itself():
    recorder = Recorder()
    ops = recorder.table(REFERENCE | {"halve_forward": halve_forward, "halve_backward": halve_backward})
    y, cache = ops.halve_forward(np.ones((1, 3)))
    total = np.concatenate([y, y]) + 1
    dx = ops.halve_backward(np.ones((1, 3)), cache)
    assert (total.shape, dx.shape) == ((2, 3), (1, 3))
    events, tensors = recorder.notes.events, recorder.notes.tensors
    assert [event.name for event in events] == ["halve_forward", "concatenate", "add", "halve_backward"]
    assert (events[0].pair, events[3].pair) == (3, 0)
    assert tensors[events[0].results[0].tensor].name == "y"
    assert tensors[events[0].results[0].tensor].users == [1]
    assert events[0].numbers == {"half": 0.5}
    assert events[2].site.operands == ("np.concatenate([y, y])", "1")


def test_the_traced_step_is_the_step_itself():
    config = minigpt.GPTConfig(n_layer=3, n_head=2, n_embd=8, n_ctx=6, n_vocab=11)
    params = Flat.pack(minigpt.init_params(config, 1, "float64"), np.float64)
    trainer = minigpt.Trainer(config, params, ops="reference")
    ids = [3, 1, 4, 1, 5]
    loss = trainer.step(np.array([ids]), np.array([[*ids[1:], -1]]))
    notes, report = traced_step(config, params, ids)
    assert report.loss == loss
    (adamw,) = [event for event in notes.events if event.name == "adamw"]
    assert (notes.tensors[adamw.results[0].tensor].array == trainer.params.buffer).all()
    assert [event.label for event in notes.events if event.kind == "block"][:3] == ["h.0", "h.1", "h.2"]


# Text, guesses, size ----------------------------------------------------------------------------------------


def test_merges_lead_from_bytes_to_the_ids(page):
    tokenizer = model_of(None, None).tokenizer
    pieces = page.trace["pieces"]
    assert "".join(piece["text"] for piece in pieces) == TEXT
    assert [id for piece in pieces for id in piece["ids"]] == tokenizer.encode(TEXT) == page.trace["ids"]
    for piece in pieces:
        assert bytes.fromhex(piece["bytes"]).decode() == piece["text"]
        rows = piece["rows"]
        assert len(rows[0]["tokens"]) == len(piece["text"].encode())
        assert len(rows[-1]["tokens"]) == len(piece["ids"])
        for before, after in pairwise(rows):
            assert "".join(before["tokens"]) == "".join(after["tokens"])
            assert len(before["tokens"]) - len(after["tokens"]) == len(after["made"]) > 0
            left, right = tokenizer.merges[after["rank"]]
            made = tokenizer.tokens[left] + tokenizer.tokens[right]
            assert all(len(after["tokens"][place]) == len(made) for place in after["made"])


def test_of_a_long_piece_the_first_and_the_last_row_are_shown():
    tokenizer = model_of(None, None).tokenizer
    (piece,) = pieces_of(tokenizer, "tion" * 25, 48)
    first, last = piece["rows"]
    assert (first["tokens"], last["rank"]) == (list("tion" * 25), None)
    assert "".join(last["tokens"]) == "tion" * 25
    assert len(last["tokens"]) == len(piece["ids"]) < 100


def test_guesses_add_up_to_the_loss_and_the_dice_are_sampling_s(page):
    places = page.trace["expected"]
    nats = [place["nats"] for place in places if place["came"] is not None]
    assert len(nats) == len(page.trace["ids"]) - 1
    assert abs(np.mean(nats) - page.trace["model"]["loss"]) < 1e-4
    dice = Dice(0)
    assert page.trace["next"]["rolls"] == [dice.roll() for _ in page.trace["next"]["rolls"]]
    logits = page.array(page.tensor(page.events("cross_entropy_forward")[0], "logits"))[0, -1]
    shown = page.trace["tensors"][page.tensor(page.events("cross_entropy_forward")[0], "logits")]["kept"][2]
    best = int(Choice().draw(logits, dice))
    assert shown[best] == page.trace["next"]["listed"][0] == places[-1]["top"][0][0]


def test_equal_questions_give_equal_bytes(path, tmp_path):
    write_trace(TEXT, tmp_path / "again.html")
    assert path.read_bytes() == (tmp_path / "again.html").read_bytes()
    assert path.stat().st_size < 4e6


def test_a_long_vocabulary_and_wide_layers_are_cut_and_the_page_says_where(tmp_path):
    config = minigpt.GPTConfig(n_layer=2, n_head=2, n_embd=320, n_ctx=64, n_vocab=1024)
    minigpt.save_weights(tmp_path / "wide", config, minigpt.init_params(config))
    write_trace("Hello world, hello.", tmp_path / "a.html", tmp_path / "wide", SMALL)
    page = read_page(tmp_path / "a.html")
    assert (tmp_path / "a.html").stat().st_size < 7e6
    ids = page.trace["ids"]
    wte = next(i for i, tensor in enumerate(page.trace["tensors"]) if tensor["name"] == "wte.weight")
    rows, columns = page.trace["tensors"][wte]["kept"]
    assert set(ids) <= set(rows)
    assert page.array(wte).shape == (len(rows), columns)
    assert columns < 320
    want = minigpt.init_params(config)["wte.weight"][rows][:, :columns]
    assert (page.array(wte) == want).all()


HOSTILE = "</script><script>alert(1)</script> <!-- {{trace}} &amp; \\u003c"


@pytest.mark.parametrize("text", [HOSTILE, "é日本\r\n\x00 b"])
def test_no_text_can_break_the_page(tmp_path, text):
    write_trace(text, tmp_path / "a.html")
    page = read_page(tmp_path / "a.html")
    assert page.tags.count("script") == 3
    shown = page.trace["text"].rstrip("\ufffd")  # half a character, where the page is full
    assert text.startswith(shown)
    assert "".join(piece["text"] for piece in page.trace["pieces"]).startswith(shown)


def test_a_page_holds_so_many_tokens_and_says_what_it_leaves_out(tmp_path, capsys):
    assert main(["trace", "to be or not " * 12, "--out", str(tmp_path / "a.html")]) == 0
    out = capsys.readouterr().out
    ids = model_of(None, None).tokenizer.encode("to be or not " * 12)
    assert f"{MOST} tokens (the first of {len(ids)}: a page holds {MOST})" in out
    page = read_page(tmp_path / "a.html")
    assert (len(page.trace["ids"]), page.trace["left_out"]) == (MOST, len(ids) - MOST)


def test_the_small_model_is_a_trained_one(exact, page):
    config, _, loss, _ = exact
    ids, params = page.trace["ids"], minigpt.init_params(config, 0, "float64")
    untrained, _ = minigpt.loss_and_grads(config, params, np.array([ids]), np.array([[*ids[1:], -1]]))
    assert loss < 0.6 * untrained
    assert sum(file.stat().st_size for file in SMALL.iterdir()) < 300_000


# Bad input --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("arguments", "said"), [
    ([""], "the text: expected some words"), (["  \n"], "the text: expected some words"),
    (["a"], "expected two tokens or more"), (["a " * LONGEST], "at most 1,000 characters: found 2,000"),
    (["to be", "--out", "{place}"], "the folder"), (["to be", "--out", "{place}/no/a.html"], "found no"),
    (["to be", "--out", "/dev/full"], "found a device"), (["to be", "--out", ""], "found an empty one"),
    (["to be", "--weights", "{place}/none"], "no such file"), (["to be", "--weights", ""], "an empty one"),
    (["to be", "--tokenizer", "gpt2"], "expected a tokenizer of 1024 ids"),
    (["to be", "--weights", "{place}/nan.npz", "--tokenizer", str(SMALL)], "loss and gradient are finite"),
    (["to be", "--weights", "{place}/one.npz", "--tokenizer", str(SMALL)], "reads two tokens or more"),
])  # fmt: skip
def test_bad_input_is_one_line_and_exit_code_2(tmp_path, capsys, monkeypatch, arguments, said):
    monkeypatch.chdir(tmp_path)
    for name, n_ctx in (("nan", 8), ("one", 1)):
        config = minigpt.GPTConfig(n_layer=1, n_head=1, n_embd=64, n_ctx=n_ctx, n_vocab=1024)
        params = dict(minigpt.init_params(config))
        if name == "nan":
            params["ln_f.bias"] = np.full(64, np.nan, "float32")
        minigpt.save_weights(tmp_path / f"{name}.npz", config, params, "npz")
    before = sorted(tmp_path.iterdir())
    assert main(["trace", *(word.format(place=tmp_path) for word in arguments)]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert said in err
    assert sorted(tmp_path.iterdir()) == before
