#!/usr/bin/env bash
# The certificates and kubeconfigs of both nodes of the local cluster, by kubeadm's own phases, into .state/cluster/{server,worker}; once per cluster.
# The nodes know each other by name: docker's resolver follows their addresses. Usage: scripts/local-pki.sh
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/cluster-env.sh
kubeadm=.state/bin/kubeadm server=$CLUSTER_DIR/server worker=$CLUSTER_DIR/worker
if [ -e "$worker/flannel.conf" ]; then exit 0; fi
rm -rf "$server" "$worker"
umask 077
mkdir -p "$server/pki" "$worker/pki"

# The address is only a name in a certificate: the API server is told its own when it starts. Without a version kubeadm asks the network for the newest.
cat >"$server/kubeadm.yaml" <<END
apiVersion: kubeadm.k8s.io/v1beta4
kind: InitConfiguration
localAPIEndpoint: {advertiseAddress: 192.0.2.1, bindPort: 6443}
nodeRegistration: {name: $SERVER_NODE}
---
apiVersion: kubeadm.k8s.io/v1beta4
kind: ClusterConfiguration
kubernetesVersion: $(awk '$1 == "k8s.io/kubernetes" {print $2; exit}' node-image/local/go.mod)
clusterName: $CLUSTER_NAME
controlPlaneEndpoint: $SERVER_NODE:6443
certificatesDir: $server/pki
networking: {podSubnet: 10.42.0.0/16, serviceSubnet: 10.43.0.0/16, dnsDomain: cluster.local}
apiServer: {certSANs: [$SERVER_NODE, localhost, 127.0.0.1]}
END
"$kubeadm" init phase certs all --config "$server/kubeadm.yaml"
cp "$server/pki/ca.crt" "$worker/pki/"

user() { "$kubeadm" kubeconfig user --config "$server/kubeadm.yaml" --client-name "$@"; }
user admin --org system:masters >"$server/admin.conf"
user system:kube-controller-manager >"$server/controller-manager.conf"
user system:kube-scheduler >"$server/scheduler.conf"
user ingress >"$server/ingress.conf"
user "system:node:$SERVER_NODE" --org system:nodes >"$server/kubelet.conf"
user "system:node:$WORKER_NODE" --org system:nodes >"$worker/kubelet.conf"
for node in "$server" "$worker"; do
  user system:kube-proxy >"$node/kube-proxy.conf"
  user flannel >"$node/flannel.conf"
done
