// Package node is the life of one node: which programs run, with which
// arguments, and in which order they come up.
package node

import (
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
	// what kubeadm made for this node: certificates and kubeconfigs
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
	if err := runContainerd(ctx, group, s.InsecureRegistries); err != nil {
		return err
	}
	log.Print("containerd runs")
	if s.Server {
		if err := runControlPlane(ctx, group, s); err != nil {
			return err
		}
		log.Print("the API answers")
	}
	group.Keep("kubelet", "--config="+settingsDir+"/config/kubelet.yaml", "--kubeconfig="+credentials+"/kubelet.conf",
		"--hostname-override="+s.Name, "--node-ip="+s.IP.String())
	group.Keep("kube-proxy", "--config="+settingsDir+"/config/kube-proxy.yaml", "--hostname-override="+s.Name)
	group.Keep("flanneld", "-kubeconfig="+credentials+"/flannel.conf", "-network="+settingsDir+"/config/flannel.json",
		"-subnet-file="+subnetFile, "-iface="+iface)
	if err := supervise.Until(ctx, limit, "the node's subnet", writeConflist); err != nil {
		return err
	}
	log.Print("the pod network is there")
	if s.Server {
		return finishControlPlane(ctx, group, s)
	}
	return nil
}

func runContainerd(ctx context.Context, group *supervise.Group, registries []string) error {
	config, err := containerd.Configure(registries)
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
	c := exec.CommandContext(ctx, argv[0], argv[1:]...)
	c.Env = append(os.Environ(), "KUBECONFIG="+credentials+"/admin.conf")
	if output, err := c.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", strings.Join(argv, " "), err, strings.TrimSpace(string(output)))
	}
	return nil
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
