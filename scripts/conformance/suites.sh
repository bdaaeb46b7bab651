# shellcheck shell=bash
# How each suite runs on the node of scripts/conformance/node.sh, which sources this file.
# shellcheck disable=SC2154

# names FILE: the tests that it lists, as a pattern for `go test`.
names() { printf '^(%s)$' "$(paste -sd '|' "tests/conformance/$1")"; }

# The digest that this test pulls is that of an image in a registry out of reach. The order of the
# tests is always the same.
run_critest() {
  start_registries
  start_containerd
  critest -runtime-handler "$runtime" -nri-socket /run/nri-test.sock -ginkgo.junit-report "$results.results" -ginkgo.no-color \
    -ginkgo.timeout 30m -ginkgo.seed 1 -ginkgo.skip 'public image with digest'
}

# It starts a containerd of its own. RUNC_FLAVOR: two tests want a runc that is built to fail.
run_client() {
  local tests
  start_registries
  tests=$(names client.tests)
  mkdir -p /var/lib/containerd-test
  mount -t tmpfs -o mode=700 test /var/lib/containerd-test
  export TEST_RUNTIME=io.containerd.$runtime.v2 RUNC_FLAVOR=none CONTAINERD_SUPPRESS_DEPRECATION_WARNINGS=1
  cd "$node" || return
  client -test.v -test.root -test.timeout 20m -no-criu -test.run "$tests" >"$results.results" 2>&1
}

# Its tests kill containerd, look for its end, and expect that it is started again. Some take runc's
# shim from the build directory, and find the shim under test there.
run_cri() {
  start_registries
  mkdir "$node/build"
  ln -s "$(command -v containerd)" "$node/build/containerd"
  ln -s "$(command -v "containerd-shim-$runtime-v2")" "$node/build/containerd-shim-runc-v2"
  while true; do
    containerd --config "$node/containerd.toml" --log-level debug >>"$results.containerd.log" 2>&1 || true
    sleep 3
  done &
  wait_for_containerd
  cri -test.v -test.timeout 20m -test.run "$(names cri.tests)" -runtime-handler "$runtime" -build-dir "$node/build" \
    >"$results.results" 2>&1
}

run_runtime-tools() {
  start_containerd
  export RUNTIME=oci-cli TEST_RUNTIME=io.containerd.$runtime.v2
  local program code repository=$PWD
  cd "$conformance/runtime-tools" || return
  for program in validation/*; do
    code=0
    timeout 120 "$program" >"$node/tap" || code=$?
    printf '== %s: %s\n' "$program" "$code"
    cat "$node/tap"
    awk -v program="${program#*/}" -v code="$code" -f "$repository/tests/conformance/runtime-tools/results.awk" \
      "$node/tap" >>"$results.results"
  done
}

# shellcheck source=scripts/conformance/releases.sh
. scripts/conformance/releases.sh
# shellcheck source=scripts/conformance/kubelet.sh
. scripts/conformance/kubelet.sh
