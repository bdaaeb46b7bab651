// Command loadbalancer stands in for k3d's load balancer: it passes connections
// on to the nodes that k3d names in a file.
package main

import (
	"context"
	"log"
	"os/signal"
	"syscall"

	"spin-node/internal/loadbalancer"
)

// configFile is where k3d writes which ports lead to which nodes.
const configFile = "/etc/confd/values.yaml"

func main() {
	log.SetFlags(log.Ltime)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	loadbalancer.New(log.Default()).Follow(ctx, configFile)
}
