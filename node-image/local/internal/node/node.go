// Package node is the life of one node: which programs run, with which
// arguments, and in which order they come up.
package node

import (
	"bytes"
	"context"
	"embed"
	"fmt"
	"io/fs"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"spin-node/internal/containerd"
	"spin-node/internal/supervise"
)

const (
	logs = "/var/log/spin-node"
	// the files of the folders config and manifests
	settingsDir = "/etc/spin-node"
	// this node's certificates and kubeconfigs
	credentials = "/etc/kubernetes"
	// archives that every node holds, pause and CoreDNS
	images = "/usr/share/spin-node/images"

	// a bound for each step on a slow machine; all of them together take seconds
	limit = 3 * time.Minute
)

//go:embed config manifests
var files embed.FS

// Run brings the node up and keeps it up until the context ends.
func Run(ctx context.Context, s Settings) error {
	if err := prepareGround(); err != nil {
		return err
	}
	if err := unpack(settingsDir); err != nil {
		return err
	}
	// for flanneld; the others are told by flag
	if err := os.Setenv("NODE_NAME", s.Name); err != nil {
		return err
	}
	group, err := supervise.New(ctx, logs)
	if err != nil {
		return err
	}
	err = bringUp(ctx, group, s)
	if err != nil && ctx.Err() == nil {
		return err
	}
	group.Wait()
	return nil
}

func bringUp(ctx context.Context, group *supervise.Group, s Settings) error {
	if err := runContainerd(ctx, group); err != nil {
		return err
	}
	log.Print("containerd runs")
	var err error
	if s.Server {
		err = runControlPlane(ctx, group, s)
	} else {
		err = join(ctx, s)
	}
	if err != nil {
		return err
	}
	if err := runNode(ctx, group, s); err != nil {
		return err
	}
	log.Print("the pod network is there")
	// k3d waits for these words of k3s.
	ready := "Successfully registered node"
	if s.Server {
		if err := finishControlPlane(ctx, group, s); err != nil {
			return err
		}
		ready = "k3s is up and running"
	}
	log.Printf("%s: %s", ready, s.Name)
	return nil
}

// runNode runs what every node runs, and returns once the node is registered
// and has its part of the pod network.
func runNode(ctx context.Context, group *supervise.Group, s Settings) error {
	kubelet := []string{"kubelet", "--config=" + settingsDir + "/config/kubelet.yaml", "--kubeconfig=" + kubeletConfig,
		"--hostname-override=" + s.Name, "--node-ip=" + s.IP.String()}
	if len(s.Labels) > 0 {
		kubelet = append(kubelet, "--node-labels="+strings.Join(s.Labels, ","))
	}
	if !s.Server {
		kubelet = append(kubelet, "--bootstrap-kubeconfig="+bootstrapConfig)
	}
	group.Keep(kubelet...)
	err := supervise.Until(ctx, limit, "the registration of the node", func() error {
		return command(ctx, "kubectl", "--kubeconfig="+kubeletConfig, "get", "node", s.Name)
	})
	if err != nil {
		return err
	}
	group.Keep("kube-proxy", "--config="+settingsDir+"/config/kube-proxy.yaml", "--hostname-override="+s.Name)
	group.Keep("flanneld", "-kubeconfig="+kubeletConfig, "-network="+settingsDir+"/config/flannel.json",
		"-subnet-file="+subnetFile, "-iface="+iface)
	return supervise.Until(ctx, limit, "the node's subnet", writeConflist)
}

func runContainerd(ctx context.Context, group *supervise.Group) error {
	config, err := containerd.Configure()
	if err != nil {
		return err
	}
	group.Keep("containerd", "--config="+config)
	err = supervise.Until(ctx, limit, "containerd", func() error { return command(ctx, "ctr", "version") })
	if err != nil {
		return err
	}
	archives, err := filepath.Glob(images + "/*.tar")
	if err != nil {
		return err
	}
	for _, archive := range archives {
		if err := command(ctx, "ctr", "-n", "k8s.io", "images", "import", "--local", archive); err != nil {
			return err
		}
	}
	return nil
}

// command runs a program to its end; its output is part of the error.
func command(ctx context.Context, argv ...string) error {
	_, err := output(ctx, argv...)
	return err
}

// output returns what a program prints; what it says of a failure is part of
// the error.
func output(ctx context.Context, argv ...string) ([]byte, error) {
	c := exec.CommandContext(ctx, argv[0], argv[1:]...)
	c.Env = append(os.Environ(), "KUBECONFIG="+adminConfig)
	var said bytes.Buffer
	c.Stderr = &said
	text, err := c.Output()
	if err != nil {
		return nil, fmt.Errorf("%s: %w: %s", strings.Join(argv, " "), err, strings.TrimSpace(said.String()))
	}
	return text, nil
}

// unpack writes the embedded files below a folder.
func unpack(folder string) error {
	if err := os.RemoveAll(folder); err != nil {
		return err
	}
	return fs.WalkDir(files, ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		target := filepath.Join(folder, path)
		if entry.IsDir() {
			return os.MkdirAll(target, 0o755)
		}
		text, err := files.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(target, text, 0o644)
	})
}
