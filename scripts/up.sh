#!/usr/bin/env bash
# Everything from nothing to http://localhost:8088: installs, builds, starts the cluster, deploys the apps. What is there and current is left alone.
# CLUSTER=k3d|local decides which cluster; otherwise k3d where docker, k3d and Docker Hub are there. Usage: scripts/up.sh
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/cluster-env.sh
url=http://localhost:8088
kind=$(scripts/cluster-kind.sh)
echo "cluster: $kind. Logs: .state/logs"

if [ "$kind" = local ]; then
  step install "looking for what the local cluster needs" scripts/cluster-install.sh
  step sysctl "keeping the machine's sysctls" scripts/cluster-sysctl.sh save
  step docker "a docker daemon" scripts/docker.sh start
  # its socket may be new
  . scripts/cluster-env.sh
  step local-base "Kubernetes from its Go modules (once; some ten minutes on two cores)" scripts/local-base.sh
  step local-rootfs "Debian's packages (once)" scripts/local-rootfs.sh
  step local-image "the local base image" scripts/local-image.sh
  . scripts/cluster-env.sh
else
  step sysctl "keeping the machine's sysctls" scripts/cluster-sysctl.sh save
fi
# On macOS and Windows the shim can only be compiled inside docker; node-image.sh does that when there is none.
if [ "$(uname -s)" = Linux ] && command -v cargo >/dev/null; then
  step shim "the shim (the first build takes some twenty minutes on two cores)" scripts/shim.sh quick
fi
step apps "the apps' images" scripts/apps-images.sh
if [ "$kind" = local ]; then
  step node-image "the node image" env BASE_IMAGE="$LOCAL_BASE" scripts/node-image.sh quick
fi
step cluster "the nodes" "scripts/$kind-up.sh"
(umask 077 && scripts/kubeconfig.sh >"$KUBECONFIG")
if [ "$kind" = local ]; then
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
