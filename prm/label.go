package prm

import (
	"context"
	"errors"
	"iter"
	"math"
	"os"

	"github.com/goprm/goprm/data"
	"github.com/goprm/goprm/data/label"
	"github.com/goprm/goprm/data/label/openai"
	"github.com/goprm/goprm/data/label/store"
)

// Label makes step and trajectory rewards of trajectories and writes them to the folder c.Out: labels.jsonl, labels.parquet,
// manifest.json and a card. Every answer of a stage is stored there as it comes, under a hash of all it depends on, so the same
// call goes on where the last one ended; a cancelled one writes nothing else. What fails stays open, with its reason, and is no
// label: Report.Open counts it. Where the calls ended early (a spent budget, a wrong key) Report.Stopped says why, and err is nil.
//
// label.ReadRows reads the labelled trajectories, label.Merge joins the folders of shards, label.ReadStatus says what one holds.
func Label(ctx context.Context, c LabelConfig) (report label.Report, err error) {
	if err := c.Validate(); err != nil {
		return report, err
	}
	c = c.filled()
	if err := os.MkdirAll(c.Out, 0o777); err != nil {
		return report, err
	}
	s, err := store.Open(label.StorePath(c.Out), store.Options{Budget: c.Budget.limit()})
	if err != nil {
		return report, repairable(err, c.Out)
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	b := &labelBuilder{c: c, ledger: s, keys: true, clients: map[string]*openai.Client{}}
	defer func() {
		if failed := b.close(); failed != nil { // the labels are whole
			c.Logger.Warn("a stage was not closed", "error", failed)
		}
	}()
	p, err := b.pipeline(ctx)
	if err != nil {
		return report, err
	}
	p.Store = s
	stop := label.KeepStatus(c.Out, s, c.Logger)
	report, err = p.Run(ctx, c.input())
	stop()
	for _, w := range report.Warnings {
		c.Logger.Warn(w)
	}
	return report, repairable(err, c.Out)
}

// input is what is labelled.
func (c *LabelConfig) input() iter.Seq2[*data.Trajectory, error] {
	if c.Trajectories != nil {
		return c.Trajectories
	}
	return data.Read(c.In, data.ReadOptions{})
}

// limit is the budget as the store's.
func (b BudgetConfig) limit() store.Amount {
	return store.Amount{Tokens: b.Tokens, Nanos: int64(math.Round(b.Money * 1e9))}
}
