# The two commands of the README, and their parts.
.PHONY: demo demo-ci test bench setup build lint

## Installs what is missing, builds, starts an engine and two hosts, plays the story, and leaves it running until Ctrl-C.
demo: build
	scripts/demo

## The same story without a person: exits when it has been played, with its result.
demo-ci: build
	scripts/demo --once

## Runs every test: lints, units, contracts, and whole stories on real kernels and real libvirt.
test: setup
	scripts/test

## Measures the agent's release build against floors of the same run (docs/benchmarks.md); takes root.
bench: setup
	cargo build --locked --release -p host-agent --bin host-agent -p integration-tests --bin host-benchmark
	target/release/host-benchmark

setup:
	@command -v cargo >/dev/null || { echo "Trestle needs a Rust toolchain (cargo 1.90 or newer): install it and run this again" >&2; exit 1; }
	scripts/setup

build: setup
	cargo build --locked --workspace --bins

lint:
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings
