# `make run` and `make test`, and `make judges` where Go is at hand. The rest is a part of them, or takes too long for them:
# `make help` lists it.

TOOLS := $(CURDIR)/.tools/venv/bin
CARGO ?= cargo
# The parts of `make test`, in order.
TESTS := parts lint docs policy unit chart monitoring instructions bench-smoke image

.PHONY: help run test judges release bench deb fuzz screenshot front mutants clean $(TESTS)

run: ## Build and start on config.toml: no account anywhere
	$(CARGO) run --locked -- --config config.toml

test: ## Install what the tests need, and run all parts: $(TESTS)
	tests/run $(TESTS)

judges: parts ## Build programs written in Go, once, and test with them: oauth2-proxy in front, Centrifugo and LiveKit behind
	tests/judges/go/build
	$(CARGO) nextest run --locked --profile judges --test it

help: ## List the targets
	@sed -n 's/$$(TESTS)/$(TESTS)/; s/^\([a-z-]*\):[^#]*## \(.*\)/  \1\t\2/p' Makefile | expand -t 16

parts: ## Install proxies, chat servers and their libraries, JOSE libraries, chart and image tools
	tests/install-parts

lint: ## Formatting, and Clippy without warnings
	$(CARGO) fmt --check
	$(CARGO) clippy --locked --all-targets -- -D warnings

docs: ## API documentation without warnings
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

monitoring: ## Alerts, runbooks and dashboard: promtool, a second parser, a real Prometheus that scrapes real processes
	$(CARGO) build --locked
	$(TOOLS)/python tests/monitoring/test_rules.py
	SIDEMINT_BIN=$(CURDIR)/target/debug/sidemint $(TOOLS)/python tests/monitoring/test_live.py

image: ## The Dockerfile, built and run
	PROFILE=dev tests/image/run.sh

release: ## The release build, and the small servers that benchmarks compare it with
	$(CARGO) build --locked --release
	cp Cargo.lock benches/peers/rust/Cargo.lock
	$(CARGO) build --release --manifest-path benches/peers/rust/Cargo.toml

instructions: release ## Instructions per warm request: a gate that does not depend on the load of the machine
	python3 benches/instructions.py target/release/sidemint benches/peers/rust/target/release/floor_warp

bench-smoke: release ## Each part of the benchmarks for a second, to see that it runs
	BENCH_SMOKE=1 SIDEMINT=$(CURDIR)/target/release/sidemint python3 benches/run.py

bench: ## One table of ratios, side by side in one run
	benches/run.sh

deb: ## Make a Debian package of the release build, in target/
	$(CARGO) build --locked --release
	packaging/deb target/release/sidemint target

SECONDS_EACH ?= 20

fuzz: parts ## libFuzzer on every target, for SECONDS_EACH seconds; crashes are written to fuzz/artifacts
	tests/fuzz $(SECONDS_EACH)

screenshot: parts ## Take the pictures of the documents again: examples/login-chain and the status page
	$(CARGO) build --locked
	node tests/parts/screenshot.mjs

front: ## Make the pictures of the documents again, and copy the figures of benches/report/results.json into them
	python3 docs/drawn/draw.py

mutants: parts ## Remove one check at a time, and see the test fail that is named for it
	tests/mutants/run.py

clean: ## Remove everything that was built or installed here
	$(CARGO) clean
	rm -rf .tools
