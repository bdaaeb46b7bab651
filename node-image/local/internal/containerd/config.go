// Package containerd writes containerd's configuration the way k3s does: at every
// start, from what is found on the PATH.
package containerd

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

const (
	// Socket is where containerd serves its API.
	Socket = "/run/containerd/containerd.sock"
	// PauseImage is the image of every pod's sandbox, imported at each start.
	PauseImage = "spin-node.local/pause:1"

	configDir = "/etc/containerd"
)

// shims are the runtimes that are added when their program is there. k3s knows
// more of them; this is the one that its users and this project share.
var shims = []struct{ name, program, kind string }{
	{"spin", "containerd-shim-spin-v2", "io.containerd.spin.v2"},
}

const base = `# Written at every start of the node; changes are lost.
version = 3
root = "/var/lib/containerd"
state = "/run/containerd"
disabled_plugins = ["io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.zfs", "io.containerd.snapshotter.v1.devmapper", "io.containerd.nri.v1.nri"]

[grpc]
  address = "` + Socket + `"

[plugins.'io.containerd.cri.v1.runtime']
  enable_selinux = false
  enable_unprivileged_ports = true
  enable_unprivileged_icmp = true
  # the nodes run without CAP_SYS_RESOURCE, which lowering oom_score_adj takes
  restrict_oom_score_adj = true

[plugins.'io.containerd.cri.v1.images']
  snapshotter = "overlayfs"
  disable_snapshot_annotations = true

[plugins.'io.containerd.cri.v1.images'.pinned_images]
  sandbox = "` + PauseImage + `"

[plugins.'io.containerd.cri.v1.images'.registry]
  config_path = "` + configDir + `/certs.d"

[plugins.'io.containerd.cri.v1.runtime'.cni]
  bin_dirs = ["/usr/lib/cni"]
  conf_dir = "/etc/cni/net.d"

[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"

[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]
  SystemdCgroup = false
`

const shimTable = `
[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.'%s']
  runtime_type = "%s"

[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.'%[1]s'.options]
  BinaryName = "%[3]s"
  SystemdCgroup = false
`

// config returns config.toml; lookPath is exec.LookPath.
func config(lookPath func(string) (string, error)) string {
	text := base
	for _, shim := range shims {
		if path, err := lookPath(shim.program); err == nil {
			text += fmt.Sprintf(shimTable, shim.name, shim.kind, path)
		}
	}
	return text
}

// Configure writes the configuration and returns its path.
func Configure() (string, error) {
	path := filepath.Join(configDir, "config.toml")
	if err := write(path, config(exec.LookPath)); err != nil {
		return "", err
	}
	return path, configureRegistries()
}

func write(path, text string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, []byte(text), 0o644)
}
