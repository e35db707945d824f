# SPDX-License-Identifier: Apache-2.0
# What ./godwit and its parts share: messages, numbered steps with progress and a log, checks of the machine.
# shellcheck shell=bash

say() { printf '%s\n' "$*"; }
# One line that says what is wrong and what to do.
die() {
  printf 'godwit: %s\n' "$*" >&2
  exit 1
}

have() { command -v "$1" > /dev/null 2>&1; }

steps_total=0
steps_done=0
step_ticker=
step_line=

plan() { steps_total=$1; }

# Opens step n of m; note() closes it with a result where there is nothing to run.
begin() {
  steps_done=$((steps_done + 1))
  step_line="[$steps_done/$steps_total] $1"
}
note() { say "$step_line: $1"; }

stop_ticker() {
  [[ -n $step_ticker ]] || return 0
  kill "$step_ticker" 2> /dev/null || true
  wait "$step_ticker" 2> /dev/null || true
  step_ticker=
  if [[ -t 1 ]]; then printf '\r\e[K'; fi
}
trap stop_ticker EXIT

# Shows that something is going on: the elapsed time and the newest line of the log. On a terminal one line that is
# rewritten every second, elsewhere a line every half minute.
ticker() {
  local log=$1 start=$SECONDS newest columns
  columns=$(tput cols 2> /dev/null || printf 80)
  while sleep 1 > /dev/null 2>&1; do
    newest=$(tail -c 2000 "$log" 2> /dev/null | tr '\r' '\n' | grep -v '^ *$' | tail -n 1 || true)
    if [[ -t 1 ]]; then
      newest="$step_line  $((SECONDS - start)) s  $newest"
      printf '\r\e[K%s' "${newest:0:columns-1}"
    elif (((SECONDS - start) % 30 == 0)); then
      newest="  ... $((SECONDS - start)) s  $newest"
      printf '%s\n' "${newest:0:100}"
    fi
  done
}

# The reason that a log gives for a failure, if it is one that a user can do something about.
diagnose() {
  local log=$1 otherwise=$2
  if grep -q 'No space left on device' "$log"; then
    say 'the disk is full: free some space (df -h shows where) and run the command again'
  elif grep -qE 'Temporary failure resolving|Could not resolve|could not be fetched|Could not connect' "$log"; then
    say 'no network: check the connection (and http_proxy, if you need one) and run the command again'
  elif grep -qE 'Killed signal terminated program|virtual memory exhausted|out of memory' "$log"; then
    say 'not enough memory for so many compilers at once: run it again with GODWIT_JOBS=1 before the command'
  elif grep -q 'Could not get lock' "$log"; then
    say 'another program is installing packages: wait for it and run the command again'
  else
    say "$otherwise"
  fi
}

# run NAME OTHERWISE COMMAND...: runs the command of the step that was begun, its output in build/log/NAME.log.
# On failure shows the end of the log and what to do (OTHERWISE, unless the log tells a reason), and returns 1.
run() {
  local name=$1 otherwise=$2 log=build/log/$1.log start=$SECONDS status=0
  shift 2
  mkdir -p build/log 2> /dev/null || die "cannot write to $PWD/build: make it yours (ls -ld build shows whose it is)"
  : > "$log" || die "cannot write to $PWD/$log: free some space (df -h .) or make it yours (ls -l $log)"
  if [[ ! -t 1 ]]; then say "$step_line"; fi
  ticker "$log" &
  step_ticker=$!
  "$@" >> "$log" 2>&1 < /dev/null || status=$?
  stop_ticker
  if ((status == 0)); then
    if [[ -t 1 ]]; then say "$step_line: done ($((SECONDS - start)) s)"; else say "  done ($((SECONDS - start)) s)"; fi
    return 0
  fi
  {
    say "$step_line: failed ($((SECONDS - start)) s). Its first errors, and the end of the log:"
    { grep -m 3 -E '(error|Error|E): ' "$log" || true; say '...'; tail -n 15 "$log"; } | cut -c 1-300 | sed 's/^/  | /'
    say "godwit: $(diagnose "$log" "$otherwise") (the whole log: $log)"
  } >&2
  return 1
}

# need_space PATH MEGABYTES WHAT
need_space() {
  local free_mb
  free_mb=$(df -Pm "$1" 2> /dev/null | awk 'NR == 2 {print $4}')
  if [[ -n $free_mb ]] && ((free_mb < $2)); then
    die "$3 needs $2 MB of disk, $1 has $free_mb MB left: free some space (df -h shows where) and run it again"
  fi
}

# As many compilers as cores, but not more than memory allows (the largest files take close to 1 GB each).
job_count() {
  local cores memory_gb
  cores=$(nproc)
  memory_gb=$(awk '/^MemAvailable:/ {print int($2 / 1000000)}' /proc/meminfo)
  if [[ -n ${GODWIT_JOBS:-} ]]; then
    say "$GODWIT_JOBS"
  elif ((memory_gb >= cores)); then
    say "$cores"
  else
    say "$((memory_gb > 1 ? memory_gb : 1))"
  fi
}
