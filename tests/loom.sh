#!/usr/bin/env bash
# Checks the mailbox against the interleavings of its threads, with loom: `src/mailbox/loom_tests`.
#
#   tests/loom.sh            at most 2 preemptions in each run, 1 or none in the largest tests: what CI does
#   tests/loom.sh full       at most 3, 2 and 1, which takes much longer
#   tests/loom.sh N [TEST]   at most N
set -euo pipefail
cd "$(dirname "$0")/.."

bound=${1:-2}
[ "$bound" = full ] && bound=3
export LOOM_MAX_PREEMPTIONS=$bound LOOM_MAX_BRANCHES=10000
export RUSTFLAGS="--cfg postroom_loom ${RUSTFLAGS:-}"
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-target}/loom
# One test at a time: two would wait for each other at the maps of their threads' stacks.
exec cargo test --locked --release --manifest-path tests/loom/Cargo.toml "loom_tests::${2:-}" -- --test-threads=1
