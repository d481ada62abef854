package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"time"
)

// Machine is what was measured on, and with what.
type Machine struct {
	CPU        string             `json:"cpu"`
	Family     string             `json:"family"` // and model and stepping, as /proc/cpuinfo has them
	Processors int                `json:"processors"`
	Threads    int                `json:"threads"`
	Flags      []string           `json:"flags"` // those of vector arithmetic
	AVX2       bool               `json:"avx2"`  // the programs had no instructions beyond AVX2
	Caches     []string           `json:"caches"`
	MemoryGB   float64            `json:"memory_gb"`
	Kernel     string             `json:"kernel"`
	System     string             `json:"system"`
	Go         string             `json:"go"`
	Compiler   string             `json:"compiler"` // of llama.cpp, ik_llama.cpp and what torch.compile makes
	Commit     string             `json:"commit"`   // the last one that changed prm's code
	Peaks      map[string]float64 `json:"peaks_gflops"`
	Date       string             `json:"date"`    // of the last call
	Command    string             `json:"command"` // of the last call, without folders of the machine
}

// key tells results apart that must not be mixed.
func (m Machine) key() string {
	sum := sha256.Sum256(fmt.Appendln(nil, m.CPU, m.Family, m.Processors, m.Threads, m.MemoryGB, m.Kernel))
	return fmt.Sprintf("%s-%x", m.Commit, sum[:3])
}

// suffix marks names of what was measured with AVX2 alone.
func (m Machine) suffix() string {
	if m.AVX2 {
		return "-avx2"
	}
	return ""
}

// only is what headings say of it.
func (m Machine) only() string {
	if m.AVX2 {
		return ", AVX2 alone"
	}
	return ""
}

func describeMachine(ctx context.Context, b *bench) (Machine, error) {
	m := Machine{Processors: runtime.NumCPU(), Threads: b.threads, AVX2: b.avx2, System: runtime.GOOS + "/" + runtime.GOARCH,
		Go: runtime.Version(), Peaks: map[string]float64{}, Date: time.Now().UTC().Format("2006-01-02 15:04 MST"), Command: "bench" + b.command}
	info, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return m, fmt.Errorf("%w: the programs are compared on Linux", err)
	}
	m.readProcessor(string(info))
	m.Caches = caches("/sys/devices/system/cpu/cpu0/cache")
	memory, err := meminfo("MemTotal")
	if err != nil {
		return m, err
	}
	m.MemoryGB = round1(float64(memory) / 1e9)
	m.Kernel = firstLine(ctx, "uname", "-sr")
	m.Compiler = firstLine(ctx, "c++", "--version")
	code := []string{"--", "*.go", "*.s", "go.mod", "go.sum", ":!*_test.go", ":!internal/tools"}
	m.Commit = firstLine(ctx, "git", append([]string{"log", "-1", "--format=%h"}, code...)...)
	if firstLine(ctx, "git", append([]string{"status", "--porcelain"}, code...)...) != "" {
		m.Commit += "-dirty"
	}
	return m, m.measurePeaks(ctx, b)
}

// measurePeaks asks prm bench. Each of its later runs measures the peak again.
func (m *Machine) measurePeaks(ctx context.Context, b *bench) error {
	command := append([]string{b.program("prm"), "--threads", fmt.Sprint(b.threads), "bench", "--shape", "tiny", "--tokens", "64", "--dtype",
		"f32", "--json"}, b.ownBackend()...)
	f, err := execute(ctx, command, nil, limits{seconds: 60})
	if err != nil {
		return err
	}
	var r struct {
		Machine struct {
			Peaks []struct {
				DType string  `json:"dtype"`
				Rate  float64 `json:"gflops"`
			} `json:"peaks"`
		} `json:"machine"`
	}
	if err := json.Unmarshal(f.out, &r); err != nil {
		return err
	}
	for _, p := range r.Machine.Peaks {
		m.Peaks[p.DType] = round1(p.Rate)
	}
	if m.Peaks["f32"] == 0 {
		m.Peaks["f32"] = 10 // of a processor whose peak prm does not know; only expected times come from it
	}
	return nil
}

var vectors = regexp.MustCompile(`^(avx|fma|f16c|amx|asimd|sve|bf16|i8mm)`)

// readProcessor reads the first processor of /proc/cpuinfo.
func (m *Machine) readProcessor(info string) {
	info, _, _ = strings.Cut(info, "\n\n")
	fields := map[string]string{}
	for line := range strings.Lines(info) {
		if name, value, found := strings.Cut(line, ":"); found {
			fields[strings.TrimSpace(name)] = strings.TrimSpace(value)
		}
	}
	m.CPU = fields["model name"]
	m.Family = fmt.Sprintf("family %s, model %s, stepping %s", fields["cpu family"], fields["model"], fields["stepping"])
	for _, flag := range strings.Fields(fields["flags"] + " " + fields["Features"]) {
		if vectors.MatchString(flag) {
			m.Flags = append(m.Flags, flag)
		}
	}
	slices.Sort(m.Flags)
}

// caches are those of one processor, such as "L1d 48K".
func caches(dir string) (list []string) {
	found, err := filepath.Glob(filepath.Join(dir, "index*"))
	if err != nil {
		return nil
	}
	for _, index := range found {
		read := func(name string) string {
			text, err := os.ReadFile(filepath.Join(index, name))
			if err != nil {
				return ""
			}
			return strings.TrimSpace(string(text))
		}
		kind := map[string]string{"Data": "d", "Instruction": "i"}[read("type")]
		list = append(list, fmt.Sprintf("L%s%s %s", read("level"), kind, read("size")))
	}
	return list
}

// firstLine is the first line that a command prints, "" if it fails.
func firstLine(ctx context.Context, name string, args ...string) string {
	out, err := exec.CommandContext(ctx, name, args...).Output()
	if err != nil {
		return ""
	}
	line, _, _ := bytes.Cut(out, []byte("\n"))
	return strings.TrimSpace(string(line))
}
