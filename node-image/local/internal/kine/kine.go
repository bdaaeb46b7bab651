// Package kine stores the cluster's state in SQLite behind etcd's interface, as
// k3s does. kine's own main package also links NATS, MySQL, PostgreSQL and S3.
package kine

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/k3s-io/kine/pkg/drivers"
	_ "github.com/k3s-io/kine/pkg/drivers/sqlite"
	"github.com/k3s-io/kine/pkg/server"
	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"
)

const (
	// what kine's own command line passes to its SQLite driver
	sqliteOptions = "?_journal_mode=WAL&_busy_timeout=30000&_synchronous=NORMAL&_txlock=immediate&_stmt_cache_size=20&cache=shared"
	// the etcd version to answer with; the API server asks for it to learn what it may use
	etcdVersion = "3.6.11"
)

// Run serves the database until SIGTERM.
func Run(args []string) error {
	flags := flag.NewFlagSet("kine", flag.ExitOnError)
	socket := flags.String("socket", "", "unix socket to listen on")
	database := flags.String("database", "", "SQLite file")
	_ = flags.Parse(args)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()

	var running sync.WaitGroup
	_, backend, err := drivers.New(ctx, &running, &drivers.Config{
		Endpoint:         "sqlite://" + *database + sqliteOptions,
		CompactTimeout:   5 * time.Second,
		CompactMinRetain: 1000,
		CompactBatchSize: 1000,
		PollBatchSize:    500,
		PollInterval:     time.Second,
	})
	if err != nil {
		return fmt.Errorf("open %s: %w", *database, err)
	}
	if err := backend.Start(ctx); err != nil {
		return fmt.Errorf("start: %w", err)
	}
	grpcServer := grpc.NewServer(
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 5 * time.Second}),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: 2 * time.Hour, Timeout: 20 * time.Second}),
		grpc.MaxRecvMsgSize(2<<20), grpc.MaxSendMsgSize(1<<31-1))
	server.New(backend, "unix", 5*time.Second, etcdVersion).Register(grpcServer)
	return serve(ctx, grpcServer, *socket)
}

func serve(ctx context.Context, grpcServer *grpc.Server, socket string) error {
	if err := os.Remove(socket); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	listener, err := net.Listen("unix", socket)
	if err != nil {
		return err
	}
	go func() {
		<-ctx.Done()
		// watches never end of themselves
		time.AfterFunc(2*time.Second, grpcServer.Stop)
		grpcServer.GracefulStop()
	}()
	return grpcServer.Serve(listener)
}
