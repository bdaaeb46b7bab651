package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// image is one image of the catalog: its names without the registry, its layers from
// the lowest to the highest, and its configuration.
type image struct {
	names  []string
	layers string
	config v1.Config
}

// catalog is every image that the suites pull.
func catalog() []image {
	critest := func(names ...string) []string {
		for i := range names {
			names[i] = "k8s-staging-cri-tools/" + names[i]
		}
		return names
	}
	shell := func(user string) v1.Config { return v1.Config{Cmd: []string{"sh"}, User: user} }
	// images that must differ from each other
	labelled := func(label string) v1.Config {
		return v1.Config{Cmd: []string{"sh"}, Labels: map[string]string{"image": label}}
	}
	nginx := v1.Config{Cmd: []string{"nginx", "-g", "daemon off;"}}
	httpd := v1.Config{Cmd: []string{"httpd", "-f", "/etc/httpd.conf", "-D", "FOREGROUND"}}
	pause := v1.Config{Entrypoint: []string{"/pause"}, User: "65535:65535"}
	oldPause := v1.Config{Entrypoint: []string{"/pause"}, User: "65535:65535", Labels: map[string]string{"image": "3.9"}}
	type volumes = map[string]struct{}
	copyUp := v1.Config{Cmd: []string{"sh"}, Volumes: volumes{"/test_dir": {}, "C:/weird_test_dir": {}, "/:colon_prefixed": {}}}
	ownership := v1.Config{Cmd: []string{"bash"}, Volumes: volumes{"/test_dir": {}}}
	return append(kubernetesCatalog(), []image{
		{[]string{"e2e-test-images/busybox:1.29-2", "library/busybox:latest"}, "busybox", shell("")},
		{[]string{"containerd/busybox:1.36", "containerd/alpine:3.14.0"}, "busybox", shell("")},
		{[]string{"e2e-test-images/nginx:1.14-2", "containerd/nginx:1.27.0"}, "web nginx", nginx},
		{[]string{"e2e-test-images/httpd:2.4.39-4"}, "web httpd", httpd},
		{[]string{"e2e-test-images/nonewprivs:1.3"}, "busybox nnp", v1.Config{Cmd: []string{"nnp"}}},
		{critest("hostnet-nginx-" + runtime.GOARCH + ":latest"), "web hostnet", nginx},
		{critest("test-image-user-uid:latest"), "busybox", shell("1002")},
		{critest("test-image-user-username:latest"), "busybox", shell("www-data")},
		{critest("test-image-user-uid-group:latest"), "busybox", shell("1003:1004")},
		{critest("test-image-user-username-group:latest"), "busybox", shell("www-data:1004")},
		{critest("test-image-predefined-group:latest"), "busybox group", shell("1000")},
		{critest("test-image-1:latest"), "busybox", labelled("1")},
		{critest("test-image-2:latest"), "busybox", labelled("2")},
		{critest("test-image-3:latest"), "busybox", labelled("3")},
		{critest("test-image-latest:latest"), "busybox", labelled("latest")},
		{critest("test-image-tags:1", "test-image-tags:2", "test-image-tags:3"), "busybox", labelled("tags")},
		{critest("test-image-tag:test"), "busybox", labelled("tag")},
		{critest("test-image-tag:all"), "busybox", labelled("all")},
		{[]string{"pause:3.10", "pause:3.10.1", "pause:3.10.2"}, "pause", pause},
		{[]string{"pause:3.9"}, "pause", oldPause},
		{[]string{"containerd/volume-copy-up:2.2"}, "busybox copy-up", copyUp},
		{[]string{"containerd/volume-ownership:2.1"}, "web ownership", ownership},
	}...)
}

// pushAll puts the catalog's images into a registry.
func pushAll(registry http.Handler, layers map[string]v1.Layer) error {
	server := httptest.NewServer(registry)
	defer server.Close()
	for _, entry := range catalog() {
		built, err := entry.build(layers)
		if err != nil {
			return fmt.Errorf("%s: %w", entry.names[0], err)
		}
		for _, reference := range entry.names {
			target, err := name.ParseReference(strings.TrimPrefix(server.URL, "http://")+"/"+reference, name.Insecure)
			if err != nil {
				return err
			}
			if err := remote.Write(target, built); err != nil {
				return fmt.Errorf("%s: %w", reference, err)
			}
		}
	}
	return nil
}

func (i image) build(layers map[string]v1.Layer) (v1.Image, error) {
	built := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	var err error
	for _, layer := range strings.Fields(i.layers) {
		if built, err = mutate.AppendLayers(built, layers[layer]); err != nil {
			return nil, err
		}
	}
	file, err := built.ConfigFile()
	if err != nil {
		return nil, err
	}
	file = file.DeepCopy()
	file.Architecture, file.OS = runtime.GOARCH, "linux"
	file.Config = i.config
	file.Config.Env = append(file.Config.Env, "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
	return mutate.ConfigFile(built, file)
}
