package speed

import (
	"fmt"
	"os"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/goprm/goprm/internal/engine"
)

// Machine is what a run was measured on.
type Machine struct {
	CPU        string  `json:"cpu"` // its own name for itself, "" where the system does not tell
	System     string  `json:"system"`
	Processors int     `json:"processors"`
	Threads    int     `json:"threads"`
	Peaks      []Peak  `json:"peaks"`      // none where no kernel measures them
	Memory     float64 `json:"memory_gbs"` // GB/s read and written by copies too large for the caches
}

// Peak is what all threads together reach with one instruction on registers alone.
type Peak struct {
	DType       string  `json:"dtype"` // of the products
	Instruction string  `json:"instruction"`
	Rate        float64 `json:"gflops"` // 10⁹ operations a second, a multiplication and an addition counting as two
}

func measureMachine(backend engine.Backend, threads int) (Machine, error) {
	m := Machine{CPU: processor(), System: runtime.GOOS + "/" + runtime.GOARCH, Processors: runtime.NumCPU(), Threads: threads,
		Memory: memoryRate(threads)}
	if b, ok := backend.(engine.MeasuresPeaks); ok {
		peaks, err := b.MeasurePeaks()
		if err != nil {
			return m, err
		}
		for _, p := range peaks {
			m.Peaks = append(m.Peaks, Peak{DType: p.DType, Instruction: p.Instruction, Rate: p.PerSecond / 1e9})
		}
	}
	return m, nil
}

// peak is the machine's peak for products in a dtype, 0 where it is not known.
func (m *Machine) peak(dtype string) float64 {
	for _, p := range m.Peaks {
		if p.DType == dtype {
			return p.Rate
		}
	}
	return 0
}

// memoryRate is the best rate of several copies of 64 MiB a thread, in GB/s read and written.
func memoryRate(threads int) float64 {
	const size = 64 << 20
	var from, to [][]byte
	for range threads {
		from, to = append(from, make([]byte, size)), append(to, make([]byte, size))
	}
	best := 0.0
	for range 4 { // the first of them makes the system give the memory
		var all sync.WaitGroup
		began := time.Now()
		for i := range threads {
			all.Go(func() { copy(to[i], from[i]) })
		}
		all.Wait()
		best = max(best, 2*float64(threads)*size/time.Since(began).Seconds()/1e9)
	}
	return best
}

var modelName = regexp.MustCompile(`(?m)^model name\s*: (.*)$`)

func processor() string {
	text, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return ""
	}
	if m := modelName.FindSubmatch(text); m != nil {
		return string(m[1])
	}
	return ""
}

// peakMB is the process's largest resident set, as Linux counts it (mapped weights included); 0 where it does not tell.
func peakMB() int {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	var kb int
	if _, after, ok := strings.Cut(string(status), "VmHWM:"); ok {
		_, _ = fmt.Sscan(after, &kb)
	}
	return kb / 1024
}
