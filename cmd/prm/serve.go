package main

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/goprm/goprm/internal/atomicfile"
	"github.com/goprm/goprm/prm"
)

// tokenVariable keeps the token out of the command line, where everybody on the machine could read it.
const tokenVariable = "GOPRM_TOKEN"

type serveCommand struct {
	modelFlag
	Addr string `default:"127.0.0.1:5000" help:"Where to listen; port 0: any free one."`
	hostPort
	Name       string        `help:"The model's name in requests and answers; its folder's by default."`
	Alpha      *float64      `help:"Weight of the trajectory's own score in the reward; the model's by default."`
	Parts      string        `enum:"trained,thinking,response,all," default:"" help:"${parts}"`
	Beta       *float64      `help:"Weight of the model's reward beside the outcome, where a label is given; 0.75 by default."`
	BlendScale string        `enum:"paper,unit" default:"paper" help:"What is blended: paper (the reward) or unit (the reward / (1+alpha))."`
	Ungraded   string        `enum:"error,prm-only" default:"error" help:"Unreadable labels: error (422) or prm-only (as if not given)."`
	TooLong    string        `enum:"window,error" default:"window" help:"Beyond the trained length: window (read in windows) or error (422)."`
	Unscored   string        `default:"error" help:"What trainers are told of texts without a reward: error (422 or 413), null, or a number."`
	Batch      int           `name:"batch-tokens" default:"8192" help:"Most tokens scored at once; it changes no score."`
	Cache      *int          `name:"cache-tokens" help:"Most tokens kept for texts that begin like earlier ones; 0: none."`
	Wait       time.Duration `name:"max-wait" default:"2ms" help:"Longest that a text waits for others to share its batch."`
	Queue      int           `default:"4096" help:"Most requests at a time, and most texts that wait; status 429 beyond."`
	MaxBody    int64         `default:"16777216" help:"Most bytes of a request."`
	MaxTokens  int           `default:"131072" help:"Most tokens of one text, in all its windows."`
	MaxText    int           `default:"0" help:"Most bytes of one text with its problem; 8 for each of --max-tokens by default."`
	MaxSteps   int           `default:"16384" help:"Most steps of one text."`
	Memory     int64         `default:"536870912" help:"Most bytes that all requests together may be reckoned to take; status 429 beyond."`
	Timeout    time.Duration `default:"170s" help:"Longest that a request waits for its answer."`
	Grace      time.Duration `default:"30s" help:"Longest that requests are still answered after SIGTERM."`
	Audit      string        `help:"File that gets a share of the scored texts with their scores, which prm score --replay scores again."`
	AuditShare float64       `default:"0.001" help:"Share of the texts that --audit logs, chosen by their content."`
	HostName   []string      `name:"host-name" help:"Names, beside loopback and addresses, that requests without a token may use; *: any."`
	Tokens     string        `name:"tokens" help:"YAML file of tokens that requests must bring; read again on SIGHUP."`
	TLSCert    string        `name:"tls-cert" help:"PEM file of the certificate, to speak TLS; read again on SIGHUP."`
	TLSKey     string        `name:"tls-key" help:"PEM file of the certificate's key."`
	AccessLog  string        `name:"access-log" help:"File for a line of JSON per request, without texts; -: stderr; reopened on SIGHUP."`
	openFlags
}

func (serveCommand) watchesContext() {}

func (serveCommand) Help() string {
	return "It speaks what trainers and inference engines speak: OpenRLHF POST /get_reward, slime and miles /reward/remote_rm, " +
		"LLaMA-Factory /reward/llamafactory, vLLM /pooling, /classify, /score, /rerank and /generative_scoring, SGLang " +
		"/v1/embeddings and /v1/score, and /v1/steps for the score of every step. GET / is a page to try it, /openapi.json describes it, " +
		"/metrics is for Prometheus. If " + tokenVariable + " is set, requests must bring it as Authorization: Bearer; the file of --tokens is " +
		"{tokens: [{name, token or sha256, per_minute, concurrent}]}. A text has no reward (--unscored) that is empty, cannot be taken apart, " +
		"is too long or has a label that cannot be read, as far as --too-long and --ungraded make an error of it; an answer that cannot be " +
		"read is wrong. --cache-tokens changes no score; by default it is 16384, fewer where a quarter of the memory would not hold them: a " +
		"token takes 2 x layers x key/value heads x head dimension numbers. Example:\n\n" +
		"  prm serve --model runs/one/model --addr 127.0.0.1:5000"
}

func (c serveCommand) options(p *program, address string) (prm.ServerOptions, error) {
	opt := prm.ServerOptions{
		Name: c.Name, Alpha: c.Alpha, Parts: c.Parts, Beta: c.Beta, BlendScale: c.BlendScale, Ungraded: c.Ungraded, TooLong: c.TooLong,
		Unscored:    c.Unscored,
		BatchTokens: c.Batch, CacheTokens: c.Cache, MaxWait: c.Wait, Queue: c.Queue, MaxBody: c.MaxBody, MaxTokens: c.MaxTokens,
		MaxText: c.MaxText, MaxSteps: c.MaxSteps, Memory: c.Memory, HostNames: c.HostName,
		Timeout: c.Timeout, Logger: slog.New(consoleHandler{mu: &sync.Mutex{}, console: p.console}),
	}
	if (c.TLSCert == "") != (c.TLSKey == "") {
		return opt, usageError("--tls-cert and --tls-key go together")
	}
	if host, _, err := net.SplitHostPort(address); err == nil && host != "" { // the name that it listens at is its own
		opt.HostNames = append(opt.HostNames, host)
	}
	if err := opt.Validate(); err != nil {
		return opt, usageError(oneLine(err))
	}
	var err error
	opt.Tokens, err = c.tokens()
	return opt, err
}

