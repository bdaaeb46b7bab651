# shellcheck shell=bash
# To be sourced.

# wait_until SECONDS WHAT COMMAND...: until the command succeeds.
wait_until() {
  local limit=$((SECONDS + $1)) what=$2
  shift 2
  until "$@" >/dev/null 2>&1; do
    if [ "$SECONDS" -ge "$limit" ]; then
      echo "this did not come in time: $what; the last answer:" >&2
      "$@" >&2 || true
      return 1
    fi
    sleep 0.3
  done
}
