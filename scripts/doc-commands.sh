# shellcheck shell=bash disable=SC2034
# For tests that type what the documents say: sourced from the repository's root.

# commands_in FILE HEADING: the lines of the first block of commands below the heading, without comments.
commands_in() {
  awk -v heading="$2" 'index($0, heading) {found = 1} found && /^```/ {if (inside) exit; inside = 1; next} inside' "$1" | sed 's/ *#.*//'
}

# check NAME COMMAND...: one test; its line is as `go test -v` prints it. Sets failed=1 where the command fails, and shows what it printed.
failed=0
check() {
  local name=$1 said
  shift
  if said=$("$@" 2>&1 </dev/null); then
    echo "--- PASS: $name"
  else
    printf -- '--- FAIL: %s\n%s\n' "$name" "$said"
    failed=1
  fi
}
