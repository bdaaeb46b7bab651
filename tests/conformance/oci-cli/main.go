// Command oci-cli runs containers by containerd with the command line of runc, as far
// as runtime-tools' validation programs use it. The environment variable TEST_RUNTIME
// names containerd's runtime, such as io.containerd.runc.v2.
//
// Usage:
//
//	oci-cli create [--bundle DIR] [--pid-file FILE] ID
//	oci-cli start ID
//	oci-cli state ID
//	oci-cli kill ID SIGNAL
//	oci-cli delete ID
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/defaults"
	"github.com/moby/sys/signal"
	"github.com/opencontainers/runtime-spec/specs-go"
)

func main() {
	if err := run(context.Background(), os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

var errUsage = errors.New("usage: oci-cli create [--bundle DIR] [--pid-file FILE] ID | start|state|delete ID | kill ID SIGNAL")

func run(ctx context.Context, arguments []string) error {
	if len(arguments) < 2 {
		return errUsage
	}
	client, err := containerd.New(defaults.DefaultAddress, containerd.WithDefaultNamespace("default"))
	if err != nil {
		return err
	}
	defer client.Close()
	command, rest := arguments[0], arguments[1:]
	if command == "create" {
		flags := flag.NewFlagSet(command, flag.ContinueOnError)
		bundle := flags.String("bundle", ".", "directory with config.json")
		pidFile := flags.String("pid-file", "", "file that the init process's id is written to")
		if err := flags.Parse(rest); err != nil {
			return err
		}
		if flags.NArg() != 1 {
			return errUsage
		}
		return create(ctx, client, flags.Arg(0), *bundle, *pidFile)
	}
	container, err := client.LoadContainer(ctx, rest[0])
	if err != nil {
		return err
	}
	task, err := container.Task(ctx, nil)
	if err != nil {
		return err
	}
	switch {
	case command == "start" && len(rest) == 1:
		return task.Start(ctx)
	case command == "state" && len(rest) == 1:
		return printState(ctx, container, task)
	case command == "kill" && len(rest) == 2:
		number, err := signal.ParseSignal(rest[1])
		if err != nil {
			return err
		}
		return task.Kill(ctx, number)
	case command == "delete" && len(rest) == 1:
		if _, err := task.Delete(ctx); err != nil {
			return err
		}
		return container.Delete(ctx)
	}
	return errUsage
}

// printState writes the state of a container as the runtime specification defines it.
func printState(ctx context.Context, container containerd.Container, task containerd.Task) error {
	status, err := task.Status(ctx)
	if err != nil {
		return err
	}
	spec, err := container.Spec(ctx)
	if err != nil {
		return err
	}
	labels, err := container.Labels(ctx)
	if err != nil {
		return err
	}
	state := specs.State{
		Version:     specs.Version,
		ID:          container.ID(),
		Status:      specs.ContainerState(status.Status),
		Bundle:      labels[bundleLabel],
		Annotations: spec.Annotations,
	}
	if status.Status != containerd.Stopped {
		state.Pid = int(task.Pid())
	}
	return json.NewEncoder(os.Stdout).Encode(state)
}
