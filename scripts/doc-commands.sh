# shellcheck shell=bash
# For tests that type the commands of documents: to be sourced.

# commands_in FILE HEADING: the lines of the first block of commands below the heading, without comments.
commands_in() {
  awk -v heading="$2" 'index($0, heading) {found = 1} found && /^```/ {if (inside) exit; inside = 1; next} inside' "$1" | sed 's/ *#.*//'
}
