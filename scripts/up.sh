#!/usr/bin/env bash
# Everything from nothing to http://localhost:8088: installs, builds, starts the cluster, deploys the apps. What is there and current is left alone.
# BASE=k3s|local decides what the nodes are made of; otherwise it is k3s where docker and Docker Hub are there. Usage: scripts/up.sh
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/cluster-env.sh
url=http://localhost:8088
base=$(scripts/base-kind.sh)
mkdir -p "$CLUSTER_DIR"
echo "$base" >"$CLUSTER_DIR/base"
. scripts/cluster-env.sh
echo "nodes: $base. Logs: .state/logs"

step sysctl "keeping the machine's sysctls" scripts/cluster-sysctl.sh save
if [ "$base" = local ]; then
  step install "looking for what the cluster needs" scripts/cluster-install.sh
  step local-base "Kubernetes from its Go modules (once; some ten minutes on two cores)" scripts/local-base.sh
  step docker "a docker daemon" scripts/docker.sh start
  # its socket may be new
  . scripts/cluster-env.sh
  step local-rootfs "Debian's packages (once)" scripts/local-rootfs.sh
  step local-image "the images of the local base" scripts/local-image.sh
fi
step k3d "the k3d tool" scripts/k3d.sh
# On macOS and Windows the shim can only be compiled inside docker; node-image.sh does that when there is none.
if [ "$(uname -s)" = Linux ] && command -v cargo >/dev/null; then
  step shim "the shim (the first build takes some twenty minutes on two cores)" scripts/shim.sh quick
fi
step apps "the apps' images" scripts/apps-images.sh
step cluster "the cluster, by k3d" scripts/cluster-up.sh
(umask 077 && scripts/kubeconfig.sh >"$KUBECONFIG")
if [ "$base" = local ]; then
  step redis-image "the image of Redis" scripts/image-import.sh "$BASE_DIR/images/redis.tar"
fi
step deploy "the apps" scripts/deploy.sh
step answer "the answer of the restaurant" wait_until 60 "$url/menu" curl -fsS -m 5 "$url/menu"
cat <<END
[$(printf %4d "$SECONDS") s] the restaurant is open. Now:
  curl $url/menu
  curl -X POST $url/order/PIZZA
  curl $url/order/PIZZA
  export KUBECONFIG=$KUBECONFIG; $KUBECTL get pods -o wide
  make down
END
