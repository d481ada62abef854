package prm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"

	"github.com/goprm/goprm/internal/atomicfile"
)

// seedsName is the file of a run folder with several seeds that says how its runs differ.
const seedsName = "seeds.json"

// trainSeeds trains one run a seed. Resumed, it goes on with those that are not complete.
func trainSeeds(ctx context.Context, c TrainConfig) (*TrainResult, error) {
	if err := c.ranks.First(c.checkSeedsFolder); err != nil {
		return nil, err
	}
	var runs []*TrainResult
	for _, seed := range c.Seeds {
		one := c
		one.Seeds, one.Seed, one.Out = nil, &seed, filepath.Join(c.Out, fmt.Sprintf("seed-%d", seed))
		r, err := Train(ctx, one)
		if err != nil {
			return nil, fmt.Errorf("seed %d: %w", seed, err)
		}
		if r.Eval == nil && !r.Interrupted { // it was complete before
			seen, err := readEvaluations(one.Out, r.Steps)
			if err != nil {
				return nil, fmt.Errorf("seed %d: %w", seed, err)
			}
			r.Eval = seen.at(r.Steps)
		}
		runs = append(runs, r)
		if r.Interrupted {
			break
		}
	}
	result := *runs[len(runs)-1]
	result.Out, result.Seeds = c.Out, runs
	if result.Interrupted {
		return &result, nil
	}
	result.Spread = spread(runs)
	text, err := json.MarshalIndent(map[string]any{"seeds": c.Seeds, "metrics": result.Spread}, "", "  ")
	if err != nil {
		return nil, err
	}
	return &result, c.ranks.First(func() error {
		return atomicfile.WriteFile(filepath.Join(c.Out, seedsName), writeBytes(append(text, '\n')))
	})
}

// checkSeedsFolder refuses a folder that something else is in.
func (c *TrainConfig) checkSeedsFolder() error {
	if _, err := os.Stat(c.Out); err == nil && !c.Resume {
		return fmt.Errorf("out: the run folder %s is there already: resume it, or give another", c.Out)
	} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("out: %w", err)
	}
	if _, err := os.Stat(filepath.Join(c.Out, configName)); err == nil {
		return fmt.Errorf("seeds: %s is the folder of one run; give another out", c.Out)
	}
	return nil
}

// spread is mean and deviation of the metrics that every run's last evaluation defines.
func spread(runs []*TrainResult) map[string]Spread {
	all := map[string]Spread{}
	for _, name := range bestNames() {
		n, mean, squares := 0.0, 0.0, 0.0
		for _, r := range runs {
			v := math.NaN()
			if r.Eval != nil {
				v = r.Eval.value(name)
			}
			n++
			d := v - mean // Welford's recurrence
			mean += d / n
			squares += d * (v - mean)
		}
		if !math.IsNaN(mean) {
			all[name] = Spread{Mean: mean, Deviation: math.Sqrt(squares / math.Max(1, n-1))}
		}
	}
	return all
}
