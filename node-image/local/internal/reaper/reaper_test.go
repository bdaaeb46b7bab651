package reaper

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

// The reaper waits for every child of its process, so it runs in one of its own:
// this test binary again.
func TestMain(m *testing.M) {
	if script := os.Getenv("REAPER_TEST_SCRIPT"); script != "" {
		status, err := Run([]string{"/bin/sh", "-c", script})
		if err != nil {
			panic(err)
		}
		os.Exit(status)
	}
	os.Exit(m.Run())
}

func reaped(script string) (string, int) {
	command := exec.Command("/proc/self/exe")
	command.Env = append(os.Environ(), "REAPER_TEST_SCRIPT="+script)
	output, _ := command.Output()
	return strings.TrimSpace(string(output)), command.ProcessState.ExitCode()
}

func TestTheStatusOfTheChildIsReturned(t *testing.T) {
	if _, status := reaped("exit 7"); status != 7 {
		t.Errorf("status %d", status)
	}
	if _, status := reaped("kill -9 $$"); status != 137 {
		t.Errorf("killed: status %d", status)
	}
}

func TestASignalIsPassedOn(t *testing.T) {
	output, status := reaped(`trap 'echo asked; exit 3' TERM; kill -TERM $PPID; while :; do sleep 0.01; done`)
	if output != "asked" || status != 3 {
		t.Errorf("output %q, status %d", output, status)
	}
}

func TestAnotherChildIsReapedWithoutEndingTheRun(t *testing.T) {
	output, status := reaped(`(sleep 0.01 &); sleep 0.2; echo still here; exit 5`)
	if output != "still here" || status != 5 {
		t.Errorf("output %q, status %d", output, status)
	}
}
