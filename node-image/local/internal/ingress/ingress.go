// Package ingress serves the cluster's Ingress objects over plain HTTP, as far
// as this project's users need what Traefik does in k3s: hosts, paths and
// default backends, forwarded to the ClusterIP of the Service.
package ingress

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	core "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
)

// how long requests in flight may take once SIGTERM has come
const drain = 5 * time.Second

// Run serves until SIGTERM.
func Run(args []string) error {
	flags := flag.NewFlagSet("ingress", flag.ExitOnError)
	kubeconfig := flags.String("kubeconfig", "", "how to reach the API")
	listen := flags.String("listen", ":80", "address to listen on")
	_ = flags.Parse(args)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()

	config, err := clientcmd.BuildConfigFromFlags("", *kubeconfig)
	if err != nil {
		return fmt.Errorf("kubeconfig %s: %w", *kubeconfig, err)
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	p := newProxy()
	if err := p.follow(ctx, client); err != nil {
		return err
	}
	return serve(ctx, &http.Server{Addr: *listen, Handler: p, ReadHeaderTimeout: 30 * time.Second})
}

// follow keeps the table in step with the cluster; it returns once the first
// table is complete.
func (p *proxy) follow(ctx context.Context, client kubernetes.Interface) error {
	factory := informers.NewSharedInformerFactory(client, 0)
	ingresses := factory.Networking().V1().Ingresses()
	services := factory.Core().V1().Services()
	find := func(namespace, name string) *core.Service {
		service, err := services.Lister().Services(namespace).Get(name)
		if err != nil { // a lister's only error is "not found"
			return nil
		}
		return service
	}
	renew := func() {
		all, err := ingresses.Lister().List(labels.Everything())
		if err != nil {
			log.Printf("list ingresses: %v", err)
			return
		}
		rules := newTable(all, find)
		p.table.Store(&rules)
	}
	changed := cache.ResourceEventHandlerFuncs{
		AddFunc:    func(any) { renew() },
		UpdateFunc: func(any, any) { renew() },
		DeleteFunc: func(any) { renew() },
	}
	for _, informer := range []cache.SharedIndexInformer{ingresses.Informer(), services.Informer()} {
		if _, err := informer.AddEventHandler(changed); err != nil {
			return err
		}
	}
	factory.Start(ctx.Done())
	for kind, synced := range factory.WaitForCacheSync(ctx.Done()) {
		if !synced {
			return fmt.Errorf("the list of %v never came", kind)
		}
	}
	renew()
	return nil
}

func serve(ctx context.Context, server *http.Server) error {
	drained := make(chan error, 1)
	go func() {
		<-ctx.Done()
		limit, cancel := context.WithTimeout(context.Background(), drain)
		defer cancel()
		drained <- server.Shutdown(limit)
	}()
	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return <-drained
}
