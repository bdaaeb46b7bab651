#!/usr/bin/env bash
# Serves a page that shows the cluster, on loopback; prints its address with a token of the
# administrator's account (k8s/auth.yaml), and opens a browser where there is one. Ctrl-C ends it.
# DASHBOARD_KUBECONFIG: of another cluster. DASHBOARD_PORT: 0, any free one. DASHBOARD_TOKEN_DURATION: 1h.
# DASHBOARD_BROWSER: the program that opens the page, or none. Usage: scripts/dashboard.sh
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/cluster-env.sh
export KUBECONFIG=${DASHBOARD_KUBECONFIG:-$KUBECONFIG}
duration=${DASHBOARD_TOKEN_DURATION:-1h}
umask 077
run=$(mktemp -d)
trap '[ -z "${proxy:-}" ] || kill "$proxy" 2>/dev/null || true; rm -rf "$run"' EXIT
trap 'echo; echo "the dashboard has ended"; exit 0' INT TERM HUP

step dashboard-build "the page" scripts/dashboard-build.sh
if [ ! -s "$KUBECONFIG" ]; then
  # a cluster that k3d made without `make up`
  scripts/kubeconfig.sh >"$run/admin"
  KUBECONFIG=$run/admin
fi
token=$("$KUBECTL" -n kube-system create token admin-user --duration="$duration") || {
  echo "no token: the cluster must answer and have the account, $KUBECTL apply -f k8s/auth.yaml" >&2
  exit 1
}

# Every user of the machine reaches the proxy, so it has no credentials: the page sends the token. A user
# name must be there, because kubectl asks the terminal for one otherwise; no API server takes a name alone.
config() { "$KUBECTL" config view --minify --flatten --raw -o "jsonpath=$1"; }
printf '{"apiVersion": "v1", "kind": "Config", "current-context": "page", "clusters": %s,
  "users": [{"name": "nobody", "user": {"username": "nobody"}}],
  "contexts": [{"name": "page", "context": {"cluster": "%s", "user": "nobody"}}]}' \
  "$(config '{.clusters}')" "$(config '{.clusters[0].name}')" >"$run/config"
# What the page asks for, and nothing else, whatever the token's rights.
paths='^/api/v1/(nodes|pods|events)$,^/apis/node.k8s.io/v1/runtimeclasses$'
paths+=',^/api/v1/nodes/[^/]+/proxy/stats/summary$,^/api/v1/namespaces/[^/]+/pods/[^/]+/log$'
paths+=',^/api/v1/namespaces/[^/]+/services/restaurant:http/proxy/(menu|order/[^/]+(/[0-9]+)?)$'
"$KUBECTL" --kubeconfig "$run/config" proxy --port="${DASHBOARD_PORT:-0}" \
  --www=.state/dashboard/www --www-prefix=/dashboard/ \
  --accept-paths="$paths" --reject-methods='^(PUT|PATCH|DELETE)$' >"$run/proxy" 2>&1 &
proxy=$!
# shellcheck disable=SC2317 # called by wait_until
started() { grep -q '^Starting to serve' "$run/proxy" || ! kill -0 "$proxy"; }
wait_until 20 "kubectl proxy" started
port=$(sed -n 's/^Starting to serve on 127\.0\.0\.1:\([0-9]*\)$/\1/p' "$run/proxy")
if [ -z "$port" ]; then cat "$run/proxy" >&2; exit 1; fi

address="http://127.0.0.1:$port/dashboard/#token=$token"
printf '\n  %s\n\nIts token is valid for %s. Ctrl-C ends the dashboard.\n' "$address" "$duration"
# By a file, because every user of the machine can read the arguments of a program.
printf '<meta http-equiv="refresh" content="0; url=%s">\n' "$address" >"$run/open.html"
browser=none # the program that opens a page
if [ "$(uname -s)" = Darwin ]; then browser=open
elif [ -n "${DISPLAY:-}${WAYLAND_DISPLAY:-}" ] && command -v xdg-open >/dev/null; then browser=xdg-open; fi
browser=${DASHBOARD_BROWSER:-$browser}
[ "$browser" = none ] || "$browser" "$run/open.html" >/dev/null 2>&1 &
wait "$proxy" || true
echo "kubectl proxy has ended: $(tail -n 1 "$run/proxy")" >&2
exit 1
