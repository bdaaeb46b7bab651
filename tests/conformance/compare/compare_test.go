package main

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const junit = `<?xml version="1.0" encoding="UTF-8"?>
<testsuites><testsuite>
<testcase name="[SynchronizedBeforeSuite]" status="passed"></testcase>
<testcase name="[It] starts" status="passed"></testcase>
<testcase name="[It] stops" status="timedout"><failure></failure></testcase>
<testcase name="[It] stops" status="skipped"></testcase>
</testsuite></testsuites>`

const goTest = `=== RUN   TestStart
--- PASS: TestStart (0.10s)
    --- FAIL: TestStart/twice (0.00s)
--- SKIP: TestStop (0.00s)
`

const tap = `TAP version 13
ok 1 - mounts are there
not ok 2 - hostname is set
ok 3 # SKIP no cgroup
`

func written(t *testing.T, name, content string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestResultsOfEachFormatAreRead(t *testing.T) {
	for name, content := range map[string]string{"JUnit": junit, "go test": goTest, "TAP": tap} {
		found, err := readResults(written(t, "results", content))
		if err != nil {
			t.Fatal(err)
		}
		if counts := found.counts(); counts != "1 passed, 1 failed, 1 skipped" {
			t.Errorf("%s: %s", name, counts)
		}
	}
}

func TestSuiteThatDidNotRunOrEndIsAnError(t *testing.T) {
	for _, content := range []string{"", "building\n", goTest + "panic: test timed out after 15m0s\n"} {
		if _, err := readResults(written(t, "a.log", content)); err == nil {
			t.Errorf("no error for %q", content)
		}
	}
}

// compared runs compare for a suite in which runc passes and spin ends as `spin` says.
func compared(t *testing.T, spin, exceptions string) (int, string) {
	t.Helper()
	var out strings.Builder
	runc := written(t, "runc.log", "--- PASS: TestStart (0.1s)\n--- PASS: TestStop (0.1s)\n")
	faults, err := run(&out, "client", written(t, "exceptions", exceptions), runc, written(t, "spin.log", spin))
	if err != nil {
		t.Fatal(err)
	}
	return faults, out.String()
}

func TestTestThatPassesUnderRuncAloneIsAFault(t *testing.T) {
	for _, end := range []string{"--- FAIL: TestStop (0.1s)\n", "--- SKIP: TestStop (0.1s)\n", ""} {
		faults, out := compared(t, "--- PASS: TestStart (0.1s)\n"+end, "")
		if faults != 1 || !strings.Contains(out, "TestStop: passes with runc alone ... FAILED") {
			t.Errorf("%d faults after %q:\n%s", faults, end, out)
		}
	}
}

func TestExceptionExcusesItsTestInItsSuiteAlone(t *testing.T) {
	spin := "--- PASS: TestStart (0.1s)\n--- FAIL: TestStop (0.1s)\n"
	if faults, out := compared(t, spin, "client\tTestStop\talways\ta reason\n"); faults != 0 {
		t.Error(out)
	}
	if faults, out := compared(t, spin, "critest\tTestStop\talways\ta reason\n"); faults != 1 {
		t.Error(out)
	}
}

func TestExceptionThatIsNotNeededIsAFault(t *testing.T) {
	spin := "--- PASS: TestStart (0.1s)\n--- PASS: TestStop (0.1s)\n"
	for _, test := range []string{"TestStop", "TestGone"} {
		if faults, out := compared(t, spin, "client\t"+test+"\talways\ta reason\n"); faults != 1 {
			t.Error(out)
		}
	}
}

func TestExceptionThatIsSometimesNeededMayPass(t *testing.T) {
	for _, end := range []string{"PASS", "FAIL"} {
		spin := "--- PASS: TestStart (0.1s)\n--- " + end + ": TestStop (0.1s)\n"
		if faults, out := compared(t, spin, "client\tTestStop\tsometimes\ta race\n"); faults != 0 {
			t.Error(out)
		}
	}
}

func TestIncompleteExceptionIsAnError(t *testing.T) {
	results := written(t, "results", goTest)
	for _, line := range []string{"client\tTestStop\talways\t\n", "client\tTestStop\ta reason\n", "client TestStop always reason\n"} {
		if _, err := run(io.Discard, "client", written(t, "exceptions", line), results, results); err == nil {
			t.Errorf("no error for %q", line)
		}
	}
}
