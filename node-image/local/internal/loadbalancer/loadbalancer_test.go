package loadbalancer

import (
	"fmt"
	"io"
	"log"
	"net"
	"strconv"
	"testing"
)

// node answers each connection with its name and what it was sent.
func node(t *testing.T, name string) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			connection, err := listener.Accept()
			if err != nil {
				return
			}
			sent, _ := io.ReadAll(connection)
			_, _ = fmt.Fprintf(connection, "%s:%s", name, sent)
			_ = connection.Close()
		}
	}()
	return listener.Addr().String()
}

func freePort(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", ":0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return strconv.Itoa(listener.Addr().(*net.TCPAddr).Port)
}

func ask(t *testing.T, port string) string {
	t.Helper()
	connection, err := net.Dial("tcp", "127.0.0.1:"+port)
	if err != nil {
		t.Fatal(err)
	}
	defer connection.Close()
	if _, err := connection.Write([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	_ = connection.(*net.TCPConn).CloseWrite()
	answer, err := io.ReadAll(connection)
	if err != nil {
		t.Fatal(err)
	}
	return string(answer)
}

func balancer(t *testing.T, nodes map[string]string) *Balancer {
	t.Helper()
	b := New(log.New(io.Discard, "", 0))
	b.dial = func(address string) (net.Conn, error) {
		name, _, _ := net.SplitHostPort(address)
		return net.Dial("tcp", nodes[name])
	}
	return b
}

func configure(t *testing.T, b *Balancer, text string, arguments ...any) {
	t.Helper()
	if err := b.configure(fmt.Appendf(nil, text, arguments...)); err != nil {
		t.Fatal(err)
	}
}

func TestNodesTakeTurnsAndOneThatIsAwayIsLeftOut(t *testing.T) {
	b := balancer(t, map[string]string{"a": node(t, "a"), "b": node(t, "b")})
	port := freePort(t)
	configure(t, b, "ports: {%s.tcp: [a, away, b]}\nsettings: {workerConnections: 1024}\n", port)
	answers := map[string]int{}
	for range 6 {
		answers[ask(t, port)]++
	}
	if len(answers) != 2 || answers["a:hello"] == 0 || answers["b:hello"] == 0 {
		t.Errorf("got %v", answers)
	}
}

func TestNewConfigurationReplacesTheNodes(t *testing.T) {
	b := balancer(t, map[string]string{"a": node(t, "a"), "b": node(t, "b")})
	port := freePort(t)
	configure(t, b, "ports: {%s.tcp: [a]}", port)
	if got := ask(t, port); got != "a:hello" {
		t.Errorf("got %q", got)
	}
	configure(t, b, "ports: {%s.tcp: [b]}", port)
	if got := ask(t, port); got != "b:hello" {
		t.Errorf("got %q", got)
	}
}

func TestUDPIsRefused(t *testing.T) {
	if err := balancer(t, nil).configure([]byte("ports: {53.udp: [a]}")); err == nil {
		t.Error("accepted")
	}
}
