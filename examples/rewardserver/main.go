// Command rewardserver serves a reward model to trainers over HTTP, with a check of its own before every request, as a
// program would that has users; prm serve does the same without the check.
//
//	go run ./examples/rewardserver --model Qwen2.5-Math-PRM-7B --user me --addr 127.0.0.1:5000
//	curl -H 'X-User: me' -d '{"problem":"2+3?","response":"It is 5."}' http://127.0.0.1:5000/v1/steps
package main

import (
	"context"
	"errors"
	"flag"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/goprm/goprm/prm"
)

func main() {
	model := flag.String("model", "", "folder of a model that goprm trained, or of a public reward model")
	user := flag.String("user", "", "who may ask, as the header X-User says")
	addr := flag.String("addr", "127.0.0.1:5000", "where to listen")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	listener, err := net.Listen("tcp", *addr)
	if err == nil {
		log.Printf("listening on http://%s", listener.Addr())
		err = run(ctx, *model, *user, listener)
	}
	if err != nil {
		log.Fatal(err)
	}
}

// run serves until the context ends, and then answers what it has taken.
func run(ctx context.Context, dir, user string, listener net.Listener) (err error) {
	if dir == "" || user == "" {
		return errors.Join(errors.New("wants --model and --user"), listener.Close())
	}
	model, err := prm.Open(dir, prm.OpenOptions{})
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	defer func() { err = errors.Join(err, model.Close()) }()
	rewards, err := prm.NewServer(model, prm.ServerOptions{})
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	server := &http.Server{ReadHeaderTimeout: 10 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-User") != user {
			http.Error(w, "who are you?", http.StatusForbidden)
			return
		}
		rewards.ServeHTTP(w, r)
	})}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	select {
	case err = <-failed:
	case <-ctx.Done():
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
		defer cancel()
		err = server.Shutdown(grace)
	}
	return errors.Join(err, rewards.Close())
}
