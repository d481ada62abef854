// Command bench times prm and other programs on the same work, in turn, and writes the tables of docs/benchmarks.md. `make bench` runs
// it; scripts/bench/setup.sh installs the others.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"runtime"
	"time"
)

// bench is the program's settings.
type bench struct {
	programs  string // folder in which all programs and models are
	scripts   string
	threads   int
	avx2      bool // no program has instructions beyond AVX2
	rounds    int
	rows      *regexp.Regexp
	sides     *regexp.Regexp
	limit     float64 // seconds of a process
	budget    time.Duration
	disturbed float64 // of one processor
	repeats   int     // of a run that was disturbed
	retry     bool
	smoke     bool
	command   string             // the flags that say what is measured
	peaks     map[string]float64 // of the machine, GFLOP/s by dtype
	log       func(format string, args ...any)
}

func (b *bench) program(name string) string { return filepath.Join(b.programs, name) }

// model is the folder of a case's weights.
func (b *bench) model(c Case) string { return filepath.Join(b.programs, "models", c.Shape) }

func main() {
	b := &bench{log: func(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }}
	flag.StringVar(&b.programs, "programs", "runs/bench", "folder of prm, the other programs, and the models")
	flag.StringVar(&b.scripts, "scripts", "scripts/bench", "folder of the scripts in Python")
	flag.IntVar(&b.threads, "threads", runtime.NumCPU(), "of every program")
	flag.BoolVar(&b.avx2, "avx2", false, "no instructions beyond AVX2; programs that cannot be told so are left out")
	flag.IntVar(&b.rounds, "rounds", 3, "of each case; in each of them every program runs once")
	rows := flag.String("rows", "", "regular expression of the cases, SHAPE/MODE/TOKENS/DTYPE")
	programs := flag.String("with", "", "regular expression of the programs, goprm, pytorch and so on; the others are left out")
	flag.Float64Var(&b.limit, "limit", 120, "seconds that a process may be expected to take; one that takes three times as long is stopped")
	flag.DurationVar(&b.budget, "budget", time.Hour, "no case begins after so long; the next call goes on")
	flag.Float64Var(&b.disturbed, "disturbed", 0.05, "processors that others may have had; a run that had less to itself is dropped")
	flag.IntVar(&b.repeats, "repeats", 2, "of a run that was dropped")
	flag.BoolVar(&b.retry, "retry", false, "try again what failed")
	flag.BoolVar(&b.smoke, "smoke", false, "cases of no size instead, to see that every program starts")
	publish := flag.String("publish", "", "docs/benchmarks.md: write its tables, and the numbers beside it in benchmarks.json")
	list := flag.Bool("list", false, "print the cases and what each program is expected to take, and run nothing")
	flag.Parse()
	flag.Visit(func(f *flag.Flag) {
		if f.Name != "programs" && f.Name != "scripts" && f.Name != "publish" { // folders of this machine
			b.command += fmt.Sprintf(" -%s '%s'", f.Name, f.Value)
		}
	})
	var err error
	if b.rows, err = regexp.Compile(*rows); err == nil {
		b.sides, err = regexp.Compile(*programs)
	}
	if err == nil {
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
		err = b.run(ctx, *publish, *list)
		stop()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func (b *bench) run(ctx context.Context, publish string, list bool) error {
	machine, err := describeMachine(ctx, b)
	if err != nil {
		return err
	}
	b.peaks = machine.Peaks
	path := filepath.Join(b.programs, "results-"+machine.key()+machine.suffix()+".json")
	if b.smoke {
		path, publish = filepath.Join(b.programs, "smoke.json"), ""
		_ = os.Remove(path) // of an earlier smoke test; openResults reports what cannot be removed and read
	}
	results, err := openResults(path, machine)
	if err != nil {
		return err
	}
	if list {
		return b.printCases(results)
	}
	failed := b.measureAll(ctx, results)
	if publish != "" {
		failed = errors.Join(failed, results.publish(publish))
	}
	if b.smoke {
		fmt.Print(results.tables())
	}
	b.log("%s", path)
	return failed
}

// selected are the cases that --rows names.
func (b *bench) selected() (list []Case) {
	all := cases()
	if b.smoke {
		all = smoke()
	}
	for _, c := range all {
		if b.rows.MatchString(c.String()) {
			list = append(list, c)
		}
	}
	return list
}

func (b *bench) printCases(results *Results) error {
	for _, c := range b.selected() {
		for _, s := range sides() {
			seconds, why := b.expect(results, c, s)
			if why == "" {
				why = fmt.Sprintf("%.0f s", seconds)
			}
			fmt.Printf("%-24s %-18s %s\n", c, s.Name, why)
		}
	}
	return nil
}

// measureAll runs the cases, until the budget is spent.
func (b *bench) measureAll(ctx context.Context, results *Results) error {
	began := time.Now()
	for _, c := range b.selected() {
		if time.Since(began) > b.budget {
			results.leave(c, fmt.Sprintf("not begun within %v", b.budget))
			continue
		}
		if err := b.measure(ctx, results, c); err != nil {
			return err
		}
	}
	return results.save()
}
