package node

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"time"

	core "k8s.io/api/core/v1"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"
	"k8s.io/cluster-bootstrap/token/jws"

	"spin-node/internal/supervise"
)

const (
	// kubeletConfig is the node's own kubeconfig; an agent's kubelet writes it
	// once it has its certificate.
	kubeletConfig   = credentials + "/kubelet.conf"
	bootstrapConfig = credentials + "/bootstrap.conf"
	clusterInfoPath = "/api/v1/namespaces/kube-public/configmaps/cluster-info"

	maxClusterInfoBytes = 1 << 20
	clusterInfoTimeout  = 5 * time.Second
)

// join learns the cluster's certificate authority from the server and writes the
// kubeconfig with which the kubelet asks for its certificate, once.
func join(ctx context.Context, s Settings) error {
	if _, err := os.Stat(kubeletConfig); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	token := newBootstrapToken(s.Token)
	var cluster *api.Cluster
	err := supervise.Until(ctx, limit, "the cluster's information", func() error {
		text, err := clusterInfo(ctx, s.ServerURL)
		if err != nil {
			return err
		}
		cluster, err = verifiedCluster(text, token)
		return err
	})
	if err != nil {
		return err
	}
	return writeBootstrapConfig(cluster, token)
}

// clusterInfo asks a server for the ConfigMap cluster-info. The connection
// proves nothing: its certificate can't be checked yet.
func clusterInfo(ctx context.Context, server *url.URL) ([]byte, error) {
	address := *server
	address.Path = clusterInfoPath
	if address.Port() == "" {
		address.Host = net.JoinHostPort(address.Hostname(), "6443")
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address.String(), nil)
	if err != nil {
		return nil, err
	}
	// No reason to trust the answer: its signature is what counts.
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true}
	client := http.Client{Timeout: clusterInfoTimeout, Transport: transport}
	answer, err := client.Do(request)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", address.String(), answer.Status)
	}
	return io.ReadAll(io.LimitReader(answer.Body, maxClusterInfoBytes))
}

// verifiedCluster returns the one cluster of a cluster-info ConfigMap (JSON) if
// it is signed with the token, as its secret proves.
func verifiedCluster(text []byte, token bootstrapToken) (*api.Cluster, error) {
	var info core.ConfigMap
	if err := json.Unmarshal(text, &info); err != nil {
		return nil, fmt.Errorf("cluster-info: %w", err)
	}
	kubeconfig, signature := info.Data["kubeconfig"], info.Data["jws-kubeconfig-"+token.id]
	if signature == "" {
		return nil, errors.New("cluster-info is not signed with this token: K3S_TOKEN is another cluster's")
	}
	if !jws.DetachedTokenIsValid(signature, kubeconfig, token.id, token.secret) {
		return nil, errors.New("cluster-info has a wrong signature")
	}
	config, err := clientcmd.Load([]byte(kubeconfig))
	if err != nil {
		return nil, fmt.Errorf("cluster-info: %w", err)
	}
	if len(config.Clusters) != 1 {
		return nil, fmt.Errorf("cluster-info has %d clusters, not one", len(config.Clusters))
	}
	return slices.Collect(maps.Values(config.Clusters))[0], nil
}

// writeBootstrapConfig makes the kubelet talk to the server that cluster-info
// names, not to K3S_URL: k3d starts its load balancer after the nodes.
func writeBootstrapConfig(cluster *api.Cluster, token bootstrapToken) error {
	if err := os.MkdirAll(pki, 0o700); err != nil {
		return err
	}
	const name = "default"
	if err := os.WriteFile(pki+"/ca.crt", cluster.CertificateAuthorityData, 0o644); err != nil {
		return err
	}
	bootstrap := api.NewConfig()
	bootstrap.Clusters[name] = cluster
	bootstrap.AuthInfos[name] = &api.AuthInfo{Token: token.String()}
	bootstrap.Contexts[name] = &api.Context{Cluster: name, AuthInfo: name}
	bootstrap.CurrentContext = name
	return clientcmd.WriteToFile(*bootstrap, bootstrapConfig)
}
