#!/usr/bin/env bash
# What the cluster's tests need beside the apps: test guests as images on the nodes, and a registry by k3d that the nodes reach as
# k3d-registry.localhost:5000 (node-image/k3d.yaml).
# Usage: scripts/test-images.sh start|stop
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/cluster-env.sh
. scripts/docker-build.sh
dir=.state/test
registry=registry.localhost
image=$CLUSTER_NAME/test-registry:latest

app() { # NAME GUEST LINES...: an app's directory with one HTTP component
  local name=$1 guest=$2
  shift 2
  mkdir -p "$dir/$name"
  cp "$SPIN_TEST_COMPONENTS/$guest.wasm" "$dir/$name/"
  {
    printf 'spin_manifest_version = 2\n[application]\nname = "%s"\n' "$name"
    printf '[[trigger.http]]\nroute = "/..."\ncomponent = "main"\n[component.main]\nsource = "%s.wasm"\n' "$guest"
    printf '%s\n' "$@"
  } >"$dir/$name/spin.toml"
}

start() {
  rm -rf "$dir" && mkdir -p "$dir/registry"
  app hello hello-p2
  app probe probe-http
  app kv kv 'key_value_stores = ["default"]'
  app outbound outbound 'allowed_outbound_hosts = ["http://*:80"]'
  app bad hello-p2 'colour = "red"'
  cargo run --locked -q -p harness --bin image -- "$dir" hello probe kv outbound bad
  scripts/image-import.sh "$dir"/{hello,probe,kv,outbound,bad}.tar
  cp tests/cluster/registry/config.yml /usr/bin/docker-registry "$dir/registry/"
  docker_build -t "$image" --build-arg "ROOTFS=$LOCAL_ROOTFS" -f tests/cluster/registry/Dockerfile "$dir/registry"
  k3d registry create "$registry" --image "$image" --port 127.0.0.1:5000 --default-network "$NETWORK" --no-help
  wait_until 20 "a registry" curl -fsS http://127.0.0.1:5000/v2/
  scripts/publish.sh 127.0.0.1:5000/test
}

stop() {
  k3d registry delete "k3d-$registry" || true
  rm -rf "$dir"
}

case "${1:-}" in
  start | stop) "$1" ;;
  *) echo "usage: $0 start|stop" >&2; exit 2 ;;
esac
