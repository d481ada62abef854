package main

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// between replaces what lies between two lines of the page: the tables; what is around them is people's. Those of what was measured with
// AVX2 alone have lines of their own.
func between(page []byte, m Machine, tables string) ([]byte, error) {
	begin, end := "<!-- make bench: tables"+m.suffix()+" -->", "<!-- make bench: end"+m.suffix()+" -->"
	before, rest, found := bytes.Cut(page, []byte(begin+"\n"))
	_, after, ends := bytes.Cut(rest, []byte(end))
	if !found || !ends {
		return nil, errors.New("it has no lines " + begin + " and " + end)
	}
	return slices.Concat(before, []byte(begin+"\n"+tables+end), after), nil
}

// tables are all results in Markdown: of each shape and mode what ran, and then what did not.
func (r *Results) tables() string {
	var w strings.Builder
	m := r.Machine
	fmt.Fprintf(&w, "\n%s, %s; %d processors, %d threads; %s; %s; %.1f GB of memory; %s, %s; prm at %s, %s; %s. Peaks: %s.\n", m.CPU, m.Family,
		m.Processors, m.Threads, strings.Join(m.Flags, " "), strings.Join(m.Caches, ", "), m.MemoryGB, m.Kernel, m.System, m.Commit, m.Go,
		m.Date, peaks(m.Peaks))
	fmt.Fprintf(&w, "Versions: %s; %s.\n", r.versions(), m.Compiler)
	var heading string
	rows := slices.Clone(r.Rows) // which are in the order in which calls of make bench measured them
	slices.SortStableFunc(rows, func(a, b *Row) int {
		return cmp.Or(cmp.Compare(a.Shape, b.Shape), cmp.Compare(slices.Index(trains, a.Mode), slices.Index(trains, b.Mode)),
			cmp.Compare(a.Tokens, b.Tokens), cmp.Compare(slices.Index(dtypes, a.DType), slices.Index(dtypes, b.DType)))
	})
	for _, row := range rows {
		if !row.ran() {
			continue
		}
		if h := row.Shape + ", " + row.Mode; h != heading {
			heading = h
			fmt.Fprintf(&w, "\n### %s%s\n\n%s\n", h, m.only(), columns(row.Mode))
		}
		row.write(&w, r.peak(row.DType))
	}
	r.writeMissing(&w)
	w.WriteString("\n")
	return w.String()
}

func peaks(p map[string]float64) string {
	var list []string
	for _, dtype := range slices.Sorted(maps.Keys(p)) {
		list = append(list, fmt.Sprintf("%s %.0f GFLOP/s", dtype, p[dtype]))
	}
	return strings.Join(list, ", ")
}

// versions are those that the programs said of themselves.
func (r *Results) versions() string {
	found := map[string]bool{}
	for _, row := range r.Rows {
		for name, e := range row.Sides {
			for what, version := range e.Versions {
				switch what {
				case "build", "backend":
					what = name + " " + what
				}
				found[what+" "+version] = true
			}
		}
	}
	return strings.Join(slices.Sorted(maps.Keys(found)), ", ")
}

func (r *Row) ran() bool {
	for _, e := range r.Sides {
		if len(e.kept()) > 0 {
			return true
		}
	}
	return false
}

func columns(mode string) string {
	checks := "score |\n"
	rule := "---|\n"
	if mode != "score" {
		checks, rule = "loss | gradient norm |\n", "---|---|\n"
	}
	return "| tokens | dtype | program | tokens/s (lowest, highest) | goprm beside it | of the peak | peak memory, MB | runs (dropped) | " +
		checks + "|---|---|---|---|---|---|---|---|" + strings.TrimSuffix(rule, "\n")
}

// write prints a line for each program that has numbers.
func (r *Row) write(w *strings.Builder, peak float64) {
	own := r.side("goprm")
	work, _ := r.gflop() // the row is one of cases
	for _, s := range sides() {
		e := r.side(s.Name)
		kept := e.kept()
		if len(kept) == 0 {
			continue
		}
		steps, rss := e.steps(), 0.0
		for _, k := range kept {
			rss = max(rss, k.RSS)
		}
		rate := func(seconds float64) float64 { return float64(r.Tokens) / seconds }
		beside, share := "", ""
		if v := own.ratio(e); v > 0 && s.Name != "goprm" {
			beside = fmt.Sprintf("%.2f ×", v)
		}
		if peak > 0 {
			share = fmt.Sprintf("%.0f %%", 100*work/median(steps)/peak)
		}
		fmt.Fprintf(w, "| %d | %s | %s | %.1f (%.1f, %.1f) | %s | %s | %.0f | %d (%d) | %s |\n", r.Tokens, r.DType, s.Name, rate(median(steps)),
			rate(slices.Max(steps)), rate(slices.Min(steps)), beside, share, rss, len(kept), len(e.Runs)-len(kept), checks(r.Mode, kept[0].First))
	}
}

// peak is the median of what all runs of prm bench measured as the machine's peak of a dtype, GFLOP/s: one run can be far off.
func (r *Results) peak(dtype string) float64 {
	var list []float64
	for _, row := range r.Rows {
		for _, run := range row.side("goprm").kept() {
			if row.DType == dtype {
				list = append(list, run.Peak)
			}
		}
	}
	return median(list)
}

func checks(mode string, f first) string {
	switch {
	case mode == "score" && f.Score == 0:
		return "–" // llama-bench tells no values
	case mode == "score":
		return fmt.Sprintf("%.4f", f.Score)
	}
	return fmt.Sprintf("%.5f | %.4g", f.Loss, f.GradNorm)
}

// writeMissing lists what has no number, with the reason, the cases of one program and reason together.
func (r *Results) writeMissing(w *strings.Builder) {
	type key struct{ side, why string }
	missing, order := map[key][]string{}, []key{}
	for _, s := range sides() {
		for _, row := range r.Rows {
			why := row.side(s.Name).why()
			if why == "" {
				continue
			}
			k := key{s.Name, why}
			if missing[k] == nil {
				order = append(order, k)
			}
			missing[k] = append(missing[k], row.Case.String())
		}
	}
	if len(order) == 0 {
		return
	}
	fmt.Fprintf(w, "\n### Not run%s\n\n| program | cases | why |\n|---|---|---|\n", r.Machine.only())
	for _, k := range order {
		list := strings.Join(missing[k], ", ")
		if n := len(missing[k]); n == len(r.Rows) && n > 1 {
			list = "all"
		}
		fmt.Fprintf(w, "| %s | %s | %s |\n", k.side, list, strings.ReplaceAll(k.why, "|", "/"))
	}
}
