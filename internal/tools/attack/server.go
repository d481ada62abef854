package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/goprm/goprm/data"
	"github.com/goprm/goprm/internal/tinymodel"
	"github.com/goprm/goprm/prm"
)

// The server may take, beyond what it takes unloaded, its budget for requests, and what connections and the collector's lag take.
const (
	memory = 256 << 20
	slack  = 256 << 20
)

// server is a process under attack.
type server struct {
	command *exec.Cmd
	address string
	client  *http.Client
}

// tinyModel trains a reward model of two layers.
func tinyModel(dir string) (string, error) {
	config := prm.DefaultTrainConfig()
	config.Model, config.Out, config.Train, config.Quiet = filepath.Join(dir, "base"), filepath.Join(dir, "run"), "head", true
	if err := tinymodel.Write(config.Model, tinymodel.Options{}); err != nil {
		return "", err
	}
	var list []*data.Trajectory
	for i := range 12 {
		list = append(list, &data.Trajectory{Problem: fmt.Sprint(i), ResponseSteps: []string{"One.", "Two."},
			Labels: data.Labels{Steps: data.Floats(1, float64(i%2))}})
	}
	config.Data.Trajectories, config.Data.EvalShare = prm.Slice(list), new(0.0)
	result, err := prm.Train(context.Background(), config)
	if err != nil {
		return "", err
	}
	return result.Model, nil
}

// start runs prm serve and waits until it listens.
func start(binary, model string) (*server, error) {
	c := exec.Command(binary, "serve", "--model", model, "--addr", "127.0.0.1:0", "--memory", strconv.Itoa(memory), "--grace", "10s")
	stderr, err := c.StderrPipe()
	if err != nil {
		return nil, err
	}
	if err := c.Start(); err != nil {
		return nil, err
	}
	listening := regexp.MustCompile(`http://(\S+)`)
	lines := bufio.NewScanner(stderr)
	for lines.Scan() {
		if m := listening.FindStringSubmatch(lines.Text()); m != nil {
			s := newServer(m[1])
			s.command = c
			go func() { _, _ = io.Copy(io.Discard, stderr) }()
			return s, nil
		}
	}
	return nil, errors.Join(fmt.Errorf("%s serve does not listen", binary), c.Wait())
}

func newServer(address string) *server {
	return &server{address: address, client: &http.Client{Timeout: 60 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 64}}}
}

// rss is what the process has in memory; 0 where the system does not say.
func (s *server) rss() int64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.command.Process.Pid))
	if err != nil {
		return 0
	}
	if _, after, ok := strings.Cut(string(text), "VmRSS:"); ok {
		kib, _ := strconv.ParseInt(strings.Fields(after)[0], 10, 64)
		return kib << 10
	}
	return 0
}

// metric is a figure of /metrics.
func (s *server) metric(name string) (int, error) {
	r, err := s.client.Get("http://" + s.address + "/metrics")
	if err != nil {
		return 0, err
	}
	text, err := io.ReadAll(r.Body)
	if err := errors.Join(err, r.Body.Close()); err != nil {
		return 0, err
	}
	m := regexp.MustCompile(`(?m)^` + name + ` (\S+)$`).FindSubmatch(text)
	if m == nil {
		return 0, fmt.Errorf("/metrics has no %s", name)
	}
	v, err := strconv.ParseFloat(string(m[1]), 64)
	return int(v), err
}

// probe is what healthy requests saw.
type probe struct {
	Times   []time.Duration
	Control []time.Duration // of requests to a server that does nothing: what the machine alone makes of them
	Seen    map[string]int
}

// quantile is the least time that the share of them does not exceed.
func quantile(times []time.Duration, share float64) time.Duration {
	if len(times) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(times))
	return sorted[min(len(sorted)-1, int(share*float64(len(sorted))))]
}

// healthy has another process send short requests until it is told to stop: the attacker's own load is none of theirs.
func (s *server) healthy(stop <-chan struct{}) (p probe, err error) {
	self, err := os.Executable()
	if err != nil {
		return p, err
	}
	c := exec.Command(self, "--probe", s.address)
	in, err := c.StdinPipe()
	if err != nil {
		return p, err
	}
	go func() {
		<-stop
		_ = in.Close()
	}()
	out, err := c.Output()
	if err != nil {
		return p, err
	}
	return p, json.Unmarshal(out, &p)
}

