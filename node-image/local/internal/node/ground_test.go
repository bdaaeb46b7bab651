package node

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func TestCgroupMountsOfBothVersionsAreFound(t *testing.T) {
	mounts := "proc /proc proc rw 0 0\ncgroup /sys/fs/cgroup/cpu cgroup ro,cpu 0 0\ncgroup2 /sys/fs/cgroup/unified cgroup2 ro 0 0\n"
	if got := cgroupMounts(mounts); !slices.Equal(got, []string{"/sys/fs/cgroup/cpu", "/sys/fs/cgroup/unified"}) {
		t.Errorf("got %v", got)
	}
}

// Plain files stand for the cgroup's: what is appended to them is what the kernel would read.
func TestProcessesMoveOutOfTheRootBeforeControllersAreHandedDown(t *testing.T) {
	root := t.TempDir()
	for name, text := range map[string]string{"cgroup.controllers": "cpu memory\n", "cgroup.procs": "1\n7\n"} {
		if err := os.WriteFile(filepath.Join(root, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := delegate(root); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"spin-node/cgroup.procs": "1\n7\n", "cgroup.subtree_control": "+cpu\n+memory\n"} {
		if got, _ := os.ReadFile(filepath.Join(root, name)); string(got) != want {
			t.Errorf("%s holds %q, not %q", name, got, want)
		}
	}
}

func TestOnCgroupV1NothingIsDelegated(t *testing.T) {
	root := t.TempDir()
	if err := delegate(root); err != nil {
		t.Fatal(err)
	}
	if left, _ := os.ReadDir(root); len(left) != 0 {
		t.Errorf("left %v", left)
	}
}
