# The results of one of runtime-tools' validation programs as TAP, each with the program's name.
#
# Such a program prints TAP. One without any test prints `error:` where it fails. The programs whose
# names end in _fail want an error, and not the tests of a container that runs all the same.
#
# Usage: awk -v program=NAME -v code=EXIT-CODE -f results.awk OUTPUT
match($0, /^(not )?ok [0-9]+/) && program !~ /_fail$/ {
  tests++
  description = substr($0, RLENGTH + 1)
  sub(/^ -/, "", description)
  print substr($0, 1, RLENGTH) " - " program ":" description
}
/^ *error:|"error":/ { errors++ }
END { print (code == 0 && (tests || !errors) ? "ok " : "not ok ") tests + 1 " - " program }
