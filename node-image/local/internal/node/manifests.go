package node

import (
	"context"
	"log"
	"os"
	"path/filepath"
	"time"
)

const (
	// manifestsDir is k3s' folder of manifests: what lies in it is applied, and
	// again when it changes. k3d writes the names of hosts into coredns.yaml.
	manifestsDir = "/var/lib/rancher/k3s/server/manifests"
	// between two looks at the folder
	manifestsInterval = time.Second
)

// writeManifests puts the base's own manifests into the folder.
func writeManifests(s Settings) error {
	if err := os.MkdirAll(manifestsDir, 0o755); err != nil {
		return err
	}
	sources, err := filepath.Glob(settingsDir + "/manifests/*.yaml")
	if err != nil {
		return err
	}
	for _, source := range sources {
		name := filepath.Base(source)
		if name == "coredns.yaml" && !s.has("coredns") {
			continue
		}
		text, err := os.ReadFile(source)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(manifestsDir, name), text, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// manifests applies what is in the folder.
type manifests struct {
	applied map[string]time.Time
	failed  map[string]string
}

func newManifests() *manifests {
	return &manifests{applied: map[string]time.Time{}, failed: map[string]string{}}
}

// applyChanged applies the files that are new or have changed, and returns the
// first error. A file that could not be applied is tried again the next time.
func (m *manifests) applyChanged(ctx context.Context) error {
	files, err := filepath.Glob(manifestsDir + "/*.yaml")
	if err != nil {
		return err
	}
	var first error
	for _, file := range files {
		info, err := os.Stat(file)
		if err != nil || info.ModTime().Equal(m.applied[file]) {
			continue
		}
		if err := command(ctx, "kubectl", "apply", "-f", file); err != nil {
			// once for each reason, not every second
			if m.failed[file] != err.Error() {
				log.Print(err)
			}
			m.failed[file] = err.Error()
			if first == nil {
				first = err
			}
			continue
		}
		delete(m.failed, file)
		m.applied[file] = info.ModTime()
		log.Printf("applied %s", file)
	}
	return first
}

// follow applies changes until the context ends.
func (m *manifests) follow(ctx context.Context) {
	ticker := time.NewTicker(manifestsInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			_ = m.applyChanged(ctx)
		}
	}
}
