package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// spare is what must stay free: of the disk after a model was converted, in bytes, and of the memory while a program runs.
const spareDisk, spareMemory = 2 << 30, 512 << 20

// expect is about how long a process of a case takes, or why it is not run.
func (b *bench) expect(results *Results, c Case, s *Side) (seconds float64, why string) {
	if why = c.unsupported(s); why == "" {
		why = b.absent(s)
	}
	if why == "" && b.avx2 && !slices.Contains(s.AVX2, c.DType) {
		why = "it has no switch that keeps it to AVX2"
		if len(s.AVX2) > 0 {
			why = "with AVX2 it computes in f32; its row of f32 has the same bf16 weights"
		}
	}
	if why == "" && !b.sides.MatchString(s.Name) {
		why = "left out"
	}
	if why != "" {
		return 0, why
	}
	need, err := c.memory(s)
	if err != nil {
		return 0, err.Error()
	}
	if has := results.Machine.MemoryGB; need/1e9 > has {
		return 0, fmt.Sprintf("needs about %.0f GB of memory, the machine has %.1f", need/1e9, has)
	}
	startup := s.Startup
	if c.Shape != "0.5b" {
		startup *= 2
	}
	step := b.stepSeconds(results, c, s)
	seconds = startup + float64(1+b.steps(results, c))*step
	if seconds > b.limit {
		return 0, fmt.Sprintf("would take about %.0f s a process, above the limit of %.0f", seconds, b.limit)
	}
	return seconds, ""
}

// steps are the timed ones of a process, the same for all programs.
func (b *bench) steps(results *Results, c Case) int {
	return c.steps(b.stepSeconds(results, c, sides()[0]))
}

// stepSeconds is about how long a step takes: as long as measured, as a measured step of another length has it, or as the machine's peak
// has it.
func (b *bench) stepSeconds(results *Results, c Case, s *Side) float64 {
	work, err := c.gflop()
	if err != nil {
		return 0
	}
	best := 0.0
	for _, row := range results.Rows {
		at := row.Case
		at.Tokens = c.Tokens
		entry := row.Sides[s.Name]
		if at != c || entry == nil || len(entry.kept()) == 0 {
			continue
		}
		if other, err := row.gflop(); err == nil {
			best = median(entry.steps()) * work / other // the last one is the longest text, or the case itself
		}
		if row.Case == c {
			break
		}
	}
	if best > 0 {
		return best
	}
	peak := b.peaks[c.DType]
	if peak == 0 || c.Mode != "score" && c.DType == "bf16" {
		peak = b.peaks["f32"]
	}
	return work / (peak * s.Rate)
}

// measure runs a case's programs in turn, round by round, until each has as many runs as there are rounds.
func (b *bench) measure(ctx context.Context, results *Results, c Case) error {
	row := results.row(c)
	var ready []*Side
	for _, s := range sides() {
		entry := row.side(s.Name)
		_, why := b.expect(results, c, s)
		if entry.Failed != "" && b.retry {
			entry.Failed = ""
		}
		switch {
		case len(entry.kept()) >= b.rounds, entry.Failed != "": // nothing left to do
			entry.Reason = ""
		case why != "":
			entry.Reason = why
		default:
			entry.Reason = ""
			ready = append(ready, s)
		}
	}
	steps := b.steps(results, c)
	for round := range b.rounds {
		for _, s := range ready {
			entry := row.side(s.Name)
			if len(entry.kept()) > round || entry.Failed != "" {
				continue
			}
			if err := b.prepare(ctx, c, s); err != nil {
				entry.Failed = b.brief(err)
			} else {
				b.repeat(ctx, entry, c, s, round, steps)
			}
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if err := results.save(); err != nil {
				return err
			}
		}
	}
	return nil
}

