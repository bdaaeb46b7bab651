// Package reaper is what PID 1 of a container owes its processes: it passes
// signals on to the one it starts and reaps the orphans that become its children,
// container shims above all, which outlive the containerd that started them.
package reaper

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

// Run starts argv and returns its exit status once it has ended; 128 + n for
// signal n, as shells count. Nothing else in this process may wait for children.
func Run(argv []string) (int, error) {
	// before the start, so that no child's end is missed
	signals := make(chan os.Signal, 64)
	signal.Notify(signals, syscall.SIGCHLD, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
	child, err := syscall.ForkExec(argv[0], argv, &syscall.ProcAttr{
		Env: os.Environ(), Files: []uintptr{0, 1, 2},
		// a group of its own: a terminal's Ctrl-C then arrives once, through here
		Sys: &syscall.SysProcAttr{Setpgid: true},
	})
	if err != nil {
		return 0, fmt.Errorf("start %s: %w", argv[0], err)
	}
	for s := range signals {
		if s != syscall.SIGCHLD {
			_ = syscall.Kill(child, s.(syscall.Signal))
			continue
		}
		if status, ended := reap(child); ended {
			return status, nil
		}
	}
	panic("unreachable: signals is never closed")
}

// reap collects every process that has ended. Several ends may share one SIGCHLD.
func reap(child int) (status int, ended bool) {
	for {
		var wait syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &wait, syscall.WNOHANG, nil)
		switch {
		case errors.Is(err, syscall.EINTR):
			continue
		case pid <= 0 || err != nil:
			return status, ended
		case pid == child && wait.Signaled():
			status, ended = 128+int(wait.Signal()), true
		case pid == child:
			status, ended = wait.ExitStatus(), true
		}
	}
}
