package supervise

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func start(t *testing.T, script string) (*Group, context.CancelFunc, string) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	logs := t.TempDir()
	group, err := New(ctx, logs)
	if err != nil {
		t.Fatal(err)
	}
	group.Keep("/bin/sh", "-c", script)
	return group, cancel, filepath.Join(logs, "sh.log")
}

func untilSaid(t *testing.T, log, text string, times int) {
	t.Helper()
	err := Until(t.Context(), 5*time.Second, log, func() error {
		said, err := os.ReadFile(log)
		if n := strings.Count(string(said), text); err == nil && n < times {
			return fmt.Errorf("%q said %d times", text, n)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestAProgramThatEndsIsStartedAgain(t *testing.T) {
	group, cancel, log := start(t, "echo here; exit 1")
	untilSaid(t, log, "here", 2)
	cancel()
	group.Wait()
}

func TestTheEndOfTheGroupAsksItsProgramsToEnd(t *testing.T) {
	group, cancel, log := start(t, `trap 'echo asked; exit' TERM; echo here; while :; do sleep 0.01; done`)
	untilSaid(t, log, "here", 1)
	cancel()
	group.Wait()
	untilSaid(t, log, "asked", 1)
}

func TestAProgramThatDoesNotListenIsKilled(t *testing.T) {
	group, cancel, log := start(t, `trap '' TERM; echo here; while :; do sleep 0.01; done`)
	untilSaid(t, log, "here", 1)
	asked := time.Now()
	cancel()
	group.Wait()
	if took := time.Since(asked); took > patience+2*time.Second {
		t.Errorf("took %s", took)
	}
}

func TestAConditionThatNeverHoldsSaysWhy(t *testing.T) {
	reason := errors.New("no such socket")
	err := Until(t.Context(), 10*time.Millisecond, "containerd", func() error { return reason })
	if !errors.Is(err, reason) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}
