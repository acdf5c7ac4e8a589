"""Token shards: files of token ids, as llm.c, nanoGPT and build-nanogpt lay them out."""

# llm.c: 256 int32 (magic, version, number of tokens, zeros), then uint16 tokens
# karpathy/llm.c, dev/data/data_common.py, write_datafile()
MAGIC = 20240520
VERSION = 1
HEADER_INTS = 256
HEADER_BYTES = 4 * HEADER_INTS
