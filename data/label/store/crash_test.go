//go:build linux

package store

import (
	"bufio"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const childEnvironment = "GOPRM_STORE_CHILD"

const crashBudget = 40_000

// TestMain lets the test binary be the process that is killed: it reserves, puts and settles until then, and says after each
// call that returned what is on the disk now.
func TestMain(m *testing.M) {
	path := os.Getenv(childEnvironment)
	if path == "" {
		os.Exit(m.Run())
	}
	fail := func(err error) {
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	s, err := Open(path, Options{Budget: Amount{Tokens: crashBudget}, Wait: 10 * time.Second})
	fail(err)
	var say sync.Mutex
	for worker := range 8 {
		go func() {
			for {
				item := fmt.Sprintf("%d-%d", worker, rand.Uint64())
				id, err := s.Reserve(Amount{Tokens: 3})
				fail(err)
				fail(s.Put("s", NewKey(item), []byte(item)))
				fail(s.Settle(id, Amount{Tokens: 2}))
				say.Lock()
				fmt.Println(item)
				say.Unlock()
			}
		}()
	}
	select {}
}

// TestKilledWhileWriting kills the writing process at random moments. What it had said to be stored is there each time, the
// spend is at least what was settled, and reservations of the killed are bounded by the calls in flight.
func TestKilledWhileWriting(t *testing.T) {
	rounds := 25
	if testing.Short() {
		rounds = 5
	}
	path := filepath.Join(t.TempDir(), "store")
	random := rand.New(rand.NewPCG(1, 1))
	said := map[string]bool{}
	for round := range rounds {
		child := exec.Command(os.Args[0])
		child.Env = append(os.Environ(), childEnvironment+"="+path)
		child.Stderr = os.Stderr
		output, err := child.StdoutPipe()
		require.NoError(t, err)
		require.NoError(t, child.Start())
		var timer *time.Timer
		if round%5 == 0 { // while it opens the file
			timer = time.AfterFunc(time.Duration(random.IntN(20_000))*time.Microsecond, func() { _ = child.Process.Kill() })
		}
		lines := bufio.NewScanner(output)
		for lines.Scan() {
			if timer == nil {
				timer = time.AfterFunc(time.Duration(random.IntN(60_000))*time.Microsecond, func() { _ = child.Process.Kill() })
			}
			said[lines.Text()] = true
		}
		require.Error(t, child.Wait())

		s, err := Open(path, Options{})
		require.NoError(t, err)
		for item := range said {
			value, found, err := s.Get("s", NewKey(item))
			require.NoError(t, err)
			require.True(t, found, item)
			require.Equal(t, item, string(value))
		}
		values := 0
		require.NoError(t, s.Each("s", func(key Key, value []byte) error {
			require.Equal(t, key, NewKey(string(value)))
			values++
			return nil
		}))
		counts, err := s.Counts()
		require.NoError(t, err)
		if values > 0 {
			require.Equal(t, []Count{{"s", values, 0}}, counts)
		}
		spend, err := s.Spend()
		require.NoError(t, err)
		text, _ := json.Marshal(spend)
		require.GreaterOrEqual(t, spend.Calls, int64(len(said)))
		require.LessOrEqual(t, spend.LostCalls, int64(8*(round+1)))
		require.GreaterOrEqual(t, spend.Calls+spend.LostCalls, int64(values), string(text))
		require.Equal(t, 2*spend.Calls+3*spend.LostCalls, spend.Total().Tokens)
		require.LessOrEqual(t, spend.Total().Tokens, int64(crashBudget))
		require.NoError(t, s.Close())
	}
	require.NotEmpty(t, said)
}
