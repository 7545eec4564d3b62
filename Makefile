# make demo: set up, and learn digits on a noisy crossbar.   make test: set up, and pass the tests.
# make thorough: the tests, with every combination of their parameters.
# make quick: lint, types, loops without JIT, and every test that compiles nothing.   make coverage: lines that tests run.
# make compile: kernels through NVIDIA's compiler, without a GPU.
# make kernels: what runs learn, with the kernels of other processors.   make audit: dependencies, for known weaknesses.
# make pythons: the wheel on every Python there is; on the oldest with the least versions of all dependencies (minimum).
# make docs: the pages, in docs/_build/html; every script of theirs is run.
# make speed: how fast it is.   make speed-torch: beside PyTorch, in an environment of its own.
# make gpu: on a machine with a GPU, the tests, benchmarks and full-length figures that need one; its reports are kept.
# make gpu-short: the most telling of them in eight minutes, by the PYTHON of that machine and the packages it has.
PYTHON ?= python3
VENV ?= .venv
CUDA ?= cuda
BIN = $(VENV)/bin
TORCH ?= torch==2.13.*
PYTHONS ?= 3.11 3.12 3.13 3.14
GPU_TESTS = benchmarks/speed/results/$(shell date +%F)-gpu-tests.txt
GPU_PAPERS = dalm2025-fig3 dalm2025-fig4 dalm2025-fig9 bacho2024-table2
WITHOUT_JIT = tests/compute/test_loops_without_jit.py
COMPILED = tests/compute/test_kernels_compile.py
NUMBA_CUDA = numba-cuda[cu12]>=0.30,<0.31
# a test that hangs ends its process, which says where it stood, and is a test that failed
HANGS = --timeout 600 --timeout-method thread
WIDE = --numprocesses auto $(HANGS)
PACKAGED = README.md $(shell find noisysim devices benchmarks/papers -type f -not -name "*.pyc")
marked = -m $(1) $(shell grep -rl --include="test_*.py" "mark\.$(1)\>" tests)
SHELL = bash
.SHELLFLAGS = -eo pipefail -c

.PHONY: demo test thorough quick coverage compile kernels kernels-avx2 kernels-sse check wheel minimum pythons audit docs \
	speed speed-torch gpu gpu-tests gpu-speed gpu-papers gpu-short

demo: $(VENV)/.installed
	$(BIN)/noisysim run --device crossbar --out demo.h5 --overwrite --plot learning.png

test: $(VENV)/.tested
	$(BIN)/python -m pytest $(WIDE) --dist worksteal
	NUMBA_ENABLE_CUDASIM=1 $(BIN)/python -m pytest $(call marked,gpu) $(WIDE) --dist worksteal

# all combinations of parameters, of which `test` runs a covering part
thorough: $(VENV)/.tested $(VENV)/compile/.installed
	$(BIN)/python -m pytest --thorough $(WIDE) --dist worksteal
	NUMBA_ENABLE_CUDASIM=1 $(BIN)/python -m pytest --thorough $(call marked,gpu) $(WIDE) --dist worksteal
	$(VENV)/compile/bin/python -m pytest --thorough $(COMPILED)

compile: $(VENV)/compile/.installed
	$(VENV)/compile/bin/python -m pytest $(COMPILED)

quick: check
	$(BIN)/python -m pytest --quick --quiet -r fE $(WIDE) --dist loadfile
	$(BIN)/python -m pytest --quiet $(WITHOUT_JIT)::test_every_loop_and_rule_runs_without_jit

# the tests, which do not see into compiled loops; then the loops without JIT
coverage: $(VENV)/.tested
	$(BIN)/coverage erase
	$(BIN)/python -m pytest $(WIDE) --dist loadfile --cov --cov-report= --cov-fail-under=0
	mkdir -p $(VENV)/without-jit
	NUMBA_DISABLE_JIT=1 $(BIN)/coverage run --append $(WITHOUT_JIT) $(VENV)/without-jit
	$(BIN)/coverage report

# BLAS for processors with AVX2, without kernels compiled anew; then BLAS and compiled kernels for those with SSE alone,
# optimised less, which changes last bits once more and compiles faster. Two at a time: make -j2 kernels
kernels: kernels-avx2 kernels-sse

kernels-avx2: $(VENV)/.tested
	OPENBLAS_CORETYPE=Haswell $(BIN)/python -m pytest $(call marked,runs) $(HANGS)

