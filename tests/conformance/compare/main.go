// Command compare reads what one suite printed under runc and under spin, and says
// where they differ. It fails for each test that passes under runc and not under
// spin, unless the table of exceptions has it, and for each exception that is not
// needed any more.
//
// Usage: compare SUITE EXCEPTIONS RUNC-RESULTS SPIN-RESULTS
package main

import (
	"fmt"
	"io"
	"os"
	"slices"
)

func main() {
	if len(os.Args) != 5 {
		fmt.Fprintln(os.Stderr, "usage: compare SUITE EXCEPTIONS RUNC-RESULTS SPIN-RESULTS")
		os.Exit(2)
	}
	failed, err := run(os.Stdout, os.Args[1], os.Args[2], os.Args[3], os.Args[4])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	if failed > 0 {
		os.Exit(1)
	}
}

// run compares and returns the number of faults.
func run(out io.Writer, suite, table, runcFile, spinFile string) (int, error) {
	exceptions, err := readExceptions(table, suite)
	if err != nil {
		return 0, err
	}
	runc, err := readResults(runcFile)
	if err != nil {
		return 0, err
	}
	spin, err := readResults(spinFile)
	if err != nil {
		return 0, err
	}
	fmt.Fprintf(out, "%s with runc: %s\n%s with spin: %s\n", suite, runc.counts(), suite, spin.counts())
	found := judge(runc, spin, exceptions)
	for _, name := range found.excused {
		fmt.Fprintf(out, "test %s: %s: passes with runc alone: %s\n", suite, name, exceptions[name].reason)
	}
	for _, name := range found.broken {
		fmt.Fprintf(out, "test %s: %s: passes with runc alone ... FAILED\n", suite, name)
	}
	for _, name := range found.needless {
		fmt.Fprintf(out, "test %s: %s: is an exception and does not differ ... FAILED\n", suite, name)
	}
	faults := len(found.broken) + len(found.needless)
	word := "ok"
	if faults > 0 {
		word = "FAILED"
	}
	fmt.Fprintf(out, "test result: %s. %d passed; %d failed\n", word, len(found.passed), faults)
	return faults, nil
}

// verdict holds names of tests, each list in alphabetical order.
type verdict struct {
	// pass under spin
	passed []string
	// pass under runc and not under spin: with an exception, without
	excused, broken []string
	// have an exception that must always be needed, and do not differ
	needless []string
}

func judge(runc, spin results, exceptions map[string]exception) verdict {
	var found verdict
	for name, outcome := range runc {
		_, known := exceptions[name]
		switch {
		case outcome != passes || spin[name] == passes:
		case known:
			found.excused = append(found.excused, name)
		default:
			found.broken = append(found.broken, name)
		}
	}
	for name, outcome := range spin {
		if outcome == passes {
			found.passed = append(found.passed, name)
		}
	}
	for name, exception := range exceptions {
		if !exception.sometimes && !slices.Contains(found.excused, name) {
			found.needless = append(found.needless, name)
		}
	}
	for _, list := range [][]string{found.passed, found.excused, found.broken, found.needless} {
		slices.Sort(list)
	}
	return found
}
