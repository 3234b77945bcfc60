#!/usr/bin/env bash
# Runs the runtime's tests under valgrind's memcheck: no invalid access, no use of what was never written, no leak.
#
#   tests/memcheck.sh             the tests of one actor and its mailbox, with reduced counts
#   tests/memcheck.sh all         every test of the runtime alone
#   tests/memcheck.sh NAME...     these modules of tests/actors
#
# Miri and the sanitizers need a nightly toolchain; with one, the same tests run by
#
#   MIRIFLAGS="-Zmiri-disable-isolation" cargo +nightly miri test --no-default-features --lib --test actors messages:: replies::
#   RUSTFLAGS=-Zsanitizer=address cargo +nightly test -Zbuild-std --target x86_64-unknown-linux-gnu --no-default-features
set -euo pipefail
cd "$(dirname "$0")/.."

command -v valgrind >/dev/null || { echo "valgrind is not installed: nothing was checked" >&2; exit 1; }
# Schedules and model cases, few of them: a program runs some 30 times slower.
export POSTROOM_CASES=${POSTROOM_CASES:-6} PROPTEST_CASES=${PROPTEST_CASES:-6}

modules=(asks backpressure endings messages replies restarts schedules)
# As the README's test command builds them, so that nothing is built twice.
features=--all-features
select=(--test actors)
case ${1:-} in
all) modules=() select=(--lib --tests) features=--no-default-features ;;
"") ;;
*) modules=("$@") ;;
esac

binaries=$(cargo test --locked "$features" "${select[@]}" --no-run --message-format=json |
  sed -n 's/.*"profile":{[^}]*"test":true.*"executable":"\([^"]*\)".*/\1/p')
[ -n "$binaries" ] || { echo "there is nothing to run" >&2; exit 1; }
for binary in $binaries; do
  printf '\n== %s (%ss)\n' "${binary##*/}" "$SECONDS"
  # What is still reachable at the end was made once for the whole process: thread-local and static values.
  valgrind --quiet --leak-check=full --show-leak-kinds=definite,indirect --errors-for-leak-kinds=definite,indirect \
    --suppressions=tests/memcheck.supp --error-exitcode=1 --fair-sched=yes --num-callers=40 "$binary" --test-threads=2 --quiet "${modules[@]/%/::}"
done
echo "no errors (${SECONDS}s)"