// probing sends short requests, on kept connections and new ones, until its input ends, and prints what it saw.
func probing(address string) error {
	end := make(chan struct{})
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		close(end)
	}()
	control, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	go func() { _ = http.Serve(control, http.NotFoundHandler()) }()
	s, idle := newServer(address), newServer(control.Addr().String())
	p := probe{Seen: map[string]int{}}
	for i := 0; ; i++ {
		select {
		case <-end:
			return json.NewEncoder(os.Stdout).Encode(p)
		case <-time.After(5 * time.Millisecond):
		}
		if i%4 == 3 {
			s.client.CloseIdleConnections()
			idle.client.CloseIdleConnections()
		}
		before := time.Now()
		idle.post(context.Background(), "/", "")
		p.Control = append(p.Control, time.Since(before))
		begin := time.Now()
		p.Seen[s.post(context.Background(), "/reward/remote_rm", fmt.Sprintf(`{"prompt":"What is %d+1?","response":"One.\n\nTwo."}`, i))]++
		p.Times = append(p.Times, time.Since(begin))
	}
}

// post returns the status of an answer, or what went wrong in a word.
func (s *server) post(ctx context.Context, path, body string) string {
	r, err := http.NewRequestWithContext(ctx, "POST", "http://"+s.address+path, strings.NewReader(body))
	if err != nil {
		return err.Error()
	}
	got, err := s.client.Do(r)
	if err != nil {
		return fault(err)
	}
	_, err = io.Copy(io.Discard, got.Body)
	if err = errors.Join(err, got.Body.Close()); err != nil {
		return fault(err)
	}
	return strconv.Itoa(got.StatusCode)
}

func fault(err error) string {
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return "refused"
	case errors.Is(err, context.Canceled):
		return "cancelled"
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded):
		return "timeout"
	}
	return "cut"
}

// sample runs an attack beside healthy requests, and then looks whether anything of it is left.
func (s *server) sample(a attack, length time.Duration) result {
	row := result{name: a.name}
	stop, ready := make(chan struct{}), make(chan struct{})
	var wait sync.WaitGroup
	wait.Go(func() {
		seen, err := a.run(s, stop)
		if row.seen = seen; err != nil {
			row.faults = append(row.faults, err.Error())
		}
	})
	var failed error
	wait.Go(func() { row.healthy, failed = s.healthy(stop) })
	wait.Go(func() {
		defer close(ready)
		for end := time.Now().Add(length); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
			row.rss = max(row.rss, s.rss())
		}
	})
	<-ready
	close(stop)
	wait.Wait()
	if failed != nil || len(row.healthy.Times) == 0 {
		row.faults = append(row.faults, fmt.Sprintf("no healthy request was measured: %v", failed))
	}
	for status, n := range row.healthy.Seen {
		if status != "200" {
			row.faults = append(row.faults, fmt.Sprintf("%d healthy requests saw %s", n, status))
		}
	}
	for _, name := range []string{"goprm_requests_in_flight", "goprm_queue_texts", "goprm_memory_bytes"} {
		if err := s.comesTo(name, 0, time.Second); err != nil {
			row.faults = append(row.faults, err.Error())
		}
	}
	return row
}

// comesTo waits for a figure.
func (s *server) comesTo(name string, want int, within time.Duration) error {
	for end := time.Now().Add(within); ; time.Sleep(20 * time.Millisecond) {
		got, err := s.metric(name)
		if err != nil {
			return err
		}
		if got == want {
			return nil
		}
		if time.Now().After(end) {
			return fmt.Errorf("%s is %d after %v", name, got, within)
		}
	}
}

// counts writes statuses and how often they came.
func counts(seen map[string]int) string {
	var list []string
	for status, n := range seen {
		list = append(list, fmt.Sprintf("%s×%d", status, n))
	}
	slices.Sort(list)
	return strings.Join(list, " ")
}
