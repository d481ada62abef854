// Command rewardserver answers the reward requests of trainers with a reward model, as prm serve does, from a program of
// one's own; on SIGINT or SIGTERM it takes no more requests, answers those it has taken and ends.
//
//	go run ./examples/rewardserver --model runs/one/model --addr 127.0.0.1:5000
//	curl http://127.0.0.1:5000/reward/remote_rm -d '{"prompt":"1+1?","response":"It is \\boxed{2}.","label":"2"}'
package main

import (
	"context"
	"errors"
	"flag"
	"log"
	"net"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/goprm/goprm/prm"

	_ "github.com/goprm/goprm/cuda"       // the device cuda:0; without it the CPU computes
	_ "github.com/goprm/goprm/prm/server" // what NewServer starts
)

func main() {
	model := flag.String("model", "", "folder of a model that goprm trained, or of a public reward model")
	addr := flag.String("addr", "127.0.0.1:5000", "where to listen")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	listener, err := net.Listen("tcp", *addr)
	if err != nil {
		log.Fatal(err)
	}
	if err := run(ctx, *model, listener); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, dir string, listener net.Listener) (err error) {
	defer func() { _ = listener.Close() }() // Serve has closed it, unless it was not reached
	if dir == "" {
		return errors.New("wants --model")
	}
	model, err := prm.Open(dir, prm.OpenOptions{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, model.Close()) }()
	// The zero options are those of prm serve. A Server is an http.Handler, too, for a server that has more to answer.
	server, err := prm.NewServer(model, prm.ServerOptions{})
	if err != nil {
		return err
	}
	log.Printf("listening on http://%s", listener.Addr())
	return server.Serve(ctx, listener, 30*time.Second)
}
