package main

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/pkg/cio"
	"github.com/opencontainers/runtime-spec/specs-go"
)

// bundleLabel is the label that keeps a container's bundle as the caller named it:
// containerd makes a bundle of its own.
const bundleLabel = "bundle"

func create(ctx context.Context, client *containerd.Client, id, bundle, pidFile string) error {
	bundle, err := filepath.Abs(bundle)
	if err != nil {
		return err
	}
	spec, err := readSpec(bundle)
	if err != nil {
		return err
	}
	container, err := client.NewContainer(ctx, id,
		containerd.WithRuntime(os.Getenv("TEST_RUNTIME"), nil),
		containerd.WithSpec(spec),
		containerd.WithContainerLabels(map[string]string{bundleLabel: bundle}))
	if err != nil {
		return err
	}
	task, err := container.NewTask(ctx, inheritedFiles)
	if err != nil {
		container.Delete(ctx)
		return err
	}
	if pidFile == "" {
		return nil
	}
	return os.WriteFile(pidFile, []byte(strconv.Itoa(int(task.Pid()))), 0o644)
}

// readSpec reads a bundle's configuration. The path of its root may be relative to the
// bundle.
func readSpec(bundle string) (*specs.Spec, error) {
	content, err := os.ReadFile(filepath.Join(bundle, "config.json"))
	if err != nil {
		return nil, err
	}
	spec := &specs.Spec{}
	if err := json.Unmarshal(content, spec); err != nil {
		return nil, err
	}
	if spec.Root != nil && !filepath.IsAbs(spec.Root.Path) {
		spec.Root.Path = filepath.Join(bundle, spec.Root.Path)
	}
	return spec, nil
}

// streams are the container's output as containerd's URIs.
type streams cio.Config

// inheritedFiles gives the container the files that are this program's own output, as
// runc does. Output to what is no file is dropped.
func inheritedFiles(id string) (cio.IO, error) {
	return streams{Stdout: fileURI(os.Stdout), Stderr: fileURI(os.Stderr)}, nil
}

func fileURI(stream *os.File) string {
	status, err := stream.Stat()
	if err != nil || !status.Mode().IsRegular() {
		return ""
	}
	path, err := os.Readlink("/proc/self/fd/" + strconv.Itoa(int(stream.Fd())))
	if err != nil {
		return ""
	}
	return "file://" + path
}

func (s streams) Config() cio.Config { return cio.Config(s) }
func (streams) Cancel()              {}
func (streams) Wait()                {}
func (streams) Close() error         { return nil }
