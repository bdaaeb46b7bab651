// Command runtimeconfig passes calls of CRI on to containerd, and answers RuntimeConfig
// itself: the cgroup driver is cgroupfs. containerd 1.6 and 1.7 do not have this call,
// and critest then asks for cgroups in systemd's notation, which only runc takes for
// names where systemd does not make them.
//
// Usage: runtimeconfig LISTEN-SOCKET CONTAINERD-SOCKET
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/metadata"
)

const runtimeConfig = "/runtime.v1.RuntimeService/RuntimeConfig"

// cgroupfs is RuntimeConfigResponse{Linux: {CgroupDriver: CGROUPFS}} as protobuf.
var cgroupfs = mem.BufferSlice{mem.SliceBuffer{0x0a, 0x02, 0x08, 0x01}}

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: runtimeconfig LISTEN-SOCKET CONTAINERD-SOCKET")
		os.Exit(2)
	}
	if err := serve(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func serve(listen, containerd string) error {
	client, err := grpc.NewClient("unix://"+containerd, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.ForceCodecV2(codec{}), grpc.MaxCallRecvMsgSize(16<<20)))
	if err != nil {
		return err
	}
	defer client.Close()
	listener, err := net.Listen("unix", listen)
	if err != nil {
		return err
	}
	answer := func(_ any, server grpc.ServerStream) error { return pass(server, client) }
	return grpc.NewServer(grpc.ForceServerCodecV2(codec{}), grpc.UnknownServiceHandler(answer)).Serve(listener)
}

// pass answers one call: every call of CRI has one request, and one or more responses.
func pass(server grpc.ServerStream, client *grpc.ClientConn) error {
	method, _ := grpc.MethodFromServerStream(server)
	var request message
	if err := server.RecvMsg(&request); err != nil {
		return err
	}
	if method == runtimeConfig {
		return server.SendMsg(&message{cgroupfs})
	}
	headers, _ := metadata.FromIncomingContext(server.Context())
	ctx, cancel := context.WithCancel(metadata.NewOutgoingContext(server.Context(), headers))
	defer cancel()
	call, err := client.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, method)
	if err != nil {
		return err
	}
	if err := call.SendMsg(&request); err != nil {
		return err
	}
	if err := call.CloseSend(); err != nil {
		return err
	}
	for {
		var response message
		if err := call.RecvMsg(&response); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		if err := server.SendMsg(&response); err != nil {
			return err
		}
	}
}

// message is a request or a response as its bytes.
type message struct{ data mem.BufferSlice }

// codec leaves messages as they are.
type codec struct{}

func (codec) Marshal(value any) (mem.BufferSlice, error) { return value.(*message).data, nil }

func (codec) Unmarshal(data mem.BufferSlice, value any) error {
	value.(*message).data = mem.BufferSlice{mem.SliceBuffer(data.Materialize())}
	return nil
}

// Name is that of the codec that containerd has.
func (codec) Name() string { return "proto" }
