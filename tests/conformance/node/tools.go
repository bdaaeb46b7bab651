//go:build tools

// Package node names what scripts/conformance/build.sh builds of Kubernetes' module.
package node

import (
	_ "github.com/onsi/ginkgo/v2/ginkgo"
	_ "k8s.io/kubernetes/test/e2e_node"
	_ "k8s.io/kubernetes/test/images/agnhost"
)
