package node

import (
	"slices"
	"strings"
	"testing"
)

func environment(values map[string]string) func(string) string {
	return func(name string) string { return values[name] }
}

func TestArgumentsOfK3dAreRead(t *testing.T) {
	server := []string{"server", "--tls-san", "0.0.0.0", "--tls-san=lb", "--node-label", "a=b", "--disable=coredns,traefik"}
	s, err := parse(server, environment(map[string]string{"K3S_TOKEN": "secret", "K3S_KUBECONFIG_OUTPUT": "/output/kubeconfig.yaml"}))
	if err != nil {
		t.Fatal(err)
	}
	if !s.Server || s.Token != "secret" || s.KubeconfigOutput != "/output/kubeconfig.yaml" || s.ServerURL != nil {
		t.Errorf("got %+v", s)
	}
	if !slices.Equal(s.TLSNames, []string{"0.0.0.0", "lb"}) || !slices.Equal(s.Labels, []string{"a=b"}) || s.has("coredns") || s.has("traefik") {
		t.Errorf("got %+v", s)
	}
	s, err = parse([]string{"agent"}, environment(map[string]string{"K3S_TOKEN": "secret", "K3S_URL": "https://server:6443"}))
	if err != nil || s.Server || s.ServerURL.Host != "server:6443" || !s.has("coredns") {
		t.Errorf("got %+v, %v", s, err)
	}
}

func TestWrongArgumentsAreNamed(t *testing.T) {
	token := map[string]string{"K3S_TOKEN": "secret"}
	cases := []struct {
		args []string
		env  map[string]string
		want string
	}{
		{nil, token, "usage"},
		{[]string{"kubectl"}, token, "usage"},
		{[]string{"server", "--cluster-init"}, token, "cluster-init"},
		{[]string{"server", "--node-label", "novalue"}, token, "KEY=VALUE"},
		{[]string{"server", "--disable", "metrics-server"}, token, "metrics-server"},
		{[]string{"server", "stray"}, token, "stray"},
		{[]string{"server"}, nil, "K3S_TOKEN"},
		{[]string{"agent"}, token, "K3S_URL"},
		{[]string{"agent"}, map[string]string{"K3S_TOKEN": "secret", "K3S_URL": "server:6443"}, "K3S_URL"},
	}
	for _, c := range cases {
		if _, err := parse(c.args, environment(c.env)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: got %v, not an error with %q", c.args, err, c.want)
		}
	}
}
