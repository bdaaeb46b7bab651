// Package loadbalancer passes TCP connections on to nodes, as k3d's load
// balancer does. UDP is not supported.
package loadbalancer

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"sigs.k8s.io/yaml"
)

const (
	// between two looks at the file, which k3d writes anew for each node
	interval = 500 * time.Millisecond
	// as k3d's own has it
	connectTimeout = 2 * time.Second
	// after a failed accept(2), when descriptors are short
	acceptPause = 100 * time.Millisecond
)

// config is the part of k3d's file that counts here: "80.tcp" to node names.
type config struct {
	Ports map[string][]string `json:"ports"`
}

// port is a listening port and the nodes behind it, which take turns.
type port struct {
	nodes atomic.Pointer[[]string]
	next  atomic.Uint64
}

// Balancer listens on the ports of the newest configuration.
type Balancer struct {
	log   *log.Logger
	ports map[string]*port
	dial  func(address string) (net.Conn, error)
}

// New returns a balancer that has no ports yet.
func New(logger *log.Logger) *Balancer {
	dial := func(address string) (net.Conn, error) { return net.DialTimeout("tcp", address, connectTimeout) }
	return &Balancer{log: logger, ports: map[string]*port{}, dial: dial}
}

// Follow reads the file whenever it changes, until the context ends.
func (b *Balancer) Follow(ctx context.Context, file string) {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	var last string
	for {
		// k3d copies it in after the start of the container
		if text, err := os.ReadFile(file); err == nil && string(text) != last {
			last = string(text)
			if err := b.configure(text); err != nil {
				b.log.Printf("%s: %v", file, err)
			} else {
				// k3d waits for these words of nginx.
				b.log.Print("start worker processes")
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// configure opens new ports and gives all of them their nodes. A port that is
// gone from the configuration stays open and has no nodes.
func (b *Balancer) configure(text []byte) error {
	var c config
	if err := yaml.Unmarshal(text, &c); err != nil {
		return err
	}
	for name := range b.ports {
		b.ports[name].nodes.Store(&[]string{})
	}
	for name, nodes := range c.Ports {
		number, protocol, _ := strings.Cut(name, ".")
		if protocol != "tcp" {
			return fmt.Errorf("port %s: only TCP is supported", name)
		}
		if b.ports[name] == nil {
			listener, err := net.Listen("tcp", ":"+number)
			if err != nil {
				return err
			}
			b.ports[name] = &port{}
			go b.serve(listener, number, b.ports[name])
		}
		b.ports[name].nodes.Store(&nodes)
	}
	return nil
}

func (b *Balancer) serve(listener net.Listener, number string, p *port) {
	for {
		client, err := listener.Accept()
		if err != nil {
			b.log.Print(err)
			time.Sleep(acceptPause)
			continue
		}
		go b.pass(client, number, p)
	}
}

// pass connects the client with the next node that takes the connection.
func (b *Balancer) pass(client net.Conn, number string, p *port) {
	defer client.Close()
	nodes := p.nodes.Load()
	if nodes == nil {
		return
	}
	for range *nodes {
		node := (*nodes)[p.next.Add(1)%uint64(len(*nodes))]
		connection, err := b.dial(net.JoinHostPort(node, number))
		if err != nil {
			continue
		}
		copyBoth(client, connection)
		return
	}
}

// copyBoth passes bytes on in both directions until both have ended. The end of
// one direction is passed on too.
func copyBoth(a, b net.Conn) {
	defer b.Close()
	var running sync.WaitGroup
	for _, way := range [][2]net.Conn{{a, b}, {b, a}} {
		running.Go(func() {
			_, _ = io.Copy(way[0], way[1])
			if tcp, ok := way[0].(*net.TCPConn); ok {
				_ = tcp.CloseWrite()
			}
		})
	}
	running.Wait()
}
