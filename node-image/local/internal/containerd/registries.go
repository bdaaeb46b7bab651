package containerd

import (
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"regexp"

	"github.com/pelletier/go-toml/v2"
	"sigs.k8s.io/yaml"
)

// registriesFile is k3s' file of registries, which k3d writes into its nodes.
const registriesFile = "/etc/rancher/k3s/registries.yaml"

// registryName is HOST or HOST:PORT, or the name for all others. It becomes the
// name of a folder.
var registryName = regexp.MustCompile(`^(\*|[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?(:[0-9]{1,5})?)$`)

// registries is registries.yaml, as far as this base knows it.
// https://docs.k3s.io/installation/private-registry
type registries struct {
	Mirrors map[string]struct {
		Endpoint []string          `json:"endpoint"`
		Rewrite  map[string]string `json:"rewrite"`
	} `json:"mirrors"`
	Configs map[string]struct {
		TLS *struct {
			CAFile             string `json:"ca_file"`
			CertFile           string `json:"cert_file"`
			KeyFile            string `json:"key_file"`
			InsecureSkipVerify bool   `json:"insecure_skip_verify"`
		} `json:"tls"`
		Auth map[string]string `json:"auth"`
	} `json:"configs"`
	Auths map[string]map[string]string `json:"auths"`
}

// hostsFile is containerd's hosts.toml.
type hostsFile struct {
	Hosts map[string]host `toml:"host"`
}

type host struct {
	Capabilities []string   `toml:"capabilities"`
	CA           string     `toml:"ca,omitempty"`
	Client       [][]string `toml:"client,omitempty"`
	SkipVerify   bool       `toml:"skip_verify,omitempty"`
}

// configureRegistries makes of registries.yaml the folders that containerd reads.
func configureRegistries() error {
	text, err := os.ReadFile(registriesFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	files, err := hostsFiles(text)
	if err != nil {
		return fmt.Errorf("%s: %w", registriesFile, err)
	}
	for registry, text := range files {
		if err := write(filepath.Join(configDir, "certs.d", registry, "hosts.toml"), text); err != nil {
			return err
		}
	}
	return nil
}

// hostsFiles returns the text of hosts.toml for each registry, by the name of
// its folder.
func hostsFiles(text []byte) (map[string]string, error) {
	var r registries
	if err := yaml.UnmarshalStrict(text, &r); err != nil {
		return nil, err
	}
	if len(r.Auths) > 0 {
		return nil, errors.New("auths: passwords are not supported by the local base")
	}
	for name, config := range r.Configs {
		if len(config.Auth) > 0 {
			return nil, fmt.Errorf("configs: %s: passwords are not supported by the local base", name)
		}
	}
	files := map[string]string{}
	for name, mirror := range r.Mirrors {
		if !registryName.MatchString(name) {
			return nil, fmt.Errorf("mirrors: %q is not HOST or HOST:PORT", name)
		}
		if len(mirror.Rewrite) > 0 {
			return nil, fmt.Errorf("mirrors: %s: rewrite is not supported by the local base", name)
		}
		file := hostsFile{Hosts: map[string]host{}}
		for _, endpoint := range mirror.Endpoint {
			address, err := url.Parse(endpoint)
			if err != nil || address.Host == "" || address.Scheme != "http" && address.Scheme != "https" {
				return nil, fmt.Errorf("mirrors: %s: %q is not http://HOST or https://HOST", name, endpoint)
			}
			file.Hosts[endpoint] = r.host(address.Host)
		}
		encoded, err := toml.Marshal(file)
		if err != nil {
			return nil, err
		}
		if name == "*" {
			name = "_default"
		}
		files[name] = string(encoded)
	}
	return files, nil
}

func (r registries) host(name string) host {
	h := host{Capabilities: []string{"pull", "resolve"}}
	if tls := r.Configs[name].TLS; tls != nil {
		h.CA, h.SkipVerify = tls.CAFile, tls.InsecureSkipVerify
		if tls.CertFile != "" {
			h.Client = [][]string{{tls.CertFile, tls.KeyFile}}
		}
	}
	return h
}
