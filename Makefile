# make train: set everything up and run the default training run.   make test: set everything up and test it.
PYTHON ?= python3
VENV ?= .venv
EXTRAS ?= test
RUN = $(VENV)/bin
ARGS ?=

.PHONY: train test check mutants tokenizer-proof check-124M fault-table bounds-table fuzz faults goldens bench scaling clean
.PHONY: dist startup gpu gpu-budgets gpu-wheels gpu-offline cudnn-plans kernel-faults kernel-sanitizers kernel-registers guard

train: $(VENV)/.run
	$(RUN)/minigpt train $(ARGS)

test: $(VENV)/.$(EXTRAS)  # types are among the tests
	$(RUN)/ruff check
	$(RUN)/python -m pytest -q -n 2 $(ARGS)

check: $(VENV)/.$(EXTRAS)  # lint, types, and the tests but those of whole runs, of ranks and of what is built
	$(RUN)/ruff check
	$(RUN)/mypy
	$(RUN)/python -m pytest -q -n 2 --ignore tests/test_run.py --ignore tests/ranks --ignore tests/packaging $(ARGS)

mutants: $(VENV)/.$(EXTRAS)  # plant a fault in every term of the mathematics; the proofs must find each
	$(RUN)/python -m tests.mutants

tokenizer-proof: $(VENV)/.proof  # ours is tiktoken's gpt2: every character, every token, 130 MB of text
	$(RUN)/python -m tests.tokenizer_proof

check-124M: $(VENV)/.proof  # reference check of a random model with GPT-2's shape: 148 tensors, 6 GB, some minutes
	$(RUN)/python -m bench.check --save
	$(RUN)/python -m pytest -q -m slow

fault-table: $(VENV)/.proof  # 60 mistakes planted in four precisions: which does reference diff name?
	$(RUN)/python -m tests.fault_table

bounds-table: $(VENV)/.proof  # how far honest programs stay below the bounds of reference check
	$(RUN)/python -m tests.bounds_table

fuzz: $(VENV)/.test  # 10,000 damaged files of each format of weights
	$(RUN)/python -m tests.fuzz_weights

faults: $(VENV)/.test  # kills, power cuts, full disks, flipped bits, signals; writes PROOF.md; an hour and more
	$(RUN)/python -m tests.campaigns $(ARGS)

guard: $(VENV)/.test  # how often the spike guard refuses a step that is no spike; ARGS="RUN/metrics.jsonl" for real ones
	$(RUN)/python -m bench.guard --save $(ARGS)

goldens: $(VENV)/.oracle  # make tests/golden anew from torch
	$(RUN)/python -m reference.golden

bench: $(VENV)/.proof  # steps against torch, tokens against tiktoken, writing against transformers, each in one run
	$(RUN)/python -m bench.step $(ARGS)
	$(RUN)/python -m bench.sample $(ARGS)
	$(RUN)/python -m bench.ops $(ARGS)
	$(RUN)/python -m bench.threads $(ARGS)
	$(RUN)/python -m bench.blas $(ARGS)
	$(RUN)/python -m bench.data $(ARGS)

scaling: $(VENV)/.test  # on paper: steps on 1 to 1,024 GPUs; docs/scaling.md and its picture made anew
	$(RUN)/python -m bench.scaling.document

gpu: $(VENV)/.gpu  # on a machine with a GPU: what can only be seen there, most valuable first
	$(RUN)/python -m bench.gpu $(ARGS)

cudnn-plans: $(VENV)/.gpu  # cuDNN plans our graphs for an H100 that it is told of; no GPU is needed, 2 GB of wheels are
	$(RUN)/python -m tests.kernels.cuda.plans --save

gpu-budgets: $(VENV)/.test  # what rounding may do to the gradients of 124M: bench/gpu/budgets-124M.json anew
	$(RUN)/python -m bench.gpu.question

gpu-wheels:  # into .whl, 9 MB: what a machine with CuPy, torch and pytest, but no network, may lack. See docs/gpus.md
	$(PYTHON) -m pip download --quiet --no-deps --only-binary=:all: -d .whl $(WHEELS_FOR) \
	  docstring-parser google-crc32c typeguard tyro 'nvmath-python==1.0.*' nvidia-cudnn-frontend==1.26.0

gpu-offline:  # on that machine, with its own Python: make gpu, out of .whl
	$(PYTHON) -m pip install --quiet --no-index --no-deps --no-compile --upgrade --target .site .whl/*.whl
	PYTHONPATH=$(CURDIR)/.site $(PYTHON) -m bench.gpu $(ARGS)

kernel-faults: $(VENV)/.test  # plant each fault of the list in the CUDA kernels; their tests must notice
	$(RUN)/python -m tests.kernels.cuda.faults --save

kernel-sanitizers: $(VENV)/.test  # the kernels' tests under g++'s address and undefined-behaviour sanitizers
	$(RUN)/python -m tests.kernels.cuda.sanitized --save

kernel-registers: $(VENV)/.test  # what each kernel takes of an H100's registers, by NVIDIA's compiler
	$(RUN)/python -m tests.kernels.cuda.registers --save

startup: $(VENV)/.run  # how long --help and import take
	$(RUN)/python -m bench.startup $(ARGS)

dist: $(VENV)/.release  # dist/: the sdist, and the wheel that is built from it
	rm -rf dist
	$(RUN)/python -m build

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache

$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; sys.exit("minigpt needs Python 3.11 or newer" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.run: $(VENV)/bin/python pyproject.toml
	$(RUN)/pip install --quiet -e .
	touch $@

$(VENV)/.$(EXTRAS): $(VENV)/bin/python pyproject.toml
	$(RUN)/pip install --quiet -e '.[$(EXTRAS)]'
	touch $@

$(VENV)/.release: $(VENV)/bin/python pyproject.toml
	$(RUN)/pip install --quiet -e '.[release]'
	touch $@

$(VENV)/.gpu: $(VENV)/bin/python pyproject.toml
	$(RUN)/pip install --quiet -e '.[test,oracle,cupy-more]'
	touch $@

$(VENV)/.proof: $(VENV)/bin/python pyproject.toml
	$(RUN)/pip install --quiet -e '.[test,oracle]'
	touch $@

ifneq ($(EXTRAS),oracle)
$(VENV)/.oracle: $(VENV)/bin/python pyproject.toml
	$(RUN)/pip install --quiet -e '.[oracle]'
	touch $@
endif
