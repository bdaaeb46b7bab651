//go:build tools

package conformance

import _ "sigs.k8s.io/cri-tools/cmd/critest"
