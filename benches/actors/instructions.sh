#!/usr/bin/env bash
# Instructions for each operation on a current-thread runtime, the scheduler included, and their ratio to the
# hand-written actor's, counted by valgrind's callgrind as the difference between two runs.
#
#   ./instructions.sh [LIBRARY...]    names as `actors --help` shows them; by default postroom, hand and tas46
set -euo pipefail
cd "$(dirname "$0")"

command -v valgrind >/dev/null || { echo "valgrind is not installed: nothing was counted" >&2; exit 1; }
cargo build --release --locked --quiet
program=target/release/actors

libraries=("$@")
if [ ${#libraries[@]} -eq 0 ]; then
  libraries=("postroom always-queued" "postroom as shipped" "postroom direct" "tas46")
fi
few=2000 many=12000

counted() { # library, kind, operations
  valgrind --tool=callgrind --callgrind-out-file=/dev/null \
    "$program" instructions --lib "$1" --kind "$2" --ops "$3" 2>&1 >/dev/null |
    sed -n 's/^==[0-9]*== Collected : \([0-9]*\).*/\1/p'
}

each() { # library, kind
  local begin end
  begin=$(counted "$1" "$2" $few)
  end=$(counted "$1" "$2" $many)
  if [ -z "$begin" ] || [ -z "$end" ]; then
    echo "callgrind counted nothing for $1, $2" >&2
    return 1
  fi
  echo $(((end - begin) / (many - few)))
}

kinds=(ask queued tell life)
declare -A hand
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
