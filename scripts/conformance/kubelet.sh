# shellcheck shell=bash
# Kubernetes' node conformance: a kubelet on this node, whose default runtime is the tested one, and
# the tests of test/e2e_node that are tagged [NodeConformance]. Sourced by
# scripts/conformance/suites.sh. NODE_TESTS selects some of the tests by a regular expression.
# shellcheck disable=SC2154 # node.sh sets node, conformance, runtime and results

# The address that the API server and the kubelet have.
NODE_ADDRESS=10.88.6.1

run_node() {
  local selection list=$PWD/tests/conformance/node.tests
  selection=(--focus="${NODE_TESTS:-\\[NodeConformance\\]}")
  selection+=(--skip="$(grep -v '^#' tests/conformance/node.skips | cut -f 1 | paste -sd '|')")
  prepare_kubelet
  [ -n "${NODE_TESTS:-}" ] || check_selection "$list"
  start_registries
  start_containerd
  mkdir -p "$results"
  cd "$node" || return
  # Several tests at once: most of the time they wait. A busy machine may exceed the time limits of a
  # test; as in Kubernetes' own CI it has a second attempt. ginkgo fails where a test does.
  ginkgo --procs=6 --flake-attempts=2 --no-color --timeout=120m --seed=1 "${selection[@]}" \
    --output-dir="$node" --junit-report=report.xml kubernetes/e2e_node.test -- \
    --node-name=node --kubelet-config-file="$node/kubelet.yaml" --kubelet-flags="--node-ip=$NODE_ADDRESS" \
    --container-runtime-endpoint=unix:///run/containerd/containerd.sock --prepull-images=false --report-dir="$results" || true
  mv report.xml "$results.results"
}

# check_selection LIST: fails where other tests are selected than the list has.
check_selection() {
  (cd "$node" && kubernetes/e2e_node.test "${selection[@]/#--/--ginkgo.}" --ginkgo.dry-run --ginkgo.junit-report=selection.xml) >/dev/null
  sed -n 's/.*<testcase name="\[It\] \([^"]*\)" .* status="passed".*/\1/p' "$node/selection.xml" |
    sed "s/&#34;/\"/g; s/&#39;/'/g; s/&lt;/</g; s/&gt;/>/g; s/&amp;/\&/g" | LC_ALL=C sort | diff "$1" -
}

# What the kubelet and the API server look for on a machine.
prepare_kubelet() {
  # a way to everywhere, from which they learn the node's address
  ip link add uplink type bridge
  ip address add "$NODE_ADDRESS/24" dev uplink
  ip link set uplink up
  ip route add default via 10.88.6.2 dev uplink
  echo "$NODE_ADDRESS node" >>/etc/hosts
  # The kubelet would set these for the whole machine. It leaves alone what is right already.
  local setting file number=0
  for setting in vm/overcommit_memory=1 vm/panic_on_oom=0 kernel/panic=10 kernel/panic_on_oops=1 \
    kernel/keys/root_maxkeys=1000000 kernel/keys/root_maxbytes=25000000; do
    file=$node/sysctl.$((number += 1))
    echo "${setting#*=}" >"$file"
    mount --bind "$file" "/proc/sys/${setting%=*}"
  done
  # Without systemd as process 1, the test program has to start the kubelet itself.
  for file in systemd-run journalctl; do
    if command -v "$file" >/dev/null; then mount --bind /dev/null "$(command -v "$file")"; fi
  done
  # what is made in /var/lib is gone with the node
  mkdir "$node/kubelet" "$node/log" "$node/lib" "$node/lib.work"
  mount -t overlay -o "lowerdir=/var/lib,upperdir=$node/lib,workdir=$node/lib.work" lib /var/lib
  mkdir -p /var/lib/kubelet
  mount --bind "$node/kubelet" /var/lib/kubelet
  mount --make-rshared /var/lib/kubelet
  mount --bind "$node/log" /var/log
  cp tests/conformance/kubelet.yaml "$node/"
  # The test program looks for the kubelet beside itself.
  mkdir "$node/kubernetes"
  ln -s "$conformance/bin/e2e_node.test" "$PWD/.state/base/bin/kubelet" "$node/kubernetes/"
}
