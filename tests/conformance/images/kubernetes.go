package main

import v1 "github.com/google/go-containerregistry/pkg/v1"

// kubernetesCatalog is every image that Kubernetes' tests of a node pull, in the
// versions of its release 1.37, without those that other suites pull too.
func kubernetesCatalog() []image {
	agnhost := v1.Config{Entrypoint: []string{"/agnhost"}, Cmd: []string{"pause"}}
	// an older release, which must be another image
	oldAgnhost := *agnhost.DeepCopy()
	oldAgnhost.Labels = map[string]string{"image": "2.55"}
	shell := v1.Config{Cmd: []string{"sh"}}
	nonRoot := v1.Config{Cmd: []string{"sh"}, User: "1234"}
	nginx := v1.Config{Cmd: []string{"nginx", "-g", "daemon off;"}}
	newNginx := *nginx.DeepCopy()
	newNginx.Labels = map[string]string{"image": "1.28"}
	return []image{
		{[]string{"e2e-test-images/agnhost:2.66.1"}, "web agnhost", agnhost},
		{[]string{"e2e-test-images/agnhost:2.55"}, "web agnhost", oldAgnhost},
		{[]string{"e2e-test-images/busybox:1.37.0-2"}, "busybox", shell},
		{[]string{"e2e-test-images/nginx:1.27.0-2"}, "web nginx", nginx},
		{[]string{"e2e-test-images/nginx:1.28.0-2"}, "web nginx", newNginx},
		{[]string{"e2e-test-images/nonewprivs:1.4"}, "busybox nnp", v1.Config{Cmd: []string{"nnp"}}},
		{[]string{"e2e-test-images/nonroot:1.5"}, "busybox", nonRoot},
		{[]string{"e2e-test-images/glibc-dns-testing:2.1.1", "e2e-test-images/ipc-utils:1.4"}, "web", shell},
	}
}
