package main

import (
	"fmt"
	"net"

	"github.com/goprm/goprm/internal/ui"
)

type uiCommand struct {
	Runs []string `arg:"" help:"Run folders, or folders that hold some."`
	Addr string   `default:"127.0.0.1:5080" help:"Where to listen; port 0: any free one."`
	hostPort
}

func (uiCommand) watchesContext() {}

func (uiCommand) Help() string {
	return "A page of training runs: it follows those under way, lays up to six over each other and lists the hyperparameters in which " +
		"they differ. It reads the run folders and nothing else. Example:\n\n  prm ui runs"
}

func (c uiCommand) Run(p *program) error {
	address, err := c.address(c.Addr)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return fmt.Errorf("--addr: %w", err)
	}
	at, _ := listener.Addr().(*net.TCPAddr)
	local := at != nil && at.IP.IsLoopback()
	server, err := ui.New(ui.Options{Roots: c.Runs, Local: local})
	if err != nil {
		_ = listener.Close()
		return err
	}
	if !local {
		p.console.Warnf("everybody who reaches %s may read the metrics and configurations of these runs", listener.Addr())
	}
	p.console.Infof("listening on http://%s", listens(address, listener))
	return server.Serve(p.ctx, listener)
}
