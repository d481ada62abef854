package label

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/goprm/goprm/data"
	"github.com/goprm/goprm/data/label/store"
	"github.com/goprm/goprm/internal/rowfile"
)

// Pipeline makes labels of trajectories. Everything that a stage answered is kept in Store under a hash of all it depends on,
// so a run goes on where the one before it ended, and a changed judge or prompt asks again only what depends on it. What fails
// stays open with its reason and is never a label.
type Pipeline struct {
	Encoder   Encoder   // for alignment and coherence; nil: neither
	Judge     Judge     // for quality; nil: none
	Templater Templater // for Final.Kind paper and lift
	Policy    Policy    // for Final.Kind paper and lift
	Verifier  Verifier  // for every kind of Final

	// Split cuts thinking and response where steps are not given; "": a blank line.
	Split     string
	Pairing   Pairing   // "": DefaultPairing
	Coherence Coherence // zero: DefaultCoherence
	Fusion    Fusion    // "": Normalised
	Parts     []Part    // what is fused; nil: all three
	Final     Final     // the trajectory's reward; zero: none
	Seed      uint64

	// Shard of Shards, from 0: only the trajectories whose problem's hash falls to it. Shards 0 and 1 mean all.
	Shard, Shards int

	Store *store.Store
	// Out is the folder for labels.jsonl, manifest.json and README.md.
	Out string
	// Workers is how many trajectories are worked on at once; 0: 64. Memory grows with it.
	Workers int
	// Calls is how many calls of judge, templater and policy are in flight; 0: 64.
	Calls int
	// SkipBad passes over rows that cannot be read, and counts them.
	SkipBad bool
	// Progress, if not nil, is told of every finished trajectory, in order. It must not keep the summary's maps.
	Progress func(done Summary)
}

// encodes is how many calls of the encoder are in flight: enough for a server; a local one lets them take turns.
const encodes = 16

// DefaultPairing is what an empty Pairing stands for. Measured by tools/labelworth on 20 long traces with Monte-Carlo values it is
// the least misleading one, though none ranks steps: Spearman within traces −0.014, against −0.045 to −0.060 of the others.
const DefaultPairing = Proportional

// withDefaults fills in what the zero value leaves out.
func (p Pipeline) withDefaults() Pipeline {
	set := func(n *int, v int) {
		if *n == 0 {
			*n = v
		}
	}
	set(&p.Shards, 1)
	set(&p.Workers, 64)
	set(&p.Calls, 64)
	if p.Split == "" {
		p.Split = "\n\n"
	}
	if p.Pairing == "" {
		p.Pairing = DefaultPairing
	}
	if p.Coherence == (Coherence{}) {
		p.Coherence = DefaultCoherence()
	}
	if p.Fusion == "" {
		p.Fusion = Normalised
	}
	if p.Parts == nil {
		p.Parts = allParts
	}
	p.Final = p.Final.withDefaults()
	return p
}

// ValidateSettings checks what can be checked without the stages, the store and the output folder.
func (p Pipeline) ValidateSettings() error {
	p = p.withDefaults()
	if err := oneOf("pairing", p.Pairing, pairings...); err != nil {
		return err
	}
	if err := p.Coherence.Validate(); err != nil {
		return err
	}
	if err := checkFusion(p.Fusion, p.Parts, p.Coherence); err != nil {
		return err
	}
	switch {
	case p.Shards < 1 || p.Shard < 0 || p.Shard >= p.Shards:
		return fmt.Errorf("shard %d of %d does not exist (they count from 0)", p.Shard, p.Shards)
	case p.Workers < 1 || p.Workers > 1<<16 || p.Calls < 1 || p.Calls > 1<<16:
		return fmt.Errorf("workers %d and calls %d must be between 1 and %d", p.Workers, p.Calls, 1<<16)
	}
	return p.Final.Validate()
}

// Validate checks the settings and that the stages they need are there.
func (p Pipeline) Validate() error {
	if err := p.ValidateSettings(); err != nil {
		return err
	}
	p = p.withDefaults()
	for _, part := range p.Parts {
		if part == Quality && p.Judge == nil {
			return errors.New("parts: quality needs a judge")
		}
		if part != Quality && p.Encoder == nil {
			return fmt.Errorf("parts: %s needs an encoder", part)
		}
	}
	switch sampled := p.Final.sampled(); {
	case p.Final.Kind != NoFinal && p.Verifier == nil:
		return fmt.Errorf("trajectory: %s needs a verifier", p.Final.Kind)
	case sampled && (p.Templater == nil || p.Policy == nil):
		return fmt.Errorf("trajectory: %s needs a templater and a policy", p.Final.Kind)
	case p.Store == nil:
		return errors.New("a pipeline needs a store")
	case p.Out == "":
		return errors.New("a pipeline needs a folder for its output")
	}
	return nil
}

