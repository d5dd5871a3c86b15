# mailfleet. `make` alone lists what there is.
CARGO ?= cargo
DEMO_FLAGS = $(if $(KEEP),--keep) $(DEMO)

.DEFAULT_GOAL := help

.PHONY: help
help: ## List the targets with their purpose
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

.PHONY: demo
demo: ## Deliver real mails over IMAP, run the fleet on private servers, show what arrived (KEEP=1 stays up)
	@scripts/packages.sh demo
	$(CARGO) build --locked --bins
	target/debug/mailfleet demo $(DEMO_FLAGS)

.PHONY: test
test: packages python nextest ## Run the whole suite on real, private servers
	$(CARGO) build --locked --workspace --bins
	$(CARGO) nextest run --locked --workspace
	$(CARGO) test --locked --workspace --doc

.PHONY: test-slow
test-slow: packages python nextest ## Run the suite with long fault runs, then the queue's own on a Redis Cluster
	$(CARGO) build --locked --workspace --bins
	MAILFLEET_SLOW=1 $(CARGO) nextest run --locked --workspace --profile slow
	MAILFLEET_TEST_REDIS=cluster $(CARGO) nextest run --locked -p mailfleet-queue --test it --profile slow

DURATION ?= 60

.PHONY: chaos
chaos: packages nextest ## Faults in random order for DURATION=60 seconds; SEED=… runs a plan again
	$(CARGO) build --locked --workspace --bins
	CHAOS_SECONDS=$(DURATION) CHAOS_SEED=$(SEED) $(CARGO) nextest run --locked -p mailfleet-tests --profile chaos --no-capture -E 'test(/^chaos::/)'

.PHONY: bench-queue
bench-queue: packages ## Measure the queue alone, beside BullMQ where it can be had (BENCH="--jobs 200000" and others)
	@scripts/rivals.sh
	$(CARGO) run --locked --release --quiet -p mailfleet-bench -- $(BENCH)

.PHONY: bench-mime
bench-mime: nextest ## Measure how fast mail is read, and hold mail made to hurt to 50 ms for each MiB
	$(CARGO) nextest run --locked --release -p mailfleet-mime --test hostile
	$(CARGO) test --locked --release --quiet -p mailfleet-mime --test allocations -- --nocapture
	$(CARGO) bench --locked -p mailfleet-mime --bench parse

.PHONY: bench
bench: bench-queue bench-mime ## All of them

.PHONY: fuzz
fuzz: ## Feed the mail reader with made-up bytes, each target for DURATION=60 seconds (needs a nightly toolchain)
	@scripts/fuzz.sh $(DURATION)

.PHONY: golden
golden: nextest ## Write down anew what is read out of the mails of tests/corpus; read the difference before you commit it
	MAILFLEET_GOLDEN_WRITE=1 $(CARGO) nextest run --locked -p mailfleet-mime --test golden

.PHONY: check
check: fmt-check clippy doc ## Format, clippy and docs, all without a warning

.PHONY: fmt
fmt: ## Format the code
	$(CARGO) fmt --all

.PHONY: fmt-check
fmt-check: ## Check the format
	$(CARGO) fmt --all --check

.PHONY: clippy
clippy: ## Lint everything, warnings are errors
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings

.PHONY: doc
doc: ## Build the API documentation, warnings are errors
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --workspace --no-deps

.PHONY: packages
packages: ## Install the Debian packages that the tests need, where missing
	@scripts/packages.sh

.PHONY: nextest
nextest: ## Install the test runner, where missing
	@scripts/nextest.sh

.PHONY: python
python: ## Install what checks the manifests of deploy/ into target/python, where missing
	@scripts/python.sh

.PHONY: clean
clean: ## Remove what was built and what the demo left
	$(CARGO) clean
	rm -rf .local
