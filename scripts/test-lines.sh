# shellcheck shell=bash disable=SC2034
# For tests that are scripts: to be sourced. They print their lines as `go test -v` does, and end with `exit "$failed"`.
failed=0

# check NAME COMMAND...: one test, which fails where the command does, and then shows what it printed.
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

# For `check`: two texts are the same, a text is empty. They print the texts otherwise.
same() { [ "$1" = "$2" ] || { printf 'before:\n%s\nafter:\n%s\n' "$1" "$2"; return 1; }; }
none() { [ -z "$1" ] || { echo "$1"; return 1; }; }
