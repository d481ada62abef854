// Command attack asks a server of its own, over loopback, for more than it can give, and prints what healthy requests beside that saw,
// the memory that the server took, and whether it kept within its bounds.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"text/tabwriter"
	"time"
)

// attack is one way to overwhelm the server.
type attack struct {
	name string
	// run attacks until stop is closed, and returns the answers that the attacker saw, by status or error. What it holds is held till then.
	run func(s *server, stop <-chan struct{}) (seen map[string]int, err error)
	// slowdown is by how much the healthy requests' p99 may exceed that of the unloaded server, or, if that is more, that of a server which
	// does nothing and is asked at the same time: the attacker, and what else runs on the machine, slow that one too.
	slowdown float64
}

// leastBound is below what a busy machine's scheduler delays a request.
const leastBound = 100 * time.Millisecond

// result is a row of the table.
type result struct {
	name    string
	healthy probe
	rss     int64 // bytes, at most, while it ran
	seen    map[string]int
	faults  []string
}

func main() {
	binary := flag.String("prm", "bin/prm", "the program under attack")
	model := flag.String("model", "", "the model folder that it serves; a tiny one is trained by default")
	seconds := flag.Duration("for", 3*time.Second, "how long each attack lasts")
	only := flag.String("only", "", "the attacks whose names match this regular expression; all by default")
	address := flag.String("probe", "", "only send healthy requests there, until the input ends; the program runs itself so")
	flag.Parse()
	if *address != "" {
		if err := probing(*address); err != nil {
			fmt.Fprintln(os.Stderr, "attack:", err)
			os.Exit(1)
		}
		return
	}
	wanted, err := regexp.Compile(*only)
	if err == nil {
		err = run(*binary, *model, wanted, *seconds)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "attack:", err)
		os.Exit(1)
	}
}

func run(binary, model string, wanted *regexp.Regexp, length time.Duration) (err error) {
	dir, err := os.MkdirTemp("", "goprm-attack-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if model == "" {
		if model, err = tinyModel(filepath.Join(dir, "model")); err != nil {
			return err
		}
	}
	var rows []result
	s, err := start(binary, model)
	if err != nil {
		return err
	}
	defer func() { _ = s.command.Process.Kill() }() // where the drain has not ended it
	base := s.sample(attack{name: "none", run: nothing}, length)
	rows = append(rows, base)
	for _, a := range attacks {
		if !wanted.MatchString(a.name) {
			continue
		}
		row := s.sample(a, length)
		unloaded := max(quantile(base.healthy.Times, 0.99), quantile(row.healthy.Control, 0.99))
		bound := max(leastBound, time.Duration(a.slowdown*float64(unloaded)))
		if p99 := quantile(row.healthy.Times, 0.99); p99 > bound {
			row.faults = append(row.faults, fmt.Sprintf("p99 %v, at most %v", p99.Round(time.Millisecond), bound.Round(time.Millisecond)))
		}
		if most := base.rss + memory + slack; row.rss > most {
			row.faults = append(row.faults, fmt.Sprintf("%d MiB, at most %d", row.rss>>20, most>>20))
		}
		rows = append(rows, row)
	}
	if wanted.MatchString(drainName) {
		rows = append(rows, s.drained())
	}
	return report(rows)
}

// report prints the rows and fails where one has a fault.
func report(rows []result) error {
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, "attack\thealthy\tp50 ms\tp99 ms\tcontrol p99\tRSS MiB\thealthy saw\tattacker saw\tverdict")
	failed := 0
	for _, r := range rows {
		verdict := "held"
		if len(r.faults) > 0 {
			verdict, failed = strings.Join(r.faults, "; "), failed+1
		}
		// A tabwriter keeps its first error for Flush.
		_, _ = fmt.Fprintf(w, "%s\t%d\t%.1f\t%.1f\t%.1f\t%d\t%s\t%s\t%s\n", r.name, len(r.healthy.Times),
			ms(quantile(r.healthy.Times, 0.5)), ms(quantile(r.healthy.Times, 0.99)), ms(quantile(r.healthy.Control, 0.99)),
			r.rss>>20, counts(r.healthy.Seen), counts(r.seen), verdict)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if failed > 0 {
		return fmt.Errorf("%d of %d attacks broke a bound", failed, len(rows))
	}
	return nil
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
