package speed

import (
	"fmt"
	"io"
	"text/tabwriter"
)

// Write prints the report for people.
func (r *Report) Write(to io.Writer) error {
	m := &r.Machine
	w := tabwriter.NewWriter(to, 0, 0, 2, ' ', tabwriter.AlignRight)
	var failed error
	line := func(format string, args ...any) {
		if _, err := fmt.Fprintf(w, format+"\n", args...); err != nil && failed == nil {
			failed = err
		}
	}
	line("%s, %s, %d processors, %d threads", known(m.CPU), m.System, m.Processors, m.Threads)
	for _, p := range m.Peaks {
		line("peak of %s: %.0f GFLOP/s (%s)", p.DType, p.Rate, p.Instruction)
	}
	line("memory: %.1f GB/s", m.Memory)
	line("")
	line("%s of %d tokens in %s on %s: %.1f tokens/s (best %.1f), %d MB at most", r.Mode, r.Tokens, r.DType, r.Backend, r.TokensPerS,
		r.TokensPerSBest, r.PeakRSS)
	if r.Had > 0 {
		line("the threads had %.0f %% of their time; the rest was waiting and other programs", 100*r.Had)
	}
	line("executed: %.1f GFLOP, %.0f GFLOP/s%s; by definition: %.1f GFLOP%s", r.Executed, r.ExecutedRate, ofPeak(r.Share), r.Nominal,
		ofPeak(r.NominalShare))
	line("")
	line("op\tlaunches\tms\tof the time\tGFLOP\tGB\tof its limit\t")
	for _, op := range r.Ops {
		limit := fmt.Sprintf("%.0f %% memory", 100*op.Share)
		if op.GFLOP > 0 {
			limit = fmt.Sprintf("%.0f %% peak", 100*op.Share)
		}
		line("%s\t%d\t%.2f\t%.1f %%\t%.1f\t%.2f\t%s\t", op.Op, op.Launches, 1e3*op.Seconds, 100*op.Time, op.GFLOP, op.GB, limit)
	}
	line("between launches\t\t%.2f\t\t\t\t\t", 1e3*r.Outside)
	if failed != nil {
		return failed
	}
	return w.Flush()
}

func known(name string) string {
	if name == "" {
		return "a processor that does not tell its name"
	}
	return name
}

func ofPeak(share float64) string {
	if share == 0 {
		return ""
	}
	return fmt.Sprintf(", %.0f %% of the peak", 100*share)
}
