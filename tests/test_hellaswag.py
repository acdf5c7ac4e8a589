"""HellaSwag: files read and written word for word, and scores against transformers and against plain sums."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigpt
from minigpt import hellaswag, kernels
from minigpt.errors import DataError
from minigpt.hellaswag import Question

TOK = minigpt.Tokenizer.gpt2()
ENTRIES = [
    {
        "ctx": "A man is sitting on a roof. he",
        "label": 3,
        "endings": ["starts to sing.", "is ripping tiles off.", "holds a cube.", "starts roofing."],
    },
    {"ctx": "Then", "label": 0, "endings": ["a", "bb cc", "d", "état 漢字"], "ind": 24},
]


@pytest.fixture
def lines(tmp_path):
    path = tmp_path / "val.jsonl"
    path.write_text("".join(json.dumps(entry) + "\n" for entry in ENTRIES), encoding="utf-8")
    return path


def test_lines_become_ids_with_a_space_before_each_ending(lines):
    first, second = hellaswag.read_questions(lines, TOK)
    assert (first.label, second.label) == (3, 0)
    assert first.context == TOK.encode("A man is sitting on a roof. he")
    assert first.endings[1] == TOK.encode(" is ripping tiles off.")
    assert TOK.decode(second.endings[3]) == " état 漢字"


def test_the_bin_is_llm_cs_word_for_word(lines, tmp_path):
    """Built here by hand from the description: 256 int32, then uint16 words."""
    questions = hellaswag.read_questions(lines, TOK)
    hellaswag.write_bin(tmp_path / "val.bin", questions)
    words, sizes = [], []
    for index, entry in enumerate(ENTRIES):
        context = TOK.encode(entry["ctx"])
        tail = [len(context), *context]
        for ending in entry["endings"]:
            ids = TOK.encode(" " + ending)
            tail += [len(ids), *ids]
        sizes.append(2 * (5 + len(tail)))
        words += [65535, sizes[-1], index, entry["label"], 4, *tail]
    header = np.zeros(256, "<i4")
    header[:4] = 20240522, 1, 2, max(sizes)
    assert (tmp_path / "val.bin").read_bytes() == header.tobytes() + np.array(words, "<u2").tobytes()
    assert hellaswag.read_questions(tmp_path / "val.bin", TOK) == questions


ids_lists = st.lists(st.integers(0, 50256), min_size=1, max_size=9)


question = st.builds(Question, ids_lists, st.lists(ids_lists, min_size=4, max_size=4), st.integers(0, 3))


@given(st.lists(question))
def test_what_is_written_is_read(tmp_path_factory, questions):
    path = tmp_path_factory.getbasetemp() / "any.bin"
    hellaswag.write_bin(path, questions)
    if questions:
        assert hellaswag.read_questions(path, TOK) == questions
    else:
        with pytest.raises(DataError, match="expected questions, found none"):
            hellaswag.read_questions(path, TOK)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "expected questions, found none"),
        ("{", r"val.jsonl, line 1: expected a JSON object with ctx, label and endings, found b'{'"),
        ("[]", "line 1: expected a JSON object"),
        ('{"ctx": "a", "label": 0}', r"KeyError: 'endings'"),
        ('{"ctx": "a", "label": 0, "endings": 7}', "TypeError"),
        ('{"ctx": 7, "label": 0, "endings": ["a", "b", "c", "d"]}', "expected a str, found int"),
        ('{"ctx": "a", "label": 0, "endings": ["a", "b", "c"]}', "line 1: expected 4 endings, found 3"),
        ('{"ctx": "a", "label": 4, "endings": ["a", "b", "c", "d"]}', "a label from 0 to 3, found 4"),
        ('{"ctx": "a", "label": "1", "endings": ["a", "b", "c", "d"]}', "found '1'"),
        ('{"ctx": "", "label": 1, "endings": ["a", "b", "c", "d"]}', "expected a context, found none"),
        ("\n\n" + json.dumps(ENTRIES[0]) + "\nnonsense", "line 4: expected a JSON object"),
    ],
)
def test_bad_lines_are_named(tmp_path, content, said):
    (tmp_path / "val.jsonl").write_text(content)
    with pytest.raises(DataError, match=said):
        hellaswag.read_questions(tmp_path / "val.jsonl", TOK)
    with pytest.raises(DataError, match=r"none\.jsonl: cannot be read: No such file"):
        hellaswag.read_questions(tmp_path / "none.jsonl", TOK)


def test_every_truncation_and_every_changed_structure_of_a_bin_is_noticed(lines, tmp_path):
    path = tmp_path / "val.bin"
    hellaswag.write_bin(path, hellaswag.read_questions(lines, TOK))
    whole = path.read_bytes()
    for length in range(4, len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(DataError, match=r"val\.bin"):
            hellaswag.read_questions(path, TOK)
    for extra in (b"\0", b"\0\0", b"\xff\xff"):
        path.write_bytes(whole + extra)
        with pytest.raises(DataError, match=r"val\.bin"):
            hellaswag.read_questions(path, TOK)
    for place in (4, 1024, 1026, 1028, 1030, 1032, 1034):  # version, START, size, index, label, 4, a length
        changed = bytearray(whole)
        changed[place] ^= 0x88
        path.write_bytes(changed)
        with pytest.raises(DataError, match=r"val\.bin"):
            hellaswag.read_questions(path, TOK)


def test_a_question_that_uint16_cannot_hold_is_refused(tmp_path):
    with pytest.raises(DataError, match="question 0 needs a word beyond 65534"):
        hellaswag.write_bin(tmp_path / "a.bin", [Question([70000], [[1]] * 4, 0)])
    with pytest.raises(DataError, match="question 0 needs a word beyond 65534"):
        hellaswag.write_bin(tmp_path / "a.bin", [Question([1] * 40000, [[1]] * 4, 0)])
    assert not (tmp_path / "a.bin").exists()


# ---- scores ------------------------------------------------------------------------------------------

CONFIG = minigpt.GPTConfig(n_layer=2, n_head=2, n_embd=8, n_ctx=12, n_vocab=31)
PARAMS = minigpt.init_params(CONFIG, dtype="float64")
PARAMS.buffer[:] *= 20
TABLE = kernels.table("reference", "float64")
few = st.lists(st.integers(0, 30), min_size=1, max_size=8)


@given(
    st.lists(st.builds(Question, few, st.lists(few, min_size=4, max_size=4), st.integers(0, 3)), min_size=1),
    st.integers(1, 9),
)
def test_nats_are_sums_over_single_tokens_for_any_batch_size(questions, batch_size):
    nats, counts = hellaswag.answer(CONFIG, TABLE, PARAMS, questions[:3], batch_size)
    for q, question in enumerate(questions[:3]):
        for e, ending in enumerate(question.endings):
            ids = (question.context + ending)[-13:]
            scored, total = min(len(ending), len(ids) - 1), 0.0
            for place in range(len(ids) - scored, len(ids)):
                logits = minigpt.logits(CONFIG, PARAMS, [ids[:place]])[0, -1]
                total += np.log(np.exp(logits - logits[ids[place]]).sum())
            assert nats[q, e] == pytest.approx(total, rel=1e-11, abs=1e-11)
            assert counts[q, e] == len(ending)


def test_acc_takes_the_sum_and_acc_norm_the_mean():
    questions = [Question([1], [[1]] * 4, label) for label in (0, 1, 2, 1)]
    nats = np.array([[1.0, 2, 3, 4], [3, 4, 9, 9], [5, 6, 4, 7], [2, 2, 3, 3]])
    counts = np.array([[1, 1, 1, 1], [1, 2, 1, 1], [1, 1, 1, 1], [1, 1, 1, 1]])
    result = hellaswag.result_of(nats, counts, questions)
    assert (result.n, result.correct, result.correct_norm) == (4, 2, 3)  # of equals, the first is taken
    assert (result.acc, result.acc_norm) == (0.5, 0.75)


def test_scores_are_those_of_transformers_example_by_example(lines, tmp_path):
    transformers, torch = pytest.importorskip("transformers"), pytest.importorskip("torch")
    config = minigpt.GPTConfig(n_layer=2, n_head=2, n_embd=16, n_ctx=64, n_vocab=50257)
    params = minigpt.init_params(config, dtype="float64")
    params.buffer[:] *= 15
    minigpt.save_weights(tmp_path / "model", config, params)
    model = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "model", dtype=torch.float64)
    questions = hellaswag.read_questions(lines, TOK)
    nats, _ = hellaswag.answer(config, TABLE, params, questions, 3)
    for q, question in enumerate(questions):
        for e, ending in enumerate(question.endings):
            ids = torch.tensor([question.context + ending])
            with torch.no_grad():
                scores = model(ids).logits[0, :-1].log_softmax(-1)  # (T - 1, V)
            picked = -scores.gather(1, ids[0, 1:, None])[-len(ending) :]
            assert nats[q, e] == pytest.approx(float(picked.sum()), rel=1e-10)
