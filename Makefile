# Two commands: `make run` and `make test`. Everything else is a part of them, or for benchmarks.

TOOLS := $(CURDIR)/.tools/venv/bin
CARGO ?= cargo

.PHONY: run test check lint docs policy unit chart image instructions bench fuzz mutants parts screenshot clean

run: ## Build and start on config.toml: no account anywhere
	$(CARGO) run --locked -- --config config.toml

test: parts lint docs policy unit chart instructions image ## Install what the tests need, and run all of them

parts: ## Real parts: proxies, chat servers, their libraries, JOSE libraries, chart and image tools
	tests/install-parts

lint:
	$(CARGO) fmt --check
	$(CARGO) clippy --locked --all-targets -- -D warnings

docs:
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --no-deps --document-private-items

policy: ## Licences, bans and sources; known vulnerabilities where a database is at hand
	$(TOOLS)/cargo-deny deny --locked check bans licenses sources
	$(TOOLS)/cargo-shear
	tests/audit

unit: ## Unit, property and integration tests
	$(CARGO) build --locked
	$(CARGO) nextest run --locked
	$(CARGO) test --locked --doc

chart: ## The chart through the real Helm engine, against Kubernetes schemas and our own `check`
	$(CARGO) build --locked
	CI=1 SIDEMINT_BIN=$(CURDIR)/target/debug/sidemint $(TOOLS)/python tests/chart/test_chart.py

image: ## The Dockerfile, really built and run
	PROFILE=dev tests/image/run.sh

instructions: ## Instructions per warm request: a gate that does not depend on the machine's mood
	$(CARGO) build --locked --release
	cp Cargo.lock benches/peers/rust/Cargo.lock
	$(CARGO) build --release --manifest-path benches/peers/rust/Cargo.toml
	python3 benches/instructions.py target/release/sidemint benches/peers/rust/target/release/floor_warp

bench: ## One table of ratios, side by side in one run
	benches/run.sh

SECONDS_EACH ?= 20

fuzz: parts ## libFuzzer on every target, for SECONDS_EACH seconds; crashes are written to fuzz/artifacts
	tests/fuzz $(SECONDS_EACH)

screenshot: parts ## The picture of examples/login-chain in the documents, taken anew
	$(CARGO) build --locked
	node tests/parts/screenshot.mjs

mutants: parts ## Removes one check at a time, and sees the test fail that is named for it
	tests/mutants/run.py

clean:
	$(CARGO) clean
	rm -rf .tools
