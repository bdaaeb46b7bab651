package node

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// sysctls are those of the node's own network namespace; the machine's are not
// touched here.
var sysctls = map[string]string{
	"net/ipv4/ip_forward":                "1",
	"net/bridge/bridge-nf-call-iptables": "1",
	// the ingress opens a connection for every request
	"net/ipv4/tcp_tw_reuse": "1",
}

// prepareGround makes of an ordinary container, which docker gives a read-only
// /sys, a place where a kubelet can work. In a privileged one it changes nothing
// but the propagation of mounts.
func prepareGround() error {
	writable := []string{"/sys"}
	mounts, err := os.ReadFile("/proc/mounts")
	if err != nil {
		return err
	}
	for _, target := range append(writable, cgroupMounts(string(mounts))...) {
		const keep = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC
		if err := unix.Mount("", target, "", unix.MS_REMOUNT|unix.MS_BIND|keep, ""); err != nil {
			return fmt.Errorf("make %s writable: %w", target, err)
		}
	}
	if err := unix.Mount("", "/", "", unix.MS_SHARED|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("share mounts: %w", err)
	}
	for name, value := range sysctls {
		if err := os.WriteFile("/proc/sys/"+name, []byte(value), 0o644); err != nil {
			return fmt.Errorf("sysctl: %w", err)
		}
	}
	return delegate("/sys/fs/cgroup")
}

// cgroupMounts returns the mount points of cgroup v1 and v2 in /proc/mounts.
func cgroupMounts(mounts string) []string {
	var targets []string
	for line := range strings.Lines(mounts) {
		fields := strings.Fields(line)
		if len(fields) > 2 && (fields[2] == "cgroup" || fields[2] == "cgroup2") {
			targets = append(targets, fields[1])
		}
	}
	return targets
}

// delegate makes the controllers of a cgroup v2 root usable for pods: a cgroup
// with processes of its own can't hand controllers down, so they move into a
// child. On cgroup v1 there is nothing to do.
func delegate(root string) error {
	controllers, err := os.ReadFile(filepath.Join(root, "cgroup.controllers"))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	own := filepath.Join(root, "spin-node")
	if err := os.MkdirAll(own, 0o755); err != nil {
		return err
	}
	pids, err := os.ReadFile(filepath.Join(root, "cgroup.procs"))
	if err != nil {
		return err
	}
	for pid := range strings.FieldsSeq(string(pids)) {
		// one that has ended meanwhile is no reason to stop
		if err := write(filepath.Join(own, "cgroup.procs"), pid); err != nil && !errors.Is(err, unix.ESRCH) {
			return fmt.Errorf("move process %s: %w", pid, err)
		}
	}
	for controller := range strings.FieldsSeq(string(controllers)) {
		if err := write(filepath.Join(root, "cgroup.subtree_control"), "+"+controller); err != nil {
			return fmt.Errorf("hand down controller %s: %w", controller, err)
		}
	}
	return nil
}

// write appends, which is what the files of a cgroup understand as a command.
func write(path, text string) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o644)
	if err != nil {
		return err
	}
	_, err = file.WriteString(text + "\n")
	return errors.Join(err, file.Close())
}
