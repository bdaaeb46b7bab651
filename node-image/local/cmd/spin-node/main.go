// Command spin-node is what the k3s program is in an image of k3s: `k3s server`
// runs the control plane and a kubelet, `k3s agent` a kubelet alone. The image
// has it as /bin/k3s, where k3d's entrypoint calls it.
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"os/signal"
	"syscall"

	"spin-node/internal/node"
)

func main() {
	log.SetFlags(log.Ltime)
	settings, err := node.NewSettings(os.Args[1:], os.Getenv)
	if err != nil {
		fmt.Fprintln(os.Stderr, "spin-node:", err)
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if err := node.Run(ctx, settings); err != nil {
		fmt.Fprintln(os.Stderr, "spin-node:", err)
		os.Exit(1)
	}
}
