package ingress

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func proxyTo(target string) *proxy {
	p := newProxy()
	p.table.Store(&table{{target: target}})
	return p
}

func ask(t *testing.T, p *proxy, request *http.Request) *http.Response {
	t.Helper()
	recorder := httptest.NewRecorder()
	p.ServeHTTP(recorder, request)
	return recorder.Result()
}

func TestTheAppSeesTheRequestAsTheClientSentIt(t *testing.T) {
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		_, _ = io.WriteString(w, strings.Join([]string{r.Method, r.Host, r.RequestURI, string(body)}, " "))
	}))
	defer app.Close()
	request := httptest.NewRequest("POST", "http://pizza.example:8088/order/A%2FB//c?x=1;y", strings.NewReader("hot"))
	answer, _ := io.ReadAll(ask(t, proxyTo(app.Listener.Addr().String()), request).Body)
	if want := "POST pizza.example:8088 /order/A%2FB//c?x=1;y hot"; string(answer) != want {
		t.Errorf("got %q, not %q", answer, want)
	}
}

func TestARefusedConnectionIsTriedAgain(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	listener.Close()
	time.AfterFunc(200*time.Millisecond, func() {
		if again, err := net.Listen("tcp", address); err == nil {
			_ = http.Serve(again, http.NotFoundHandler())
		}
	})
	if status := ask(t, proxyTo(address), httptest.NewRequest("GET", "/", nil)).StatusCode; status != http.StatusNotFound {
		t.Errorf("status %d", status)
	}
}

func TestNoRuleIs404AndNoServiceIs503(t *testing.T) {
	empty := newProxy()
	if status := ask(t, empty, httptest.NewRequest("GET", "/", nil)).StatusCode; status != http.StatusNotFound {
		t.Errorf("no rule: %d", status)
	}
	answer := ask(t, proxyTo(""), httptest.NewRequest("GET", "/", nil))
	if answer.StatusCode != http.StatusServiceUnavailable || answer.Header.Get("Retry-After") == "" {
		t.Errorf("no service: %d %v", answer.StatusCode, answer.Header)
	}
}
