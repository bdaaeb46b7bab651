// Package flanneld gives every node its pod subnet and the routes to the others,
// with flannel's packages and the Kubernetes subnet manager. flannel's own main
// package is of no use here: it imports cloud backends whose modules the module
// proxy does not serve.
package flanneld

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"github.com/flannel-io/flannel/pkg/backend"
	_ "github.com/flannel-io/flannel/pkg/backend/vxlan"
	"github.com/flannel-io/flannel/pkg/ip"
	"github.com/flannel-io/flannel/pkg/ipmatch"
	"github.com/flannel-io/flannel/pkg/subnet"
	"github.com/flannel-io/flannel/pkg/subnet/kube"
	"github.com/flannel-io/flannel/pkg/trafficmngr/iptables"
)

const (
	annotations = "flannel.alpha.coreos.com"
	// seconds between two looks at whether the iptables rules are still there
	resync = 60
)

type options struct {
	kubeconfig, network, subnetFile, iface string
}

// Run keeps the node on the pod network until SIGTERM. It takes the node's name
// from NODE_NAME, fails while the node has no podCIDR yet, and writes the
// subnet to -subnet-file.
func Run(args []string) error {
	var o options
	flags := flag.NewFlagSet("flanneld", flag.ExitOnError)
	flags.StringVar(&o.kubeconfig, "kubeconfig", "", "how to reach the API")
	flags.StringVar(&o.network, "network", "", "file with flannel's network configuration (JSON)")
	flags.StringVar(&o.subnetFile, "subnet-file", "", "where to write the node's subnet")
	flags.StringVar(&o.iface, "iface", "eth0", "interface between the nodes")
	_ = flags.Parse(args)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()

	manager, err := kube.NewSubnetManager(ctx, "", o.kubeconfig, annotations, o.network, false)
	if err != nil {
		return fmt.Errorf("subnet manager: %w", err)
	}
	config, err := manager.GetNetworkConfig(ctx)
	if err != nil {
		return fmt.Errorf("network configuration %s: %w", o.network, err)
	}
	var running sync.WaitGroup
	network, err := register(ctx, &running, manager, config, o.iface)
	if err != nil {
		return err
	}
	if err := rules(ctx, config, network); err != nil {
		return err
	}
	lease := network.Lease()
	if err := manager.HandleSubnetFile(o.subnetFile, config, true, lease.Subnet, lease.IPv6Subnet, network.MTU()); err != nil {
		return fmt.Errorf("subnet file %s: %w", o.subnetFile, err)
	}
	running.Go(func() { network.Run(ctx) })
	if err := manager.CompleteLease(ctx, lease, &running); err != nil && ctx.Err() == nil {
		return fmt.Errorf("complete lease: %w", err)
	}
	running.Wait()
	return nil
}

func register(ctx context.Context, running *sync.WaitGroup, manager subnet.Manager, config *subnet.Config, iface string) (backend.Network, error) {
	family, err := ipmatch.GetIPFamily(config.EnableIPv4, config.EnableIPv6)
	if err != nil {
		return nil, err
	}
	external, err := ipmatch.LookupExtIface(iface, "", "", family, ipmatch.PublicIPOpts{})
	if err != nil {
		return nil, fmt.Errorf("interface %s: %w", iface, err)
	}
	kind, err := backend.NewManager(ctx, manager, external).GetBackend(config.BackendType)
	if err != nil {
		return nil, err
	}
	network, err := kind.RegisterNetwork(ctx, running, config)
	if err != nil {
		return nil, fmt.Errorf("register network: %w", err)
	}
	return network, nil
}

func rules(ctx context.Context, config *subnet.Config, network backend.Network) error {
	var traffic iptables.IPTablesManager
	if err := traffic.Init(ctx); err != nil {
		return err
	}
	err := traffic.SetupAndEnsureMasqRules(ctx, config.Network, ip.IP4Net{}, ip.IP4Net{},
		config.IPv6Network, ip.IP6Net{}, ip.IP6Net{}, network.Lease(), resync, false)
	if err != nil {
		return fmt.Errorf("masquerade: %w", err)
	}
	traffic.SetupAndEnsureForwardRules(ctx, config.Network, config.IPv6Network, resync)
	return nil
}
