package ingress

import (
	"cmp"
	"net"
	"slices"
	"strconv"
	"strings"

	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
)

// entry is one rule of an Ingress, with its Service already looked up.
type entry struct {
	host  string // "" any, "*.example.com" one label more
	path  string // without a trailing slash, unless exact
	exact bool
	// IP:port of the Service; empty when there is no such Service or port
	target string
}

// table holds every rule of every Ingress, the most specific first.
type table []entry

// findService returns nil when there is none.
type findService func(namespace, name string) *core.Service

func newTable(ingresses []*networking.Ingress, find findService) table {
	var rules table
	for _, ingress := range ingresses {
		rules = append(rules, entries(ingress, find)...)
	}
	slices.SortStableFunc(rules, func(a, b entry) int {
		return cmp.Or(
			cmp.Compare(hostRank(b.host), hostRank(a.host)),
			cmp.Compare(len(b.path), len(a.path)),
			cmp.Compare(rank(b.exact), rank(a.exact)))
	})
	return rules
}

func entries(ingress *networking.Ingress, find findService) table {
	var rules table
	for _, rule := range ingress.Spec.Rules {
		if rule.HTTP == nil {
			continue
		}
		for _, path := range rule.HTTP.Paths {
			e := entry{host: strings.ToLower(rule.Host), path: path.Path, target: target(ingress.Namespace, path.Backend, find)}
			e.exact = path.PathType != nil && *path.PathType == networking.PathTypeExact
			if !e.exact {
				e.path = strings.TrimRight(path.Path, "/")
			}
			rules = append(rules, e)
		}
	}
	if b := ingress.Spec.DefaultBackend; b != nil {
		rules = append(rules, entry{target: target(ingress.Namespace, *b, find)})
	}
	return rules
}

func target(namespace string, backend networking.IngressBackend, find findService) string {
	if backend.Service == nil {
		return ""
	}
	service := find(namespace, backend.Service.Name)
	if service == nil || net.ParseIP(service.Spec.ClusterIP) == nil {
		return ""
	}
	wanted := backend.Service.Port
	for _, port := range service.Spec.Ports {
		if port.Port == wanted.Number || wanted.Name != "" && port.Name == wanted.Name {
			return net.JoinHostPort(service.Spec.ClusterIP, strconv.Itoa(int(port.Port)))
		}
	}
	return ""
}

// find returns the rule for a request; host may carry a port.
func (t table) find(host, path string) (entry, bool) {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.ToLower(host)
	for _, e := range t {
		if e.matchesHost(host) && e.matchesPath(path) {
			return e, true
		}
	}
	return entry{}, false
}

func (e entry) matchesHost(host string) bool {
	if suffix, wildcard := strings.CutPrefix(e.host, "*"); wildcard {
		label, found := strings.CutSuffix(host, suffix)
		return found && label != "" && !strings.Contains(label, ".")
	}
	return e.host == "" || e.host == host
}

// A prefix matches whole path elements: /order is a prefix of /order/PIZZA, not
// of /orders.
func (e entry) matchesPath(path string) bool {
	if e.exact {
		return path == e.path
	}
	rest, found := strings.CutPrefix(path, e.path)
	return found && (rest == "" || rest[0] == '/')
}

func hostRank(host string) int {
	switch {
	case host == "":
		return 0
	case strings.HasPrefix(host, "*"):
		return 1
	}
	return 2
}

func rank(b bool) int {
	if b {
		return 1
	}
	return 0
}
