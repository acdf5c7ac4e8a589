"""Is our tokenizer tiktoken's gpt2? Every character, every token, a million random strings, 100 MB of text.

    python -m tests.tokenizer_proof          writes bench/records/tokenizer-DATE-COMMIT.json

tiktoken is set up from vocab.bpe by a reader of its own and runs its own pattern with its own character
tables. Both of our encoders are held against it: the one that stands in bpe.py, and the bulk one.
"""

import argparse
import json
import multiprocessing
import random
import sys
import sysconfig
import time
from pathlib import Path

import tiktoken

from bench.record import save_record
from minigpt import gpt2, texts
from minigpt.tokenizer import Tokenizer

RECORDS = Path(__file__).parents[1] / "bench" / "records"
# tiktoken 0.14, tiktoken_ext/openai_public.py, the comment on r50k_pat_str: the pattern of the release
GPT2_PATTERN = r"""'s|'t|'re|'ve|'m|'ll|'d| ?[\p{L}]+| ?[\p{N}]+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"""
CONTEXTS = ("{0}", " {0}", "a{0}1{0}", "\n{0}  {0}'s")
SURROGATES = range(0xD800, 0xE000)
SCALARS = 0x110000 - len(SURROGATES)
ALPHABETS = (
    "etaoin shrdlu",
    "aA1 '\n\t.",
    "'stvremld STRE ",
    " \u00a0\u3000\u2028\r\n\x1c\x85x",
    "漢字かなカナ한국어 абв äöüß éè ñ ½Ⅷ४ 🙂👍🏽\u200d\ufe0f",
    "".join(map(chr, range(128))),
    None,  # every character there is
)
REPEATED = " \n\x00ae-=0é½漢🙂\u3000\U00010330"
SUFFIXES = {".py", ".pyi", ".md", ".rst", ".txt", ".json", ".h", ".hpp", ".c", ".cpp", ".cu", ".js", ".html"}
LARGEST = 5_000_000  # bytes of one file


def tiktoken_gpt2():
    """tiktoken's gpt2, with no network: ranks from vocab.bpe, in the way of tiktoken.load."""
    visible = [byte for byte in range(256) if chr(byte).isprintable() and byte != ord(" ")]
    hidden = [byte for byte in range(256) if byte not in visible]
    byte_of = {chr(byte): byte for byte in visible} | {chr(256 + n): byte for n, byte in enumerate(hidden)}
    ranks = {bytes([byte]): rank for rank, byte in enumerate(byte_of.values())}
    for line in gpt2.read("vocab.bpe").split("\n")[1:-1]:
        ranks[bytes(byte_of[symbol] for symbol in line.replace(" ", ""))] = len(ranks)
    return tiktoken.Encoding(
        "gpt2",
        pat_str=GPT2_PATTERN,
        mergeable_ranks=ranks,
        special_tokens={"<|endoftext|>": 50256},
        explicit_n_vocab=50257,
    )


def difference(ours, theirs, text):
    """What our encoders make of a text where it differs from tiktoken's ids, else None."""
    expected = theirs.encode_ordinary(text)
    for name, ids in (("own", ours.encode(text, fast=False)), ("bulk", ours.encode_array(text).tolist())):
        if ids != expected:
            return {"text": text[:200], "encoder": name, "expected": expected[:50], "found": ids[:50]}
    return None


def scalar_texts(first, last, step=1):
    """The characters between two code points, each in every context."""
    for code in range(first, last, step):
        if code not in SURROGATES:
            yield from (context.format(chr(code)) for context in CONTEXTS)


def random_texts(seed, count):
    """Strings of 1 to 40 characters of one alphabet."""
    rng = random.Random(seed)
    for _ in range(count):
        alphabet, length = rng.choice(ALPHABETS), rng.randint(1, 40)
        if alphabet is None:
            codes = (rng.randrange(SCALARS) for _ in range(length))
            yield "".join(chr(code if code < SURROGATES[0] else code + len(SURROGATES)) for code in codes)
        else:
            yield "".join(rng.choices(alphabet, k=length))


