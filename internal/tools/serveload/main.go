// Command serveload asks a server for the steps of trajectories, many at a time, compares each answer with the scores that are
// expected, and prints one JSON line: what was wrong, throughput and latencies.
package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"net/http"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// line is a row of prm score, and what a server answers.
type line struct {
	ID    string `json:"id"`
	Steps []struct {
		Score float64 `json:"score"`
	} `json:"steps"`
}

type result struct {
	Requests int     `json:"requests"`
	Wrong    int64   `json:"wrong"` // another id, other steps, or a score beyond the tolerance
	Failed   int64   `json:"failed"`
	Seconds  float64 `json:"seconds"`
	Rate     float64 `json:"requests_per_s"`
	P50      float64 `json:"p50_ms"`
	P99      float64 `json:"p99_ms"`
}

func main() {
	url := flag.String("url", "", "of the endpoint")
	in := flag.String("in", "", "trajectories, JSON lines, sent as they are")
	scores := flag.String("scores", "", "what prm score wrote for them")
	requests := flag.Int("requests", 10000, "how many are sent, the trajectories in turn")
	concurrency := flag.Int("concurrency", 64, "how many at a time")
	tolerance := flag.Float64("tolerance", 0, "largest difference of a score")
	flag.Parse()
	r, err := load(*url, *in, *scores, *requests, *concurrency, *tolerance)
	if err == nil {
		err = json.NewEncoder(os.Stdout).Encode(r)
	}
	if err == nil && r.Wrong+r.Failed > 0 {
		err = errors.New("not every answer was right")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "serveload:", err)
		os.Exit(1)
	}
}

func load(url, in, scores string, requests, concurrency int, tolerance float64) (result, error) {
	bodies, err := lines(in)
	if err != nil {
		return result{}, err
	}
	texts, err := lines(scores)
	if err != nil {
		return result{}, err
	}
	if len(texts) != len(bodies) || len(bodies) == 0 || requests < 1 || concurrency < 1 {
		return result{}, fmt.Errorf("%d trajectories with %d scores, %d requests, %d at a time", len(bodies), len(texts), requests, concurrency)
	}
	want := make([]line, len(texts))
	for i, text := range texts {
		if err := json.Unmarshal(text, &want[i]); err != nil {
			return result{}, fmt.Errorf("%s:%d: %w", scores, i+1, err)
		}
	}
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: concurrency}}
	r, took := result{Requests: requests}, make([]time.Duration, requests)
	var next atomic.Int64
	var all sync.WaitGroup
	start := time.Now()
	for range concurrency {
		all.Go(func() {
			for i := int(next.Add(1)) - 1; i < requests; i = int(next.Add(1)) - 1 {
				k, begin := i%len(bodies), time.Now()
				got, err := ask(client, url, bodies[k])
				took[i] = time.Since(begin)
				switch {
				case err != nil:
					if atomic.AddInt64(&r.Failed, 1) == 1 {
						fmt.Fprintln(os.Stderr, "serveload: the first failure:", err)
					}
				case !same(got, want[k], tolerance):
					atomic.AddInt64(&r.Wrong, 1)
				}
			}
		})
	}
	all.Wait()
	r.Seconds = time.Since(start).Seconds()
	slices.Sort(took)
	at := func(share float64) float64 { return took[int(share*float64(requests-1))].Seconds() * 1000 }
	r.Rate, r.P50, r.P99 = float64(requests)/r.Seconds, at(0.5), at(0.99)
	return r, nil
}

func lines(path string) ([][]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }() // it was only read
	var list [][]byte
	s := bufio.NewScanner(file)
	s.Buffer(nil, 64<<20)
	for s.Scan() {
		list = append(list, bytes.Clone(s.Bytes()))
	}
	return list, s.Err()
}

func ask(client *http.Client, url string, body []byte) (answer line, err error) {
	r, err := client.Post(url, "application/json", bytes.NewReader(body))
	if err != nil {
		return answer, err
	}
	text, err := io.ReadAll(r.Body)
	if err = errors.Join(err, r.Body.Close()); err == nil && r.StatusCode != http.StatusOK {
		err = fmt.Errorf("status %d: %.200s", r.StatusCode, text)
	}
	if err != nil {
		return answer, err
	}
	return answer, json.Unmarshal(text, &answer)
}

func same(got, want line, tolerance float64) bool {
	if got.ID != want.ID || len(got.Steps) != len(want.Steps) {
		return false
	}
	for i, s := range got.Steps {
		if !(math.Abs(s.Score-want.Steps[i].Score) <= tolerance) {
			return false
		}
	}
	return true
}
