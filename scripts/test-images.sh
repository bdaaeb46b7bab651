#!/usr/bin/env bash
# What the cluster's tests need beside the apps: test guests as images on the nodes, and a registry that the nodes reach as registry.local:5000.
# Usage: scripts/test-images.sh start|stop
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/cluster-env.sh
dir=.state/test
pidfile=$dir/registry.pid

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
  rm -rf "$dir" && mkdir -p "$dir/data"
  app hello hello-p2
  app probe probe-http
  app kv kv 'key_value_stores = ["default"]'
  app outbound outbound 'allowed_outbound_hosts = ["http://*:80"]'
  app bad hello-p2 'colour = "red"'
  cargo run --locked -q -p harness --bin image -- "$dir" hello probe kv outbound bad
  scripts/image-import.sh "$dir"/{hello,probe,kv,outbound,bad}.tar
  printf 'version: 0.1\nstorage: {filesystem: {rootdirectory: %s}}\nhttp: {addr: "0.0.0.0:5000"}\n' "$PWD/$dir/data" >"$dir/registry.yml"
  setsid docker-registry serve "$dir/registry.yml" >.state/logs/registry.log 2>&1 </dev/null &
  echo $! >"$pidfile"
  wait_until 20 "a registry" curl -fsS http://127.0.0.1:5000/v2/
  scripts/publish.sh 127.0.0.1:5000/test
}

stop() {
  if [ -f "$pidfile" ]; then kill "$(cat "$pidfile")" 2>/dev/null || true; fi
  rm -rf "$dir"
}

case "${1:-}" in
  start | stop) "$1" ;;
  *) echo "usage: $0 start|stop" >&2; exit 2 ;;
esac
