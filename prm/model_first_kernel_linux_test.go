package prm_test

import (
	"context"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/goprm/goprm/data"
	"github.com/goprm/goprm/internal/engine"
	"github.com/goprm/goprm/prm"
	"github.com/stretchr/testify/require"
)

// firstKernel is a CPU backend that remembers when it launched for the first time.
type firstKernel struct {
	engine.Backend
	once      *sync.Once
	at        *time.Time
	processor *float64
}

func (firstKernel) SharesHostMemory() {}

func (f firstKernel) Compile(c engine.Call) (engine.Launch, error) {
	launch, err := f.Backend.Compile(c)
	return func() error {
		f.once.Do(func() { *f.at, *f.processor = time.Now(), processorSeconds() })
		return launch()
	}, err
}

// TestFirstKernel says how long a model takes from Open to its first kernel: GOPRM_FIRST_KERNEL names its folder, GOPRM_FORMAT
// its format where several fit.
func TestFirstKernel(t *testing.T) {
	folder := os.Getenv("GOPRM_FIRST_KERNEL")
	if folder == "" {
		t.Skip("GOPRM_FIRST_KERNEL is not set")
	}
	var once sync.Once
	var at time.Time
	var processor float64
	engine.Register("firstkernel", func(int, engine.Options) (engine.Backend, error) {
		b, err := engine.Open("cpu", engine.Options{})
		return firstKernel{b, &once, &at, &processor}, err
	})
	text := &data.Trajectory{Problem: "p", Steps: []string{"One.", "Two."}}
	for _, later := range []bool{true, false} {
		began, before := time.Now(), processorSeconds()
		once = sync.Once{}
		m, err := prm.Open(folder, prm.OpenOptions{Device: "firstkernel", VerifyLater: later, Format: os.Getenv("GOPRM_FORMAT")})
		require.NoError(t, err)
		_, err = m.Score(context.Background(), text)
		require.NoError(t, err)
		t.Logf("verified later: %v; first kernel after %.2f s (%.2f s of the processors), scores after %.2f s", later,
			at.Sub(began).Seconds(), processor-before, time.Since(began).Seconds())
		require.NoError(t, m.Close())
	}
}

func processorSeconds() float64 {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u) // it fails for wrong arguments alone
	return float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9
}
