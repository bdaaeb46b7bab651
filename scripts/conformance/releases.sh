# shellcheck shell=bash
# critest with the older releases of containerd that are supported. Sourced by
# scripts/conformance/suites.sh.
# shellcheck disable=SC2154 # node.sh sets node, runtime and results

# 1.6 has no NRI.
run_critest_1_6() { run_critest_with /usr/bin '\bNRI\b|public image with digest'; }

run_critest_1_7() { run_critest_with "$PWD/.state/containerd-1.7" 'public image with digest'; }

# run_critest_with DIRECTORY SKIPPED: with the containerd in it and its own shim of runc, without the
# tests that match a regular expression.
run_critest_with() {
  PATH=$1:$PATH
  sed "s|@NODE@|$node|; s|@RUNTIME@|$runtime|" tests/conformance/containerd-1.x.toml >"$node/containerd.toml"
  start_registries
  start_containerd
  runtimeconfig "$node/cri.sock" /run/containerd/containerd.sock &
  wait_until 90 "the answer to RuntimeConfig" test -S "$node/cri.sock"
  critest -runtime-endpoint "unix://$node/cri.sock" -runtime-handler "$runtime" -nri-socket /run/nri/nri.sock \
    -ginkgo.junit-report "$results.results" -ginkgo.no-color -ginkgo.timeout 30m -ginkgo.seed 1 -ginkgo.skip "$2"
}
