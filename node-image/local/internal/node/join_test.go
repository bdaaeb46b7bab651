package node

import (
	"encoding/json"
	"strings"
	"testing"

	core "k8s.io/api/core/v1"
	"k8s.io/cluster-bootstrap/token/jws"
)

const kubeconfig = `apiVersion: v1
kind: Config
clusters: [{name: "", cluster: {server: "https://server:6443", certificate-authority-data: Y2E=}}]
`

func signed(t *testing.T, text string, token bootstrapToken) []byte {
	t.Helper()
	signature, err := jws.ComputeDetachedSignature(text, token.id, token.secret)
	if err != nil {
		t.Fatal(err)
	}
	info := core.ConfigMap{Data: map[string]string{"kubeconfig": text, "jws-kubeconfig-" + token.id: signature}}
	encoded, err := json.Marshal(info)
	if err != nil {
		t.Fatal(err)
	}
	return encoded
}

func TestTokenHasTheFormOfKubernetes(t *testing.T) {
	token := newBootstrapToken("secret")
	if len(token.id) != 6 || len(token.secret) != 16 || token.String() != token.id+"."+token.secret {
		t.Errorf("got %v", token)
	}
	if newBootstrapToken("secret") != token || newBootstrapToken("other") == token {
		t.Error("the same secret gives the same token, another one another")
	}
}

func TestSignedClusterInfoIsBelieved(t *testing.T) {
	token := newBootstrapToken("secret")
	cluster, err := verifiedCluster(signed(t, kubeconfig, token), token)
	if err != nil {
		t.Fatal(err)
	}
	if cluster.Server != "https://server:6443" || string(cluster.CertificateAuthorityData) != "ca" {
		t.Errorf("got %+v", cluster)
	}
}

func TestOtherClusterInfoIsNotBelieved(t *testing.T) {
	token := newBootstrapToken("secret")
	forged := strings.Replace(string(signed(t, kubeconfig, token)), "server:6443", "other:6443", 1)
	for name, text := range map[string][]byte{
		"another token": signed(t, kubeconfig, newBootstrapToken("other")),
		"changed":       []byte(forged),
		"no cluster":    signed(t, "apiVersion: v1\nkind: Config\n", token),
		"no object":     []byte("<html>"),
	} {
		if cluster, err := verifiedCluster(text, token); err == nil {
			t.Errorf("%s: believed %+v", name, cluster)
		}
	}
}
