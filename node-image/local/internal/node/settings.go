package node

import (
	"fmt"
	"net"
	"os"
	"strings"
)

const (
	// iface is the interface that docker gives a container on its one network.
	iface = "eth0"
	// insecureRegistries is the one setting from outside: HOST:PORT of registries
	// that speak plain HTTP, separated by spaces.
	insecureRegistries = "INSECURE_REGISTRIES"
)

// Settings is what a node knows of itself before it starts.
type Settings struct {
	// Server says that the control plane runs here too.
	Server bool
	// Name is the node's name: the container's host name.
	Name string
	// IP is the node's address among the nodes.
	IP net.IP
	// InsecureRegistries are HOST:PORT, for containerd.
	InsecureRegistries []string
}

// NewSettings reads the outside world; role is "server" or "agent".
func NewSettings(role string, getenv func(string) string) (Settings, error) {
	if role != "server" && role != "agent" {
		return Settings{}, fmt.Errorf("role %q is neither server nor agent", role)
	}
	name, err := os.Hostname()
	if err != nil {
		return Settings{}, fmt.Errorf("host name: %w", err)
	}
	ip, err := addressOf(iface)
	if err != nil {
		return Settings{}, err
	}
	return Settings{
		Server: role == "server", Name: name, IP: ip,
		InsecureRegistries: strings.Fields(getenv(insecureRegistries)),
	}, nil
}

func addressOf(name string) (net.IP, error) {
	link, err := net.InterfaceByName(name)
	if err != nil {
		return nil, fmt.Errorf("interface %s: %w", name, err)
	}
	addresses, err := link.Addrs()
	if err != nil {
		return nil, fmt.Errorf("addresses of %s: %w", name, err)
	}
	for _, address := range addresses {
		if network, ok := address.(*net.IPNet); ok && network.IP.To4() != nil {
			return network.IP.To4(), nil
		}
	}
	return nil, fmt.Errorf("interface %s has no IPv4 address", name)
}
