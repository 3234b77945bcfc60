#!/usr/bin/env bash
# Checks the mailbox against interleavings of its threads, with loom: `src/mailbox/loom_tests`.
#
#   tests/loom.sh            at most 2 preemptions in each run: what CI does
#   tests/loom.sh full       at most 3, which takes much longer
#   tests/loom.sh N [TEST]   at most N
set -euo pipefail
cd "$(dirname "$0")/.."

bound=${1:-2}
[ "$bound" = full ] && bound=3
export LOOM_MAX_PREEMPTIONS=$bound LOOM_MAX_BRANCHES=10000
export CARGO_PROFILE_RELEASE_LTO=off
export RUSTFLAGS="--cfg postroom_loom ${RUSTFLAGS:-}" CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-target}/loom

exec cargo test --locked --release --no-default-features --lib "loom_tests::${2:-}"
