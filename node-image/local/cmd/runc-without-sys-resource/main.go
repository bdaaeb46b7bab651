// Command runc-without-sys-resource is runc for a root that lacks
// CAP_SYS_RESOURCE: runc fails to give a container a capability that it does not
// have, and docker asks for all of them for a privileged container. It is the
// default runtime of the project's own docker daemon where that is so.
package main

import (
	"fmt"
	"os"
	"os/exec"
	"syscall"

	"spin-node/internal/capability"
)

func main() {
	err := capability.Drop(os.Args[1:], "CAP_SYS_RESOURCE")
	if err == nil {
		err = run()
	}
	fmt.Fprintln(os.Stderr, "runc-without-sys-resource:", err)
	os.Exit(1)
}

// run replaces this process by runc.
func run() error {
	runc, err := exec.LookPath("runc")
	if err != nil {
		return err
	}
	return syscall.Exec(runc, append([]string{"runc"}, os.Args[1:]...), os.Environ())
}