// Report is what a run did.
type Report struct {
	Summary
	// Asked and Stored count, by stage, the items that a stage was asked for and those that the store held.
	Asked, Stored map[string]int
	// Bad counts the rows that could not be read.
	Bad int
	// Damaged counts, by stage, the values of the store that did not match their checksums: they were open, and asked for again.
	Damaged map[string]int `json:",omitempty"`
	// Stopped says why the run ended its calls early (a spent budget, a wrong key); labels.jsonl was written nevertheless.
	Stopped string
	// Warnings are for the user.
	Warnings []string
}

// run is one call of Run.
type run struct {
	Pipeline
	pool    *pool
	calls   chan struct{} // one slot for each call in flight
	encodes chan struct{}
	stopped atomic.Pointer[string]

	mu            sync.Mutex
	asked, stored map[string]int
	damaged       map[string]int
}

// item is a trajectory on its way.
type item struct {
	row  int // in the input, from 0
	t    *data.Trajectory
	c    *Case
	out  *Row
	err  error
	done chan struct{}
}

// Run labels the trajectories of in, which is read twice where coherence needs negatives, and writes the folder's files when
// it is through. A cancelled run writes none; what its stages answered is in the store.
func (p Pipeline) Run(ctx context.Context, in iter.Seq2[*data.Trajectory, error]) (Report, error) {
	if err := p.Validate(); err != nil {
		return Report{}, err
	}
	p = p.withDefaults()
	if err := os.MkdirAll(p.Out, 0o777); err != nil {
		return Report{}, err
	}
	r := &run{
		Pipeline: p, calls: make(chan struct{}, p.Calls), encodes: make(chan struct{}, encodes),
		asked: map[string]int{}, stored: map[string]int{}, damaged: map[string]int{},
	}
	report := Report{Asked: r.asked, Stored: r.stored, Warnings: p.warnings()}
	if p.Encoder != nil {
		pool, err := gatherPool(ctx, p, in)
		if err != nil {
			return report, err
		}
		r.pool = pool
	}
	input := inputHash{hash: sha256.New()}
	e := newExport(p.Out)
	err := e.write(func() error {
		return r.stream(ctx, in, &input, &report.Bad, func(row *Row) error {
			if err := e.add(row); err != nil {
				return err
			}
			if r.Progress != nil {
				r.Progress(e.summary)
			}
			return nil
		})
	}, func() Manifest {
		e.summary.Rows = input.rows
		return p.manifest(input.sum(), r.pool, e.summary)
	})
	report.Summary = e.summary
	if why := r.stopped.Load(); why != nil {
		report.Stopped = *why
	}
	report.Damaged = r.damaged
	report.Warnings = append(report.Warnings, damageWarnings(r.damaged)...)
	return report, err
}

