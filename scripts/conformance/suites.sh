# shellcheck shell=bash
# How each suite runs on the node of scripts/conformance/node.sh, which sources this file and sets
# node, runtime and results.
# shellcheck disable=SC2154

start_containerd() {
  containerd --config "$node/containerd.toml" --log-level debug >"$results.containerd.log" 2>&1 &
  wait_until 90 containerd ctr version
  wait_until 90 "the CRI service" grep -q 'containerd successfully booted' "$results.containerd.log"
}

# The digest that this test pulls is that of an image in a registry out of reach. The order of the
# tests is always the same.
run_critest() {
  start_containerd
  critest -runtime-handler "$runtime" -nri-socket /run/nri/nri.sock -ginkgo.junit-report "$results.results" -ginkgo.no-color \
    -ginkgo.timeout 30m -ginkgo.seed 1 -ginkgo.skip 'public image with digest'
}

# It starts a containerd of its own. RUNC_FLAVOR: two tests want a runc that is built to fail.
run_client() {
  local tests
  tests=$(grep -v '^#' tests/conformance/client.tests | paste -sd '|')
  mkdir -p /var/lib/containerd-test
  mount -t tmpfs -o mode=700 test /var/lib/containerd-test
  export TEST_RUNTIME=io.containerd.$runtime.v2 RUNC_FLAVOR=none CONTAINERD_SUPPRESS_DEPRECATION_WARNINGS=1
  cd "$node" || return
  client -test.v -test.root -test.timeout 20m -no-criu -test.run "^($tests)\$" >"$results.results" 2>&1
}

# shellcheck source=scripts/conformance/releases.sh
. scripts/conformance/releases.sh
# shellcheck source=scripts/conformance/kubelet.sh
. scripts/conformance/kubelet.sh