kernels-sse: $(VENV)/.tested
	NOISYSIM_CACHE=$(VENV)/generic OPENBLAS_CORETYPE=Nehalem NUMBA_CPU_NAME=generic NUMBA_OPT=1 \
	$(BIN)/python -m pytest $(call marked,runs) $(HANGS)

check: $(VENV)/.tested
	$(BIN)/ruff check .
	$(BIN)/ruff format --check --quiet .
	$(BIN)/mypy
	$(BIN)/pip check

wheel: $(VENV)/wheel/.built

$(VENV)/wheel/.built: $(VENV)/.installed $(PACKAGED)
	rm -rf $(VENV)/wheel
	$(BIN)/pip wheel --quiet --no-deps --wheel-dir $(VENV)/wheel .
	touch $@

minimum: wheel
	.ci/on-python 3.10 $(BIN)/pip $(VENV)/wheel/*.whl tests/constraints-minimum.txt

pythons: minimum
	for version in $(PYTHONS); do .ci/on-python $$version $(BIN)/pip $(VENV)/wheel/*.whl || exit 1; done

audit: $(VENV)/.tested
	.ci/audit $(VENV)

docs: $(VENV)/.documented $(VENV)/.tested
	$(BIN)/mypy docs/_ext/*.py
	$(BIN)/sphinx-build -W --keep-going -b html docs docs/_build/html

speed: $(VENV)/.tested
	$(BIN)/python -m benchmarks.speed

# beside PyTorch, which the package does not depend on, in an environment of its own
speed-torch: $(VENV)/torch/.installed
	$(VENV)/torch/bin/python -m benchmarks.speed torch

# CUDA=cuda13 for CUDA 13; what fails does not keep the rest from being measured
gpu: $(VENV)/.$(CUDA)
	@$(BIN)/python -c 'from noisysim.compute import gpu; exit(gpu.missing() or gpu.SIMULATED and "the simulator is on")'
	$(MAKE) --keep-going gpu-tests gpu-speed gpu-papers

gpu-tests:
	$(BIN)/python -c 'from noisysim.runs.environment import describe; print(*describe("cuda").items(), sep="\n")' > $(GPU_TESTS)
	$(BIN)/python -m pytest -m gpu --quiet --tb=short | tee -a $(GPU_TESTS)

gpu-speed:
	$(BIN)/python -m benchmarks.speed gpu --save

gpu-papers:
	$(BIN)/noisysim reproduce $(GPU_PAPERS) --backend cuda --seeds 3 --out benchmarks/papers/results/gpu

# nothing is installed: there may be no network
gpu-short: links
	$(PYTHON) -m benchmarks.gpu_short

# devices/ and benchmarks/papers/ are packages of noisysim; the links show them to type checkers and editors
.PHONY: links
links:
	ln -sfn ../../devices noisysim/devices/models
	ln -sfn ../benchmarks/papers noisysim/papers

$(VENV)/.created:
	$(PYTHON) -m venv $(VENV)
	touch $@

$(VENV)/.installed: setup.cfg pyproject.toml $(VENV)/.created | links
	$(BIN)/pip install --quiet --disable-pip-version-check --editable .
	touch $@

# with all that .installed has
$(VENV)/.tested: setup.cfg pyproject.toml $(VENV)/.created | links
	$(BIN)/pip install --quiet --disable-pip-version-check --editable ".[test,sweep,parquet]"
	touch $(VENV)/.installed $@

# what compiles kernels without a GPU, beside all that is in $(VENV)
$(VENV)/compile/.installed: $(VENV)/.tested
	$(BIN)/python -m venv --without-pip $(VENV)/compile
	$(BIN)/python -c 'import sysconfig; print("import site; site.addsitedir(%r)" % sysconfig.get_path("purelib"))' \
		>"$$(echo $(VENV)/compile/lib/python3*/site-packages)/beside.pth"
	$(BIN)/pip --python $(VENV)/compile/bin/python install --quiet --disable-pip-version-check "$(NUMBA_CUDA)"
	touch $@

$(VENV)/torch/.installed: $(VENV)/.installed
	$(PYTHON) -m venv $(VENV)/torch
	$(VENV)/torch/bin/pip install --quiet --disable-pip-version-check --editable . $(TORCH)
	touch $@

$(VENV)/.documented: $(VENV)/.installed
	$(BIN)/pip install --quiet --disable-pip-version-check --editable ".[docs,sweep]"
	touch $@

$(VENV)/.$(CUDA): $(VENV)/.tested
	$(BIN)/pip install --quiet --disable-pip-version-check --editable ".[test,$(CUDA)]"
	touch $@
