package node

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"slices"
	"strings"
)

// iface is the interface that docker gives a container on its first network.
const iface = "eth0"

const usage = `usage: k3s server|agent [--tls-san NAME]... [--node-label KEY=VALUE]... [--disable coredns|traefik]...
This is the local base of node-image/local, which knows these arguments of k3s.`

// parts are the parts of the cluster that --disable leaves out, by k3s' names.
// "traefik" is whatever serves Ingress objects.
var parts = []string{"coredns", "traefik"}

// Settings is what a node knows of itself before it starts.
type Settings struct {
	// Server says that the control plane runs here too.
	Server bool
	// Name is the node's name: the container's host name.
	Name string
	// IP is the node's address among the nodes.
	IP net.IP
	// Token is the secret that all nodes of the cluster share (K3S_TOKEN).
	Token string
	// ServerURL is where an agent finds a server (K3S_URL); nil for a server.
	ServerURL *url.URL
	// KubeconfigOutput is where k3d reads the administrator's kubeconfig
	// (K3S_KUBECONFIG_OUTPUT); may be empty.
	KubeconfigOutput string
	// TLSNames are further names and addresses of the API server.
	TLSNames []string
	// Labels are the node's own, KEY=VALUE.
	Labels []string
	// Disabled are parts of the cluster that are left out.
	Disabled []string
}

// NewSettings reads the arguments and the environment that k3d gives to k3s.
func NewSettings(args []string, getenv func(string) string) (Settings, error) {
	s, err := parse(args, getenv)
	if err != nil {
		return s, err
	}
	if s.Name, err = os.Hostname(); err != nil {
		return s, fmt.Errorf("host name: %w", err)
	}
	s.IP, err = addressOf(iface)
	return s, err
}

func parse(args []string, getenv func(string) string) (Settings, error) {
	var s Settings
	if len(args) == 0 || args[0] != "server" && args[0] != "agent" {
		return s, errors.New(usage)
	}
	s.Server = args[0] == "server"
	s.Token, s.KubeconfigOutput = getenv("K3S_TOKEN"), getenv("K3S_KUBECONFIG_OUTPUT")
	if err := s.parseFlags(args); err != nil {
		return s, err
	}
	if s.Token == "" {
		return s, errors.New("K3S_TOKEN is empty: nodes join a cluster by the token that they share")
	}
	if s.Server {
		return s, nil
	}
	address, err := url.Parse(getenv("K3S_URL"))
	if err != nil || address.Scheme != "https" || address.Host == "" {
		return s, fmt.Errorf("K3S_URL is %q: an agent needs the address of a server, https://HOST:PORT", getenv("K3S_URL"))
	}
	s.ServerURL = address
	return s, nil
}

func (s *Settings) parseFlags(args []string) error {
	flags := flag.NewFlagSet(args[0], flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.Func("tls-san", "", func(name string) error {
		s.TLSNames = append(s.TLSNames, name)
		return nil
	})
	flags.Func("node-label", "", func(label string) error {
		if key, _, found := strings.Cut(label, "="); !found || key == "" {
			return errors.New("not KEY=VALUE")
		}
		s.Labels = append(s.Labels, label)
		return nil
	})
	flags.Func("disable", "", func(list string) error {
		for part := range strings.SplitSeq(list, ",") {
			if !slices.Contains(parts, part) {
				return fmt.Errorf("there is no part %q", part)
			}
			s.Disabled = append(s.Disabled, part)
		}
		return nil
	})
	if err := flags.Parse(args[1:]); err != nil {
		return fmt.Errorf("%w\n%s", err, usage)
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("unknown argument %q\n%s", flags.Arg(0), usage)
	}
	return nil
}

func (s Settings) has(part string) bool { return !slices.Contains(s.Disabled, part) }

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
