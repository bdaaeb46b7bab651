// Command images serves the images that the suites pull, over TLS on 127.0.0.1:443,
// as the registries they come from. The node's /etc/hosts names that address for
// each of those hosts.
//
// Usage: images LAYERS CERTIFICATE
//
// LAYERS is the directory with what scripts/conformance/build.sh makes: busybox,
// nnp, pause, web.tar. The certificate of the registries is written to the file
// CERTIFICATE once all images are there.
package main

import (
	"crypto/tls"
	"io"
	"log"
	"net"
	"net/http"
	"os"

	"github.com/google/go-containerregistry/pkg/registry"
)

func main() {
	if len(os.Args) != 3 {
		log.Fatal("usage: images LAYERS CERTIFICATE")
	}
	layers, err := loadLayers(os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	certificate, pem, err := selfSigned("gcr.io", "ghcr.io", "registry-1.docker.io", "registry.k8s.io", "k8s.gcr.io")
	if err != nil {
		log.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:443")
	if err != nil {
		log.Fatal(err)
	}
	handler := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	if err := pushAll(handler, layers); err != nil {
		log.Fatal(err)
	}
	if err := os.WriteFile(os.Args[2], pem, 0o644); err != nil {
		log.Fatal(err)
	}
	config := &tls.Config{Certificates: []tls.Certificate{certificate}}
	log.Fatal(http.Serve(tls.NewListener(listener, config), handler))
}
