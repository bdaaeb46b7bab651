package node

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
)

const (
	subnetFile = "/run/flannel/subnet.env"
	// the bridge plugin's leases end with the node's network, so they live with it
	leases = "/run/cni-leases"
)

// conflist turns flannel's subnet file into the CNI configuration that flannel's
// own plugin would delegate to; that plugin is in no package.
func conflist(subnetEnv string) ([]byte, error) {
	values := map[string]string{}
	for line := range strings.Lines(subnetEnv) {
		if key, value, found := strings.Cut(strings.TrimSpace(line), "="); found {
			values[key] = value
		}
	}
	var mtu int
	if _, err := fmt.Sscan(values["FLANNEL_MTU"], &mtu); err != nil {
		return nil, fmt.Errorf("%s: FLANNEL_MTU: %w", subnetFile, err)
	}
	// flannel writes the bridge's address, 10.42.1.1/24
	subnet := strings.Replace(values["FLANNEL_SUBNET"], ".1/", ".0/", 1)
	if subnet == "" || values["FLANNEL_NETWORK"] == "" {
		return nil, errors.New(subnetFile + ": no subnet or network")
	}
	type object = map[string]any
	return json.MarshalIndent(object{
		"cniVersion": "1.0.0", "name": "pods",
		"plugins": []object{{
			"type": "bridge", "bridge": "cni0", "mtu": mtu,
			"isDefaultGateway": true, "forceAddress": true, "hairpinMode": true,
			"ipam": object{
				"type": "host-local", "dataDir": leases,
				"ranges": [][]object{{{"subnet": subnet}}},
				"routes": []object{{"dst": values["FLANNEL_NETWORK"]}},
			},
		}, {
			"type": "portmap", "capabilities": object{"portMappings": true},
		}},
	}, "", "  ")
}

// writeConflist fails until flannel has its subnet.
func writeConflist() error {
	subnet, err := os.ReadFile(subnetFile)
	if err != nil {
		return err
	}
	text, err := conflist(string(subnet))
	if err != nil {
		return err
	}
	const folder = "/etc/cni/net.d"
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	// renamed into place: containerd watches the folder
	if err := os.WriteFile(folder+"/new", text, 0o644); err != nil {
		return err
	}
	return os.Rename(folder+"/new", folder+"/10-pods.conflist")
}
