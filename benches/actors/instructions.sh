#!/usr/bin/env bash
# Instructions for each operation on a current-thread runtime, the scheduler included, and their ratio to the
# hand-written actor's, counted by valgrind's callgrind as the difference between two runs.
#
#   ./instructions.sh [LIBRARY...]    full names; by default postroom, hand and tas46
#   ./instructions.sh --check         the regression gate: fails where postroom costs more than is written below
#
# The gate leaves out what the system's allocator does: how long its lists are and when it merges them depends on
# everything that came before, so the same program costs it a fifth more on one machine than on another. How often it
# is called is gated by `tests/counts.rs`.
set -euo pipefail
cd "$(dirname "$0")"

# Ratios to the hand-written actor as they were last measured, without the allocator. A difference of 4 % is let
# through: another release of tokio or of the compiler moves both sides.
bounds() {
  cat <<'END'
postroom in place:ask:0.219
postroom in place:queued:0.301
postroom in place:tell:0.570
postroom in place:life:0.720
postroom always-queued:ask:0.916
postroom always-queued:queued:0.888
postroom always-queued:tell:0.798
postroom always-queued:life:1.005
END
}
margin=1.04

check=
if [ "${1:-}" = --check ]; then
  check=yes
  shift
fi
if ! command -v valgrind >/dev/null; then
  if [ -n "$check" ]; then
    echo "NOT RUN: the instructions were not checked, for valgrind is not installed" >&2
    exit 0
  fi
  echo "valgrind is not installed: nothing was counted" >&2
  exit 1
fi

features=()
if [ -n "$check" ]; then features=(--no-default-features); fi
cargo build --release --locked --quiet --bin instructions "${features[@]}"
program=${CARGO_TARGET_DIR:-target}/release/instructions
few=2000 many=12000
if [ -n "$check" ]; then few=500 many=4500; fi

# Counts only while one of these runs.
allocator=()
for function in malloc free calloc realloc posix_memalign aligned_alloc; do
  allocator+=("--toggle-collect=$function")
done

counted() { # library, kind, operations, options of callgrind...
  valgrind --tool=callgrind --callgrind-out-file=/dev/null "${@:4}" \
    "$program" --lib "$1" --kind "$2" --ops "$3" 2>&1 >/dev/null |
    sed -n 's/^==[0-9]*== Collected : \([0-9]*\).*/\1/p'
}

each() { # library, kind, options of callgrind...
  local begin end
  begin=$(counted "$1" "$2" $few "${@:3}")
  end=$(counted "$1" "$2" $many "${@:3}")
  if [ -z "$begin" ] || [ -z "$end" ]; then
    echo "callgrind counted nothing for $1, $2" >&2
    return 1
  fi
  echo $(((end - begin) / (many - few)))
}

without_allocator() { # library, kind
  local all inside
  all=$(each "$1" "$2")
  inside=$(each "$1" "$2" "${allocator[@]}")
  echo $((all - inside))
}

kinds=(ask queued tell life)
declare -A hand

if [ -n "$check" ]; then
  for kind in "${kinds[@]}"; do hand[$kind]=$(without_allocator hand "$kind"); done
  failed=
  while IFS=: read -r library kind bound; do
    instructions=$(without_allocator "$library" "$kind" </dev/null)
    verdict=$(awk -v a="$instructions" -v b="${hand[$kind]}" -v bound="$bound" -v margin=$margin \
      'BEGIN { ratio = a / b; printf "%.3f %s", ratio, ratio <= bound * margin ? "ok" : "TOO MUCH" }')
    printf '%-24s %-8s %6s to %5s by hand: %s, at most %s + 4 %%\n' \
      "$library" "$kind" "$instructions" "${hand[$kind]}" "$verdict" "$bound"
    case $verdict in *MUCH) failed=yes ;; esac
  done < <(bounds)
  [ -z "$failed" ] || { echo "postroom costs more instructions than it did" >&2; exit 1; }
  exit 0
fi

libraries=("$@")
if [ ${#libraries[@]} -eq 0 ]; then
  libraries=("postroom always-queued" "postroom in place" "postroom direct" "tas46")
fi
printf '%-24s' ""
for kind in "${kinds[@]}"; do printf '%18s' "$kind"; done
printf '\n%-24s' hand
for kind in "${kinds[@]}"; do
  hand[$kind]=$(each hand "$kind")
  printf '%18s' "${hand[$kind]} (1.00)"
done
printf '\n'
for library in "${libraries[@]}"; do
  printf '%-24s' "$library"
  for kind in "${kinds[@]}"; do
    instructions=$(each "$library" "$kind")
    ratio=$(awk -v a="$instructions" -v b="${hand[$kind]}" 'BEGIN { printf "%.2f", a / b }')
    printf '%18s' "$instructions ($ratio)"
  done
  printf '\n'
done
