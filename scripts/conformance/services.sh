# shellcheck shell=bash
# What the suites need on their node. To be sourced by scripts/conformance/node.sh, which sets node,
# conformance and results.
# shellcheck disable=SC2154

# It compresses the layers first, which takes some seconds of a processor.
start_registries() {
  export SSL_CERT_FILE=$node/registries.pem
  images "$conformance/layers" "$SSL_CERT_FILE" >"$node/images.log" 2>&1 &
  wait_until 120 "the registries" test -s "$SSL_CERT_FILE"
}

start_containerd() {
  containerd --config "$node/containerd.toml" --log-level debug >>"$results.containerd.log" 2>&1 &
  wait_for_containerd
}

wait_for_containerd() {
  wait_until 90 containerd ctr version
  wait_until 90 "the CRI service" grep -q 'containerd successfully booted' "$results.containerd.log"
}
