package node

import (
	"context"
	"log"
	"os"

	"spin-node/internal/supervise"
)

const (
	pki        = credentials + "/pki"
	kineSocket = "/run/kine.sock"
	// the same ranges as k3s's
	podRange     = "10.42.0.0/16"
	serviceRange = "10.43.0.0/16"
)

func runControlPlane(ctx context.Context, group *supervise.Group, s Settings) error {
	if err := makeCredentials(ctx, s); err != nil {
		return err
	}
	if err := os.MkdirAll("/var/lib/kine", 0o700); err != nil {
		return err
	}
	group.Keep("kine", "-socket="+kineSocket, "-database=/var/lib/kine/state.db")
	err := supervise.Until(ctx, limit, "kine", func() error {
		_, err := os.Stat(kineSocket)
		return err
	})
	if err != nil {
		return err
	}
	group.Keep(apiServer(s)...)
	err = supervise.Until(ctx, limit, "the API", func() error {
		return command(ctx, "kubectl", "get", "--raw", "/readyz")
	})
	if err != nil {
		return err
	}
	group.Keep(controllers()...)
	group.Keep("kube-scheduler", "--kubeconfig="+credentials+"/scheduler.conf", "--leader-elect=false", "--profiling=false",
		"--authentication-kubeconfig="+credentials+"/scheduler.conf", "--authorization-kubeconfig="+credentials+"/scheduler.conf")
	log.Print("the API answers")
	if err := admitAgents(ctx); err != nil {
		return err
	}
	if err := writeManifests(s); err != nil {
		return err
	}
	m := newManifests()
	err = supervise.Until(ctx, limit, "the manifests", func() error { return m.applyChanged(ctx) })
	if err != nil {
		return err
	}
	go m.follow(ctx)
	if s.has("coredns") {
		// k3d waits for these words of k3s and adds names to the manifest then.
		log.Print("Cluster dns configmap has been set")
	}
	return nil
}

// finishControlPlane does what needs the node itself to be registered.
func finishControlPlane(ctx context.Context, group *supervise.Group, s Settings) error {
	if s.has("traefik") {
		group.Keep("ingress", "-kubeconfig="+credentials+"/ingress.conf", "-listen=:80")
	}
	// a kubelet may not give itself a role
	return supervise.Until(ctx, limit, "the server's role", func() error {
		return command(ctx, "kubectl", "label", "--overwrite", "node", s.Name, "node-role.kubernetes.io/control-plane=true")
	})
}

func apiServer(s Settings) []string {
	return []string{
		"kube-apiserver", "--advertise-address=" + s.IP.String(), "--secure-port=6443",
		"--etcd-servers=unix://" + kineSocket,
		"--service-cluster-ip-range=" + serviceRange,
		"--authorization-mode=Node,RBAC", "--enable-admission-plugins=NodeRestriction",
		"--allow-privileged=true", "--enable-bootstrap-token-auth=true", "--profiling=false",
		"--client-ca-file=" + pki + "/ca.crt",
		"--tls-cert-file=" + pki + "/apiserver.crt", "--tls-private-key-file=" + pki + "/apiserver.key",
		"--kubelet-client-certificate=" + pki + "/apiserver-kubelet-client.crt",
		"--kubelet-client-key=" + pki + "/apiserver-kubelet-client.key",
		"--kubelet-preferred-address-types=InternalIP",
		"--service-account-issuer=https://kubernetes.default.svc.cluster.local",
		"--service-account-key-file=" + pki + "/sa.pub", "--service-account-signing-key-file=" + pki + "/sa.key",
		"--requestheader-client-ca-file=" + pki + "/front-proxy-ca.crt",
		"--requestheader-allowed-names=front-proxy-client",
		"--requestheader-extra-headers-prefix=X-Remote-Extra-",
		"--requestheader-group-headers=X-Remote-Group", "--requestheader-username-headers=X-Remote-User",
		"--proxy-client-cert-file=" + pki + "/front-proxy-client.crt",
		"--proxy-client-key-file=" + pki + "/front-proxy-client.key",
	}
}

func controllers() []string {
	kubeconfig := credentials + "/controller-manager.conf"
	return []string{
		"kube-controller-manager", "--kubeconfig=" + kubeconfig,
		"--authentication-kubeconfig=" + kubeconfig, "--authorization-kubeconfig=" + kubeconfig,
		// bootstrapsigner signs cluster-info, which it does not do by default
		"--controllers=*,bootstrapsigner",
		"--use-service-account-credentials=true", "--leader-elect=false", "--profiling=false",
		"--allocate-node-cidrs=true", "--cluster-cidr=" + podRange, "--service-cluster-ip-range=" + serviceRange,
		"--root-ca-file=" + pki + "/ca.crt", "--service-account-private-key-file=" + pki + "/sa.key",
		"--cluster-signing-cert-file=" + pki + "/ca.crt", "--cluster-signing-key-file=" + pki + "/ca.key",
	}
}
