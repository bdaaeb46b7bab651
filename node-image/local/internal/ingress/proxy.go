package ingress

import (
	"context"
	"errors"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	// for how long a refused connection is tried again: a pod that ends stops
	// listening a moment before kube-proxy takes it out of its rules
	dialPatience = 3 * time.Second
	dialPause    = 50 * time.Millisecond
)

// proxy answers each request as the table of that moment says.
type proxy struct {
	table   atomic.Pointer[table]
	reverse httputil.ReverseProxy
}

type targetKey struct{}

func newProxy() *proxy {
	p := &proxy{}
	p.table.Store(&table{})
	p.reverse = httputil.ReverseProxy{
		Rewrite:       rewrite,
		FlushInterval: -1,
		ErrorHandler:  refuse,
		Transport: &http.Transport{
			DialContext: dialPatiently,
			// A connection kept open belongs to one pod: it would miss new replicas, and a
			// request sent on it in the moment that pod ends is lost.
			DisableKeepAlives: true,
			// the answer is the app's, whatever its encoding
			DisableCompression: true,
		},
	}
	return p
}

func (p *proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	rule, found := p.table.Load().find(r.Host, r.URL.Path)
	switch {
	case !found:
		http.Error(w, "404 no ingress rule for this host and path", http.StatusNotFound)
	case rule.target == "":
		unavailable(w, "503 the ingress rule names a service that does not exist")
	default:
		p.reverse.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), targetKey{}, rule.target)))
	}
}

func rewrite(r *httputil.ProxyRequest) {
	r.Out.URL.Scheme = "http"
	r.Out.URL.Host = r.In.Context().Value(targetKey{}).(string)
	// with what Go itself would not parse: that is the app's business
	r.Out.URL.RawQuery = r.In.URL.RawQuery
	r.SetXForwarded()
}

// dialPatiently connects to a ClusterIP; every try may reach another pod.
func dialPatiently(ctx context.Context, network, address string) (net.Conn, error) {
	dialer := net.Dialer{Timeout: time.Second}
	deadline := time.Now().Add(dialPatience)
	for {
		connection, err := dialer.DialContext(ctx, network, address)
		if err == nil || time.Now().After(deadline) || !passing(err) {
			return connection, err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(dialPause):
		}
	}
}

// passing tells errors of a pod that comes or goes from those that will stay.
func passing(err error) bool {
	var timeout net.Error
	return errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.EHOSTUNREACH) ||
		errors.As(err, &timeout) && timeout.Timeout()
}

func refuse(w http.ResponseWriter, r *http.Request, err error) {
	if errors.Is(err, context.Canceled) {
		return
	}
	log.Printf("%s %s%s: %v", r.Method, r.Host, r.URL.Path, err)
	if dial := new(net.OpError); errors.As(err, &dial) && dial.Op == "dial" {
		unavailable(w, "503 no pod of the service takes connections")
		return
	}
	http.Error(w, "502 the pod broke the connection off", http.StatusBadGateway)
}

func unavailable(w http.ResponseWriter, text string) {
	w.Header().Set("Retry-After", "1")
	http.Error(w, text, http.StatusServiceUnavailable)
}