def token_differences(ours, theirs):
    """What is wrong with single tokens: their bytes, and the ids of those that are text."""
    for id in range(ours.n_vocab):
        token = ours.decode_bytes([id])
        if token != theirs.decode_single_token_bytes(id):
            yield {"id": id, "bytes": token.hex()}
        text = token.decode(errors="ignore")
        if text.encode() == token and (found := difference(ours, theirs, text)):
            yield found


def sotu_texts():
    """The State of the Union addresses."""
    return [text for _, text in texts.load_sotu()]


def library_texts(limit):
    """Text and code of the packages that are installed here, file by file, until there are limit bytes."""
    size = 0
    for folder in (sysconfig.get_path("purelib"), sysconfig.get_path("stdlib")):
        for path in sorted(Path(folder).rglob("*")):
            if path.suffix in SUFFIXES and path.is_file() and path.stat().st_size < LARGEST:
                text = path.read_bytes().decode(errors="replace")
                size += len(text.encode())
                yield text
                if size >= limit:
                    return


_pair = None  # our tokenizer and tiktoken's, made once a process


def check(texts_of, *arguments):
    """How many texts and bytes, and the first ten differences."""
    global _pair
    _pair = _pair or (Tokenizer.gpt2(), tiktoken_gpt2())
    count, size, found = 0, 0, []
    for text in texts_of(*arguments):
        count, size = count + 1, size + len(text.encode())
        if (wrong := difference(*_pair, text)) and len(found) < 10:
            found.append(wrong)
    return count, size, found


def repeat_seconds(ours):
    """How long a million of one character takes, by our encoder and by whichever is chosen for much text."""
    seconds = {}
    for character in REPEATED:
        text, times = character * 10**6, []
        for fast in (False, None):
            start = time.perf_counter()
            ours.encode(text, fast=fast)
            times.append(round(time.perf_counter() - start, 3))
        seconds[f"U+{ord(character):04X}"] = {"own": times[0], "chosen": times[1]}
    return seconds


def jobs(mega):
    """(part, function, arguments) of everything to check, in shares for several processes."""
    yield "text and code of installed packages", library_texts, mega * 1_000_000
    yield "State of the Union addresses", sotu_texts
    share = 0x110000 // 64
    for first in range(0, 0x110000, share):
        yield "every character in 4 contexts", scalar_texts, first, first + share
    for seed in range(64):
        yield "random strings", random_texts, seed, 1_000_000 // 64


def run(job):
    """One job's part and result."""
    part, *arguments = job
    return part, check(*arguments)


def main():
    """Check all, print a line a part, keep the record; the exit code says whether all agree."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mega", type=int, default=120, help="MB of installed text and code")
    mega = parser.parse_args().mega
    started = time.time()
    wrong = list(token_differences(Tokenizer.gpt2(), tiktoken_gpt2()))
    parts = {"every token alone": {"texts": 50257, "bytes": 0, "differences": wrong}}
    with multiprocessing.get_context("spawn").Pool() as pool:
        for part, (count, size, wrong) in pool.imap_unordered(run, list(jobs(mega))):
            sums = parts.setdefault(part, {"texts": 0, "bytes": 0, "differences": []})
            sums["texts"] += count
            sums["bytes"] += size
            sums["differences"] += wrong
    for part, sums in parts.items():
        print(f"{part}: {sums['texts']:,} texts, {sums['bytes']:,} bytes, {len(sums['differences'])} differ")
    for found in (found for sums in parts.values() for found in sums["differences"][:2]):
        print(json.dumps(found))
    repeats = repeat_seconds(Tokenizer.gpt2())
    for name in ("own", "chosen"):
        print(f"a million of one character, {name}: at most {max(s[name] for s in repeats.values()):.2f} s")
    options = {"contexts": CONTEXTS, "seconds": round(time.time() - started), "repeat_seconds": repeats}
    print(save_record(RECORDS, "tokenizer", options, parts))
    return any(sums["differences"] for sums in parts.values())


if __name__ == "__main__":
    sys.exit(main())
