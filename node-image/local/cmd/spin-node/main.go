// Command spin-node is PID 1 of a node of the local cluster: `spin-node server`
// runs the control plane and a kubelet, `spin-node agent` a kubelet alone. It is
// for this project what the k3s program is for a k3s image.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"os/signal"
	"syscall"

	"spin-node/internal/node"
	"spin-node/internal/reaper"
)

// role's second argument when this program has started itself again below PID 1
const supervise = "--supervise"

func main() {
	log.SetFlags(log.Ltime)
	status, err := run(os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "spin-node:", err)
		os.Exit(max(status, 1))
	}
	os.Exit(status)
}

func run(args []string) (int, error) {
	switch {
	case len(args) == 1 && os.Getpid() == 1:
		return reaper.Run([]string{"/proc/self/exe", args[0], supervise})
	case len(args) != 2 || args[1] != supervise:
		return 2, errors.New("usage, as PID 1 of a container: spin-node server|agent")
	}
	settings, err := node.NewSettings(args[0], os.Getenv)
	if err != nil {
		return 2, err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	return 0, node.Run(ctx, settings)
}
