//go:build tools

package tools

import _ "github.com/k3d-io/k3d/v5"