// repeat runs a program once, and again while others disturb it.
func (b *bench) repeat(ctx context.Context, entry *Entry, c Case, s *Side, round, steps int) {
	for range 1 + b.repeats {
		f, err := execute(ctx, s.Command(b, c, steps), b.environment(), limits{seconds: 3 * b.limit, left: spareMemory})
		if ctx.Err() != nil {
			return
		}
		var r Run
		if err == nil {
			r, err = s.Parse(f.out)
		}
		if err == nil && len(r.Seconds) == 0 {
			err = fmt.Errorf("it printed no times")
		}
		if err != nil {
			entry.Failed = b.brief(err)
			b.log("%-24s %-18s %s", c, s.Name, entry.Failed)
			return
		}
		r.Round, r.RSS, r.Wall, r.Others = round+1, round1(f.rss), round1(f.wall), round3(f.others)
		r.Dropped = f.others > b.disturbed
		entry.Versions, r.Versions = r.Versions, nil
		entry.Runs = append(entry.Runs, r)
		b.log("%-24s %-18s round %d: %8.1f tokens/s, %6.0f MB, others %.1f %%%s", c, s.Name, round+1, float64(c.Tokens)/r.step(), r.RSS,
			100*r.Others, map[bool]string{true: ", dropped"}[r.Dropped])
		if !r.Dropped {
			return
		}
	}
}

// environment is that of all programs.
func (b *bench) environment() []string {
	dir, err := filepath.Abs(b.program("inductor"))
	if err != nil {
		dir = b.program("inductor")
	}
	list := []string{fmt.Sprintf("OMP_NUM_THREADS=%d", b.threads), "TORCHINDUCTOR_COMPILE_THREADS=1", "TORCHINDUCTOR_CACHE_DIR=" + dir,
		"TRANSFORMERS_VERBOSITY=error", "HF_HUB_OFFLINE=1", "OPENVINO_TELEMETRY=0"}
	if b.avx2 { // of PyTorch's own kernels, oneDNN's, MKL's and FBGEMM's
		list = append(list, "ATEN_CPU_CAPABILITY=avx2", "ONEDNN_MAX_CPU_ISA=AVX2", "MKL_ENABLE_INSTRUCTIONS=AVX2",
			"FBGEMM_ENABLE_INSTRUCTIONS=AVX2")
	}
	return list
}

// prepare makes what a program reads, unless it is there. Where the disk has no room, what other cases read is removed first.
func (b *bench) prepare(ctx context.Context, c Case, s *Side) error {
	if s.Prepare == nil {
		return nil
	}
	file, command, env := s.Prepare(b, c)
	if _, err := os.Stat(file); err == nil {
		return nil
	}
	model, err := os.Stat(filepath.Join(b.model(c), "model.safetensors"))
	if err != nil {
		return err
	}
	needs := uint64(model.Size()) // bf16 or f16; twice that in f32
	if strings.HasSuffix(file, "f32.gguf") {
		needs *= 2
	}
	if freeDisk(b.programs) < needs+spareDisk {
		if err := b.removeConverted(c); err != nil {
			return err
		}
	}
	if free := freeDisk(b.programs); free < needs+spareDisk {
		return fmt.Errorf("needs %.1f GB of disk, %.1f are free", float64(needs+spareDisk)/1e9, float64(free)/1e9)
	}
	if _, err := execute(ctx, command, append(b.environment(), env...), limits{seconds: 1800, left: spareMemory}); err != nil {
		_ = os.Remove(file) // part of it, or nothing
		return fmt.Errorf("converting the model: %w", err)
	}
	return nil
}

// removeConverted removes the converted models that no program reads in a case.
func (b *bench) removeConverted(c Case) error {
	var wanted []string
	for _, s := range sides() {
		if s.Prepare != nil {
			file, _, _ := s.Prepare(b, c)
			wanted = append(wanted, strings.TrimSuffix(file, ".xml"))
		}
	}
	for _, pattern := range []string{"*.gguf", "openvino-*"} {
		found, err := filepath.Glob(filepath.Join(b.programs, "models", "*", pattern))
		if err != nil {
			return err
		}
		for _, file := range found {
			stem := strings.TrimSuffix(strings.TrimSuffix(file, ".xml"), ".bin")
			if !slices.Contains(wanted, stem) {
				if err := os.Remove(file); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func freeDisk(dir string) uint64 {
	var s syscall.Statfs_t
	if syscall.Statfs(dir, &s) != nil {
		return 0
	}
	return s.Bavail * uint64(s.Bsize)
}

// brief is an error in one line of a table, which names no folder of this machine.
func (b *bench) brief(err error) string {
	text := strings.Join(strings.Fields(strings.ReplaceAll(err.Error(), b.programs, "runs/bench")), " ")
	if len(text) > 200 {
		text = strings.ToValidUTF8(text[:200], "") + "…"
	}
	return text
}
