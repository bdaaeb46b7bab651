package containerd

import (
	"strings"
	"testing"
)

func TestRegistriesOfK3dBecomeHosts(t *testing.T) {
	files, err := hostsFiles([]byte(`
mirrors:
  k3d-registry:5000:
    endpoint: ["http://k3d-registry:5000"]
    rewrite: {}
  "*":
    endpoint: ["https://mirror.example"]
configs:
  mirror.example: {tls: {ca_file: /ca.crt, cert_file: /a.crt, key_file: /a.key, insecure_skip_verify: true}}
`))
	if err != nil {
		t.Fatal(err)
	}
	for name, lines := range map[string][]string{
		"k3d-registry:5000": {"[host.'http://k3d-registry:5000']", "capabilities = ['pull', 'resolve']"},
		"_default":          {"[host.'https://mirror.example']", "ca = '/ca.crt'", "client = [['/a.crt', '/a.key']]", "skip_verify = true"},
	} {
		for _, line := range lines {
			if !strings.Contains(files[name], line) {
				t.Errorf("%s: no %s in %s", name, line, files[name])
			}
		}
	}
	if len(files) != 2 {
		t.Errorf("got %v", files)
	}
}

func TestUnsupportedRegistriesAreNamed(t *testing.T) {
	for text, want := range map[string]string{
		"mirrors: {../../etc: {endpoint: [http://a]}}":              "../../etc",
		`mirrors: {"a\"b:5000": {endpoint: [http://a]}}`:            "HOST:PORT",
		"mirrors: {..: {endpoint: [http://a]}}":                     "HOST:PORT",
		"mirrors: {a: {endpoint: [a:5000]}}":                        "a:5000",
		"mirrors: {a: {endpoint: [http://a], rewrite: {b: c}}}":     "rewrite",
		"configs: {a: {auth: {username: me, password: forbidden}}}": "passwords",
		"mirrors: {a: {endpoints: [http://a]}}":                     "endpoints",
		"mirrors: [":                                                "yaml",
	} {
		_, err := hostsFiles([]byte(text))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, not an error with %q", text, err, want)
		}
		if err != nil && strings.Contains(err.Error(), "forbidden") {
			t.Errorf("the error has the password: %v", err)
		}
	}
}
