package ingress

import (
	"testing"

	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
)

var services = map[string]*core.Service{
	"web": service("10.43.0.1", 80), "api": service("10.43.0.2", 8080), "headless": service("None", 80),
}

func service(ip string, port int32) *core.Service {
	return &core.Service{Spec: core.ServiceSpec{ClusterIP: ip, Ports: []core.ServicePort{{Name: "http", Port: port}}}}
}

func find(_, name string) *core.Service { return services[name] }

func backend(name string, port networking.ServiceBackendPort) networking.IngressBackend {
	return networking.IngressBackend{Service: &networking.IngressServiceBackend{Name: name, Port: port}}
}

func ingress(host string, kind networking.PathType, path, service string, port int32) *networking.Ingress {
	return &networking.Ingress{
		ObjectMeta: meta.ObjectMeta{Namespace: "default"},
		Spec: networking.IngressSpec{Rules: []networking.IngressRule{{Host: host, IngressRuleValue: networking.IngressRuleValue{
			HTTP: &networking.HTTPIngressRuleValue{Paths: []networking.HTTPIngressPath{{
				Path: path, PathType: &kind, Backend: backend(service, networking.ServiceBackendPort{Number: port})}}}}}}},
	}
}

func targetOf(t *testing.T, rules table, host, path string) string {
	t.Helper()
	e, found := rules.find(host, path)
	if !found {
		return "none"
	}
	return e.target
}

func TestAPrefixMatchesWholePathElements(t *testing.T) {
	rules := newTable([]*networking.Ingress{ingress("", networking.PathTypePrefix, "/order/", "web", 80)}, find)
	for path, want := range map[string]string{
		"/order": "10.43.0.1:80", "/order/PIZZA": "10.43.0.1:80", "/orders": "none", "/": "none",
	} {
		if got := targetOf(t, rules, "localhost", path); got != want {
			t.Errorf("%s goes to %s, not %s", path, got, want)
		}
	}
}

func TestTheMostSpecificRuleWins(t *testing.T) {
	rules := newTable([]*networking.Ingress{
		ingress("", networking.PathTypePrefix, "/", "web", 80),
		ingress("", networking.PathTypePrefix, "/menu", "headless", 80),
		ingress("", networking.PathTypeExact, "/menu", "api", 8080),
		ingress("*.example.com", networking.PathTypePrefix, "/", "api", 8080),
	}, find)
	for _, c := range []struct{ host, path, want string }{
		{"localhost:8088", "/x", "10.43.0.1:80"}, {"localhost", "/menu", "10.43.0.2:8080"},
		{"localhost", "/menu/2", ""}, {"A.example.com", "/menu", "10.43.0.2:8080"}, {"a.b.example.com", "/", "10.43.0.1:80"},
	} {
		if got := targetOf(t, rules, c.host, c.path); got != c.want {
			t.Errorf("%s%s goes to %q, not %q", c.host, c.path, got, c.want)
		}
	}
}

func TestARuleWithoutItsServiceHasNoTarget(t *testing.T) {
	for name, port := range map[string]int32{"gone": 80, "web": 81, "headless": 80} {
		rules := newTable([]*networking.Ingress{ingress("", networking.PathTypePrefix, "/", name, port)}, find)
		if got := targetOf(t, rules, "localhost", "/"); got != "" {
			t.Errorf("%s:%d goes to %s", name, port, got)
		}
	}
}

func TestADefaultBackendTakesWhatIsLeftAndMayNameItsPort(t *testing.T) {
	i := ingress("", networking.PathTypeExact, "/menu", "web", 80)
	rest := backend("api", networking.ServiceBackendPort{Name: "http"})
	i.Spec.DefaultBackend = &rest
	rules := newTable([]*networking.Ingress{i}, find)
	if got := targetOf(t, rules, "localhost", "/anything"); got != "10.43.0.2:8080" {
		t.Errorf("goes to %s", got)
	}
}
