package node

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/yaml"
)

const (
	// kubeadmConfig is read by kubeadm's phases.
	kubeadmConfig = credentials + "/kubeadm.yaml"
	adminConfig   = credentials + "/admin.conf"
	// k3sKubeconfig is the administrator's kubeconfig, where k3s has it. It is
	// written last: where it exists, all credentials do.
	k3sKubeconfig = "/etc/rancher/k3s/k3s.yaml"
)

// makeCredentials makes the certificates and kubeconfigs of a server by
// kubeadm's phases, once in the life of the container.
func makeCredentials(ctx context.Context, s Settings) error {
	if _, err := os.Stat(k3sKubeconfig); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := writeKubeadmConfig(ctx, s); err != nil {
		return err
	}
	if err := command(ctx, "kubeadm", "init", "phase", "certs", "all", "--config", kubeadmConfig); err != nil {
		return err
	}
	users := []struct{ file, name, organization string }{
		{adminConfig, "admin", "system:masters"},
		{credentials + "/controller-manager.conf", "system:kube-controller-manager", ""},
		{credentials + "/scheduler.conf", "system:kube-scheduler", ""},
		{credentials + "/ingress.conf", "ingress", ""},
		{kubeletConfig, "system:node:" + s.Name, "system:nodes"},
	}
	for _, user := range users {
		argv := []string{"kubeadm", "kubeconfig", "user", "--config", kubeadmConfig, "--client-name", user.name}
		if user.organization != "" {
			argv = append(argv, "--org", user.organization)
		}
		text, err := output(ctx, argv...)
		if err != nil {
			return err
		}
		if err := os.WriteFile(user.file, text, 0o600); err != nil {
			return err
		}
	}
	return writeAdminKubeconfig(s)
}

func writeKubeadmConfig(ctx context.Context, s Settings) error {
	// Without a version kubeadm asks the network for the newest.
	version, err := output(ctx, "kubeadm", "version", "-o", "short")
	if err != nil {
		return err
	}
	type object = map[string]any
	documents := []object{{
		"apiVersion": "kubeadm.k8s.io/v1beta4", "kind": "InitConfiguration",
		"localAPIEndpoint": object{"advertiseAddress": s.IP.String(), "bindPort": 6443},
		"nodeRegistration": object{"name": s.Name},
		"bootstrapTokens":  []object{{"token": newBootstrapToken(s.Token).String(), "ttl": "0s"}},
	}, {
		"apiVersion": "kubeadm.k8s.io/v1beta4", "kind": "ClusterConfiguration",
		"kubernetesVersion": strings.TrimSpace(string(version)), "certificatesDir": pki,
		// By name: docker's resolver follows the addresses of containers.
		"controlPlaneEndpoint": s.Name + ":6443",
		"networking":           object{"podSubnet": podRange, "serviceSubnet": serviceRange, "dnsDomain": "cluster.local"},
		"apiServer":            object{"certSANs": slices.Concat([]string{s.Name, "localhost", "127.0.0.1"}, s.TLSNames)},
	}}
	var text []byte
	for _, document := range documents {
		part, err := yaml.Marshal(document)
		if err != nil {
			return err
		}
		text = append(append(text, "---\n"...), part...)
	}
	if err := os.MkdirAll(pki, 0o700); err != nil {
		return err
	}
	return os.WriteFile(kubeadmConfig, text, 0o600)
}

// writeAdminKubeconfig writes the kubeconfig for people, for the node itself and
// for k3d, which puts the cluster's name in the place of k3s' "default".
func writeAdminKubeconfig(s Settings) error {
	config, err := clientcmd.LoadFromFile(adminConfig)
	if err != nil {
		return fmt.Errorf("%s: %w", adminConfig, err)
	}
	const name = "default"
	current := config.Contexts[config.CurrentContext]
	cluster, user := config.Clusters[current.Cluster], config.AuthInfos[current.AuthInfo]
	cluster.Server = "https://127.0.0.1:6443"
	clear(config.Clusters)
	clear(config.AuthInfos)
	clear(config.Contexts)
	current.Cluster, current.AuthInfo = name, name
	config.Clusters[name], config.AuthInfos[name], config.Contexts[name] = cluster, user, current
	config.CurrentContext = name
	for _, path := range []string{s.KubeconfigOutput, k3sKubeconfig} {
		if path == "" {
			continue
		}
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := clientcmd.WriteToFile(*config, path); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
	}
	return nil
}

// admitAgents lets nodes join with the token: they learn the cluster's
// certificate authority from a signed ConfigMap, and get certificates.
func admitAgents(ctx context.Context) error {
	return command(ctx, "kubeadm", "init", "phase", "bootstrap-token", "--config", kubeadmConfig,
		"--kubeconfig", adminConfig, "--skip-token-print")
}