// stream reads, labels and hands on the rows in the order of the input. At most 4·Workers rows are held.
func (r *run) stream(ctx context.Context, in iter.Seq2[*data.Trajectory, error], input *inputHash, bad *int, add func(*Row) error) error {
	ctx, cancel := context.WithCancel(ctx)
	var workers sync.WaitGroup
	defer workers.Wait()
	defer cancel()
	queue := make(chan *item, 3*r.Workers)
	work := make(chan *item)
	for range r.Workers {
		workers.Go(func() {
			for it := range work {
				it.out, it.err = r.label(ctx, it.row, it.t, it.c)
				close(it.done)
			}
		})
	}
	var readErr error
	workers.Go(func() {
		defer close(queue)
		defer close(work)
		for t, err := range in {
			var row *data.RowError
			if errors.As(err, &row) && r.SkipBad {
				*bad++
				continue
			}
			if err != nil {
				readErr = err
				return
			}
			n := input.rows
			c := CaseOf(t, r.Split)
			input.add(c)
			if shardOf(t.Problem, r.Shards) != r.Shard {
				continue
			}
			it := &item{row: n, t: t, c: c, done: make(chan struct{})}
			for _, to := range []chan *item{queue, work} {
				select {
				case to <- it:
				case <-ctx.Done():
					return
				}
			}
		}
	})
	for it := range queue {
		select {
		case <-it.done:
		case <-ctx.Done():
			return ctx.Err()
		}
		if it.err != nil {
			return it.err
		}
		if err := add(it.out); err != nil {
			return err
		}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return readErr
}

// CaseOf cuts a trajectory into steps.
func CaseOf(t *data.Trajectory, split string) *Case {
	thinking, response := t.Cut(split)
	return &Case{ID: t.ID, Problem: t.Problem, Thinking: thinking.Steps, Response: response.Steps, Answer: t.Answer, Source: t.Source}
}

// shardOf is the shard of a problem. All trajectories of a problem fall to one, since they share the policy's answers.
func shardOf(problem string, shards int) int {
	key := data.KeyOf(problem)
	return int(binary.LittleEndian.Uint64(key[:8]) % uint64(shards))
}

// inputHash tells inputs apart: every row, in order, in all shards.
type inputHash struct {
	hash interface {
		io.Writer
		Sum([]byte) []byte
	}
	rows int
}

func (h *inputHash) add(c *Case) {
	key := caseKey("row", c)
	_, _ = h.hash.Write(key[:]) // a hash's Write never fails
	h.rows++
}

func (h *inputHash) sum() string { return hex.EncodeToString(h.hash.Sum(nil)) }

// caseKey is the key of something that depends on the whole case.
func caseKey(what string, c *Case, more ...string) store.Key {
	parts := append([]string{what, c.ID, c.Problem, c.Answer}, more...)
	for _, steps := range [][]string{c.Thinking, c.Response} {
		parts = append(parts, fmt.Sprint(len(steps)))
		parts = append(parts, steps...)
	}
	return store.NewKey(parts...)
}

func (p Pipeline) warnings() []string {
	var w []string
	if !data.HasParquet() {
		w = append(w, ParquetFile+" is left out: "+rowfile.ErrNoParquet.Error())
	}
	if p.Fusion == Paper {
		w = append(w, "fusion: paper leaves [0,1]: train on these labels with head.activation: identity")
	}
	return w
}

func damageWarnings(damaged map[string]int) (w []string) {
	for _, stage := range slices.Sorted(maps.Keys(damaged)) {
		w = append(w, fmt.Sprintf("labels.db: %d stored values of %s do not match their checksums: they are open and were asked for again; "+
			"prm label repair finds all such values", damaged[stage], stage))
	}
	return w
}

func (r *run) count(into map[string]int, stage string, n int) {
	r.mu.Lock()
	into[stage] += n
	r.mu.Unlock()
}

// stop ends the run's calls: every further one would fail in the same way.
func (r *run) stop(reason string) { r.stopped.CompareAndSwap(nil, &reason) }

// call runs one call of a stage, and keeps what came of it, in a slot: until it is stored it is in flight. open says why the
// item stays open, or is empty.
func (r *run) call(ctx context.Context, slots chan struct{}, ask func() error, keep func(open string) error) error {
	select {
	case slots <- struct{}{}:
		defer func() { <-slots }()
	case <-ctx.Done():
		return ctx.Err()
	}
	if why := r.stopped.Load(); why != nil {
		return keep(notAsked + *why)
	}
	err := ask()
	if ctx.Err() != nil && err != nil {
		return ctx.Err()
	}
	open := ""
	if err != nil {
		open = shortReason(err)
		var fatal interface{ Fatal() bool }
		if errors.As(err, &fatal) && fatal.Fatal() {
			r.stop(open)
		}
	}
	return keep(open)
}

const notAsked = "not asked: "

// putOpen notes a failed attempt; where nobody was asked there was none.
func (r *run) putOpen(stage string, key store.Key, open string) error {
	if strings.HasPrefix(open, notAsked) {
		return nil
	}
	return r.Store.PutOpen(stage, key, open)
}

// get reads a stored value. A damaged one is none: it is counted, and what is open is asked again.
func (r *run) get(stage string, key store.Key) (value []byte, found bool, err error) {
	value, found, err = r.Store.Get(stage, key)
	if errors.Is(err, store.ErrDamagedValue) {
		r.count(r.damaged, stage, 1)
		return nil, false, nil
	}
	return value, found, err
}

// remember stores a value, and closes the item and those named. Where another trajectory with the same text was first, that one's
// answer counts: it is returned.
func (r *run) remember(stage string, key store.Key, value []byte, closes ...store.Key) ([]byte, error) {
	err := r.Store.Put(stage, key, value, closes...)
	if errors.Is(err, store.ErrConflict) {
		if first, found, err := r.Store.Get(stage, key); found || err != nil {
			return first, err
		}
	}
	return value, err
}

// StorePath is where the store of an output folder lies.
func StorePath(out string) string { return filepath.Join(out, "labels.db") }
