//go:build tools

// Package runtimetools pins the versions of runtime-tools and of what it needs. It is a
// module of its own because runtime-tools needs an older selinux than containerd.
package runtimetools

import (
	_ "github.com/opencontainers/runtime-tools/cmd/runtimetest"
	_ "github.com/opencontainers/runtime-tools/validation/default"
)
