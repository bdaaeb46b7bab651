# shellcheck shell=bash
# Names and places of the cluster, `step` and `wait_until`: sourced from the repository's root by the scripts that deal with the cluster, and by the tests.
# Sets DOCKER_HOST where the daemon is the project's own, KUBECTL and KUBECONFIG, and adds k3d and kubectl to the end of PATH.
export CLUSTER_NAME=bachelors-project
export SERVER_NODE=k3d-$CLUSTER_NAME-server-0
export WORKER_NODE=k3d-$CLUSTER_NAME-worker-0
# k3d's own name for it
export NETWORK=k3d-$CLUSTER_NAME
export NODE_IMAGE=$CLUSTER_NAME/node:latest
# built from package registries, where Docker Hub can't be reached
export LOCAL_BASE=$CLUSTER_NAME/local-base:latest
export LOCAL_ROOTFS=$CLUSTER_NAME/local-rootfs:latest
export LOCAL_LOADBALANCER=$CLUSTER_NAME/local-loadbalancer:latest
export LOCAL_TOOLS=$CLUSTER_NAME/local-tools:latest
# what there is of the local base outside docker: programs, root file systems, image archives
export BASE_DIR=$PWD/.state/base
# what belongs to the cluster that is up: its base, and which images its nodes have
export CLUSTER_DIR=$PWD/.state/cluster
if [ "$(cat "$CLUSTER_DIR/base" 2>/dev/null)" = local ]; then
  export K3D_IMAGE_LOADBALANCER=$LOCAL_LOADBALANCER K3D_IMAGE_TOOLS=$LOCAL_TOOLS
fi
# the project's own docker daemon; here and not in .state because a socket's path is short
export DOCKER_RUN=/run/$CLUSTER_NAME
if [ -S "$DOCKER_RUN/docker.sock" ]; then export DOCKER_HOST=unix://$DOCKER_RUN/docker.sock; fi
export KUBECONFIG=$PWD/.state/kubeconfig
KUBECTL=$PWD/.state/bin/kubectl
[ -x "$KUBECTL" ] || KUBECTL=kubectl
export KUBECTL
case :$PATH: in *:$PWD/.state/bin:*) ;; *) PATH=$PATH:$PWD/.state/bin ;; esac
mkdir -p .state/logs
# shellcheck source=scripts/wait-until.sh
. scripts/wait-until.sh

# step NAME WHAT COMMAND...: says what is done and after how long; the command's output goes to .state/logs/NAME.log and is shown when it fails.
step() {
  local log=.state/logs/$1.log what=$2
  shift 2
  printf '[%4d s] %s\n' "$SECONDS" "$what"
  "$@" >"$log" 2>&1 && return
  tail -n 40 "$log" >&2
  printf '[%4d s] failed: %s. All of its output is in %s\n' "$SECONDS" "$what" "$log" >&2
  exit 1
}