// tokens are the environment's and those of the file.
func (c serveCommand) tokens() (list []prm.ServerToken, err error) {
	if token := os.Getenv(tokenVariable); token != "" {
		list = append(list, prm.ServerToken{Name: "default", SHA256: sha256.Sum256([]byte(token))})
	}
	if c.Tokens == "" {
		return list, nil
	}
	more, err := prm.ReadServerTokens(c.Tokens)
	return append(list, more...), err
}

func (c serveCommand) Run(p *program) (err error) {
	if err := c.resolve(); err != nil {
		return err
	}
	address, err := c.address(c.Addr)
	if err != nil {
		return err
	}
	opt, err := c.options(p, address)
	if err != nil {
		return err
	}
	if c.Audit != "" { // the texts are private
		log, err := atomicfile.OpenAppend(c.Audit, 0o600)
		if err != nil {
			return fmt.Errorf("--audit: %w", err)
		}
		defer func() { _ = log.Close() }() // each line is written with one call
		cut, err := log.CutTorn()
		if err != nil {
			return fmt.Errorf("--audit: %w", err)
		}
		if cut > 0 {
			p.console.Warnf("%s: its last line was not written whole: %d bytes are cut off", c.Audit, cut)
		}
		opt.Audit, opt.AuditShare = log, c.AuditShare
	}
	defer p.spareProcessors()()
	s := &serving{serveCommand: c, program: p}
	if c.TLSCert != "" {
		if s.certificate, err = prm.OpenCertificate(c.TLSCert, c.TLSKey); err != nil {
			return err
		}
	}
	if opt.AccessLog, err = s.openLog(); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.log.Close()) }()
	if s.model, err = p.open(c.Model, c.openFlags, 0); err != nil {
		return err
	}
	if s.server, err = prm.NewServer(s.model, opt); err != nil {
		return errors.Join(err, s.model.Close())
	}
	var config net.ListenConfig
	config.SetMultipathTCP(false) // see prm.Server.Serve
	listener, err := config.Listen(p.ctx, "tcp", address)
	if err != nil {
		return errors.Join(fmt.Errorf("--addr: %w", err), s.server.Close(), s.model.Close())
	}
	s.greet(listener, address, opt)
	go saySpeed(p.ctx, opt.Logger, s.model, c.Timeout, c.MaxTokens)
	stop := s.reloadOnHangup()
	if s.certificate == nil {
		err = s.server.Serve(p.ctx, listener, c.Grace)
	} else {
		err = s.server.ServeTLS(p.ctx, listener, c.Grace, s.certificate.Config())
	}
	stop()
	if err == nil {
		p.console.Infof("every request is answered")
	}
	return errors.Join(err, s.model.Close())
}

// greet says what is served, where and to whom.
func (s *serving) greet(listener net.Listener, address string, opt prm.ServerOptions) {
	info := s.model.Info()
	s.console.Infof("%s: %s, %d layers, %s on %s", s.Model, info.Format, info.Layers, info.DType, info.Backend)
	if cache := s.server.Cache(); cache.Off != "" {
		s.console.Infof("prefix cache: off, %s", cache.Off)
	} else {
		s.console.Infof("prefix cache: %d tokens, which take up to %d MiB", cache.Tokens, cache.Bytes>>20)
	}
	if a, ok := listener.Addr().(*net.TCPAddr); ok && !a.IP.IsLoopback() && len(opt.Tokens) == 0 {
		s.console.Warnf("everybody who reaches %s may ask; set %s or --tokens to ask for a token", a, tokenVariable)
	}
	scheme := "http"
	if s.certificate != nil {
		scheme = "https"
	}
	s.console.Infof("listening on %s://%s", scheme, listens(address, listener))
}

// hostPort are the other spellings of an address.
type hostPort struct {
	Host *string `help:"Host of --addr."`
	Port *uint16 `help:"Port of --addr."`
}

// address is --addr, with --host and --port in their places.
func (c hostPort) address(addr string) (string, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return "", usageError(fmt.Sprintf("--addr: %v; it is host:port", err))
	}
	if c.Host != nil {
		host = *c.Host
	}
	if c.Port != nil {
		port = strconv.Itoa(int(*c.Port))
	}
	return net.JoinHostPort(host, port), nil
}

// listens is the address as the user gave it with the port that is in use: the listener's own names every IPv4 host as [::].
func listens(address string, listener net.Listener) string {
	host, _, _ := net.SplitHostPort(address)
	_, port, err := net.SplitHostPort(listener.Addr().String())
	if host == "" || err != nil {
		return listener.Addr().String()
	}
	return net.JoinHostPort(host, port)
}
