package node

import (
	"strings"
	"testing"
)

func TestTheSubnetOfTheNodeBecomesTheBridge(t *testing.T) {
	text, err := conflist("FLANNEL_NETWORK=10.42.0.0/16\nFLANNEL_SUBNET=10.42.1.1/24\nFLANNEL_MTU=1450\nFLANNEL_IPMASQ=true\n")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"subnet": "10.42.1.0/24"`, `"mtu": 1450`, `"dst": "10.42.0.0/16"`} {
		if !strings.Contains(string(text), want) {
			t.Errorf("no %s in %s", want, text)
		}
	}
}

func TestAHalfWrittenSubnetFileIsRefused(t *testing.T) {
	for _, text := range []string{"", "FLANNEL_MTU=1450\n", "FLANNEL_SUBNET=10.42.1.1/24\n"} {
		if got, err := conflist(text); err == nil {
			t.Errorf("%q became %s", text, got)
		}
	}
}
