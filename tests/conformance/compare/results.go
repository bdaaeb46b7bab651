package main

import (
	"bufio"
	"bytes"
	"encoding/xml"
	"fmt"
	"os"
	"regexp"
	"strings"
)

// outcome is how a test ended. The zero value is that of a test that did not run.
type outcome int

const (
	missing outcome = iota
	passes
	fails
	skipped
)

// results are the outcomes of a suite's tests by their names.
type results map[string]outcome

func (r results) counts() string {
	count := map[outcome]int{}
	for _, outcome := range r {
		count[outcome]++
	}
	return fmt.Sprintf("%d passed, %d failed, %d skipped", count[passes], count[fails], count[skipped])
}

// add keeps one test. A name may occur several times: the later ones get a number.
func (r results) add(name string, outcome outcome) {
	unique := name
	for i := 2; r[unique] != missing; i++ {
		unique = fmt.Sprintf("%s #%d", name, i)
	}
	r[unique] = outcome
}

// readResults reads JUnit's XML as ginkgo writes it, the output of `go test -v`, or
// TAP. A file without any test is an error: then the suite did not run.
func readResults(file string) (results, error) {
	content, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	found := results{}
	if bytes.HasPrefix(content, []byte("<?xml")) {
		err = found.readJUnit(content)
	} else {
		err = found.readLines(content)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("%s: no test", file)
	}
	return found, nil
}

func (r results) readJUnit(content []byte) error {
	var report struct {
		Cases []struct {
			Name   string `xml:"name,attr"`
			Status string `xml:"status,attr"`
		} `xml:"testsuite>testcase"`
	}
	if err := xml.Unmarshal(content, &report); err != nil {
		return err
	}
	for _, test := range report.Cases {
		// other nodes are the suite's own, such as [BeforeSuite]; they have no outcome of their own
		name, found := strings.CutPrefix(test.Name, "[It] ")
		if !found {
			continue
		}
		switch test.Status {
		case "passed":
			r.add(name, passes)
		case "skipped", "pending":
			r.add(name, skipped)
		default: // failed, panicked, timedout, interrupted, aborted
			r.add(name, fails)
		}
	}
	return nil
}

var (
	goLine  = regexp.MustCompile(`^ *--- (PASS|FAIL|SKIP): (\S+) \(`)
	tapLine = regexp.MustCompile(`^(ok|not ok) +\d+ *-? *(.*?)(?: *# *(?i:(skip)).*)?$`)
	// a program that ends in a panic or at its time limit does not print how the test in work ended
	panicLine = regexp.MustCompile(`^(panic|fatal error): (.*)$`)
)

func (r results) readLines(content []byte) error {
	words := map[string]outcome{"PASS": passes, "FAIL": fails, "SKIP": skipped, "ok": passes, "not ok": fails}
	lines := bufio.NewScanner(bytes.NewReader(content))
	lines.Buffer(nil, 1<<24)
	for lines.Scan() {
		line := lines.Text()
		if match := goLine.FindStringSubmatch(line); match != nil {
			r.add(match[2], words[match[1]])
		} else if match := tapLine.FindStringSubmatch(line); match != nil {
			result := words[match[1]]
			if match[3] != "" {
				result = skipped
			}
			r.add(match[2], result)
		} else if match := panicLine.FindStringSubmatch(line); match != nil {
			return fmt.Errorf("the suite did not end: %s", match[2])
		}
	}
	return lines.Err()
}
