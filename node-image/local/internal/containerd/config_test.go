package containerd

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/pelletier/go-toml/v2"
)

func found(program string) (string, error) { return "/bin/" + program, nil }
func missing(string) (string, error)       { return "", exec.ErrNotFound }

func runtimes(t *testing.T, lookPath func(string) (string, error)) map[string]any {
	t.Helper()
	var parsed map[string]any
	if err := toml.Unmarshal([]byte(config(lookPath)), &parsed); err != nil {
		t.Fatal(err)
	}
	plugins := parsed["plugins"].(map[string]any)
	cri := plugins["io.containerd.cri.v1.runtime"].(map[string]any)
	return cri["containerd"].(map[string]any)["runtimes"].(map[string]any)
}

func TestTheShimOnThePathBecomesARuntime(t *testing.T) {
	spin := runtimes(t, found)["spin"].(map[string]any)
	options := spin["options"].(map[string]any)
	if spin["runtime_type"] != "io.containerd.spin.v2" || options["BinaryName"] != "/bin/containerd-shim-spin-v2" || options["SystemdCgroup"] != false {
		t.Errorf("got %v", spin)
	}
}

func TestTheTableHasTheFormThatK3sWrites(t *testing.T) {
	if !strings.Contains(config(found), "[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.'spin']\n  runtime_type = \"io.containerd.spin.v2\"\n") {
		t.Error(config(found))
	}
}

func TestWithoutTheShimThereIsOnlyRunc(t *testing.T) {
	if all := runtimes(t, missing); len(all) != 1 || all["runc"] == nil {
		t.Errorf("got %v", all)
	}
}
