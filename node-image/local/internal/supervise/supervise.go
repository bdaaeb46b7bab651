// Package supervise keeps a node's programs running.
package supervise

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

const (
	// between the end of a program and its next start
	pause = 500 * time.Millisecond
	// between SIGTERM and SIGKILL when the node stops; docker stop allows 10 s in all
	patience = 4 * time.Second
)

// Group is a set of programs that run until its context ends.
type Group struct {
	ctx     context.Context
	logs    string
	running sync.WaitGroup
}

// New returns a group that writes what its programs say to LOGS/NAME.log.
func New(ctx context.Context, logs string) (*Group, error) {
	if err := os.MkdirAll(logs, 0o755); err != nil {
		return nil, err
	}
	return &Group{ctx: ctx, logs: logs}, nil
}

// Keep runs a program, named by the first of argv, and starts it again whenever
// it ends.
func (g *Group) Keep(argv ...string) {
	name := filepath.Base(argv[0])
	g.running.Go(func() {
		for g.ctx.Err() == nil {
			err := g.once(name, argv)
			if g.ctx.Err() != nil {
				return
			}
			log.Printf("%s ended (%v), starting it again", name, ending(err))
			select {
			case <-g.ctx.Done():
			case <-time.After(pause):
			}
		}
	})
}

// Wait returns when the context has ended and every program with it.
func (g *Group) Wait() { g.running.Wait() }

func (g *Group) once(name string, argv []string) error {
	output, err := os.OpenFile(filepath.Join(g.logs, name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer output.Close()
	command := exec.CommandContext(g.ctx, argv[0], argv[1:]...)
	command.Stdout, command.Stderr = output, output
	// a group of its own, so that nothing sent to this process's group ends it
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	command.Cancel = func() error { return command.Process.Signal(syscall.SIGTERM) }
	command.WaitDelay = patience
	return command.Run()
}

func ending(err error) string {
	if err == nil {
		return "exit status 0"
	}
	return err.Error()
}

// Until polls a condition until it holds. It fails when the context ends, or
// after the limit, with the condition's last error.
func Until(ctx context.Context, limit time.Duration, what string, condition func() error) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for {
		err := condition()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s: %w", what, errors.Join(ctx.Err(), err))
		case <-time.After(100 * time.Millisecond):
		}
	}
}
