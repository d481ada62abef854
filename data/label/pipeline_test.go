package label

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/goprm/goprm/data"
	"github.com/goprm/goprm/data/label/store"
	"github.com/goprm/goprm/internal/rng"
)

// hashVectors is an encoder whose vectors follow from the text's hash.
type hashVectors struct {
	texts atomic.Int64
	fails func(texts []string) error
}

func (*hashVectors) ID() string { return "hash-vectors/1" }

func (h *hashVectors) Encode(_ context.Context, texts []string) ([][]float32, error) {
	if h.fails != nil {
		if err := h.fails(texts); err != nil {
			return nil, err
		}
	}
	h.texts.Add(int64(len(texts)))
	out := make([][]float32, len(texts))
	for i, text := range texts {
		random := rng.New(3, text)
		out[i] = make([]float32, 8)
		for k := range out[i] {
			out[i][k] = float32(random.Float64(uint64(k)) - 0.3)
		}
	}
	return out, nil
}

// scripted is a judge whose score follows from what it is shown; says may answer otherwise.
type scripted struct {
	id   string
	sees Sees
	per  int
	says func(c *Case, step int) (Verdict, error)

	mu    sync.Mutex
	asked []string // trajectory and step of each verdict that was given
}

func (s *scripted) ID() string        { return s.id }
func (s *scripted) Sees() Sees        { return s.sees }
func (s *scripted) StepsPerCall() int { return s.per }

func (s *scripted) Judge(_ context.Context, c *Case, steps []int) ([]Verdict, error) {
	verdicts := make([]Verdict, len(steps))
	for i, t := range steps {
		v := Verdict{Score: rng.New(5, strings.Join(c.Thinking[:t+1], "|")).Float64(0), Raw: []json.RawMessage{json.RawMessage(strconv.Itoa(t))}}
		if s.says != nil {
			var err error
			if v, err = s.says(c, t); err != nil {
				return nil, err
			}
		}
		verdicts[i] = v
	}
	s.mu.Lock()
	for _, t := range steps {
		s.asked = append(s.asked, fmt.Sprint(c.ID, "/", t))
	}
	s.mu.Unlock()
	return verdicts, nil
}

func made(n int) []*data.Trajectory {
	random := rng.New(11, "trajectories")
	all := make([]*data.Trajectory, n)
	for i := range all {
		t := &data.Trajectory{ID: fmt.Sprint("t", i), Problem: fmt.Sprint("What is ", i/2, " + 1?"), Source: fmt.Sprint("s", i%3),
			Answer: fmt.Sprint(i/2 + 1)}
		for k := range 1 + random.Uint64(uint64(2*i))%6 {
			t.Thinking += fmt.Sprintf("thought %d of %d\n\n", k, i)
		}
		for k := range random.Uint64(uint64(2*i+1)) % 4 { // some have no response
			t.Response += fmt.Sprintf("line %d of %d\n\n", k, i)
		}
		if t.Response != "" {
			t.Response += "So it is " + fmt.Sprint(i/2+1+i%2)
		}
		all[i] = t
	}
	return all
}

func sequence(all []*data.Trajectory) iter.Seq2[*data.Trajectory, error] {
	return func(yield func(*data.Trajectory, error) bool) {
		for _, t := range all {
			copied := *t
			if !yield(&copied, nil) {
				return
			}
		}
	}
}

// lastWordVerifier compares the last word with the gold answer.
type lastWordVerifier struct{}

func (lastWordVerifier) ID() string { return "last-word/1" }

func (lastWordVerifier) Verify(gold, text string) (bool, string, error) {
	if gold == "code" {
		return false, "", errors.New("test cases are not run")
	}
	text = strings.TrimSuffix(strings.TrimPrefix(text, `\boxed{`), "}")
	fields := strings.Fields(text)
	return len(fields) > 0 && fields[len(fields)-1] == gold, "compared", nil
}

// labelled runs a pipeline into a folder and returns the report and labels.jsonl.
func labelled(t *testing.T, p Pipeline, dir string, all []*data.Trajectory) (Report, []byte) {
	t.Helper()
	report, text, err := tryLabel(t, p, dir, all)
	if err != nil {
		t.Fatal(err)
	}
	return report, text
}

func tryLabel(t *testing.T, p Pipeline, dir string, all []*data.Trajectory) (Report, []byte, error) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	s, err := store.Open(StorePath(dir), store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	p.Store, p.Out = s, dir
	report, err := p.Run(t.Context(), sequence(all))
	if err != nil {
		return report, nil, err
	}
	text, err := os.ReadFile(filepath.Join(dir, LabelsFile))
	if err != nil {
		t.Fatal(err)
	}
	return report, text, nil
}

func readRows(t *testing.T, dir string) []*Row {
	t.Helper()
	var all []*Row
	for row, err := range ReadRows(dir) {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, row)
	}
	return all
}

func TestRunLabelsEveryStepOnce(t *testing.T) {
	all := made(60)
	judge := &scripted{id: "j/1", sees: SeesResponse, per: 1}
	encoder := &hashVectors{}
	p := Pipeline{Encoder: encoder, Judge: judge, Verifier: lastWordVerifier{}, Final: Final{Kind: Rule},
		Coherence: Coherence{Negatives: 3, Tau: 0.2, Form: "probability", Positive: true, Pool: 40}}
	dir := t.TempDir()
	report, first := labelled(t, p, dir, all)
	steps := 0
	for i, row := range readRows(t, dir) {
		c := CaseOf(all[i], "\n\n")
		steps += len(c.Thinking)
		if row.ID != all[i].ID || !slices.Equal(row.Steps, c.Thinking) || !slices.Equal(row.ResponseSteps, c.Response) || row.Made.Row != i {
			t.Fatalf("row %d: %+v", i, row.Trajectory)
		}
		// The reference: every part computed here, plainly, from the formulas.
		vectors, _ := (&hashVectors{}).Encode(t.Context(), append(append([]string{c.Problem}, c.Thinking...), c.Response...))
		for k := range c.Thinking {
			want := rng.New(5, strings.Join(c.Thinking[:k+1], "|")).Float64(0)
			if q := row.Made.Parts[Quality][k]; q == nil || *q != want {
				t.Errorf("%s: quality of step %d is %v, want %v", row.ID, k, q, want)
			}
			if len(c.Response) == 0 {
				if row.Made.Parts[Align][k] != nil || row.Labels.Steps[k] != nil {
					t.Errorf("%s: a label without a response", row.ID)
				}
				continue
			}
			align := Cosine(vectors[1+k], vectors[1+len(c.Thinking)+row.Made.To[k]])
			if got := row.Made.Parts[Align][k]; got == nil || *got != align {
				t.Errorf("%s: alignment of step %d is %v, want %v", row.ID, k, got, align)
			}
			reward, _, _ := Normalised.Fuse(map[Part]float64{Align: align, Quality: want, Coherent: *row.Made.Parts[Coherent][k]}, allParts)
			if got := row.Labels.Steps[k]; got == nil || *got != reward {
				t.Errorf("%s: label of step %d is %v, want %v", row.ID, k, got, reward)
			}
		}
		for k := len(c.Thinking); k < len(row.Labels.Steps); k++ {
			if row.Labels.Steps[k] != nil {
				t.Errorf("%s: response step %d has a label", row.ID, k)
			}
		}
		switch got := row.Labels.Trajectory; {
		case len(c.Response) == 0 && got != nil, len(c.Response) > 0 && (got == nil || *got != float64(1-i%2)):
			t.Errorf("%s: trajectory label %v", row.ID, got)
		}
	}
	if report.Steps != steps || report.Trajectories != 60 || report.Rows != 60 || len(judge.asked) != steps ||
		report.Asked[stageQuality] != steps {
		t.Errorf("report %+v, %d verdicts; want %d steps", report, len(judge.asked), steps)
	}
	// Once more: nobody is asked, the bytes are the same.
	encoded := encoder.texts.Load()
	report, again := labelled(t, p, dir, all)
	if len(judge.asked) != steps || encoder.texts.Load() != encoded || len(report.Asked) != 0 || report.Stored[stageQuality] != steps {
		t.Errorf("the second run asked: %+v", report)
	}
	if !bytes.Equal(first, again) {
		t.Error("the second run's labels differ")
	}
	// Another judge: its verdicts are asked for, the vectors are not.
	other := &scripted{id: "j/2", sees: SeesResponse}
	p.Judge = other
	if _, text := labelled(t, p, dir, all); len(other.asked) != steps || encoder.texts.Load() != encoded || bytes.Equal(text, first) {
		t.Errorf("another judge: %d verdicts, %d texts encoded", len(other.asked), encoder.texts.Load()-encoded)
	}
	// Another fusion asks nobody.
	p.Fusion = Min
	labelled(t, p, dir, all)
	if len(other.asked) != steps || encoder.texts.Load() != encoded {
		t.Error("another fusion asked")
	}
}

func TestShardsGiveTheBytesOfOneRun(t *testing.T) {
	all := made(80)
	p := Pipeline{Encoder: &hashVectors{}, Judge: &scripted{id: "j/1", sees: SeesPrefix}, Verifier: lastWordVerifier{},
		Final: Final{Kind: Rule}, Coherence: Coherence{Negatives: 4, Tau: 0.1, Form: "log", Pool: 16, Centre: true}, Fusion: Paper}
	root := t.TempDir()
	_, whole := labelled(t, p, filepath.Join(root, "one"), all)
	var dirs []string
	for i := range 7 {
		p.Shard, p.Shards, p.Workers = i, 7, i+1
		dir := filepath.Join(root, fmt.Sprint("shard", i))
		labelled(t, p, dir, all)
		dirs = append(dirs, dir)
	}
	slices.Reverse(dirs)
	out := filepath.Join(root, "merged")
	if _, err := Merge(t.Context(), dirs, out); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{LabelsFile, ParquetFile, ManifestFile, CardFile} {
		a, errA := os.ReadFile(filepath.Join(root, "one", name))
		b, errB := os.ReadFile(filepath.Join(out, name))
		if errA != nil || errB != nil || !bytes.Equal(a, b) {
			t.Errorf("%s differs between one run and seven shards (%v, %v)", name, errA, errB)
		}
	}
	// The joined store has everything: a run over it asks nobody.
	p.Shard, p.Shards = 0, 1
	silent := &scripted{id: "j/1", sees: SeesPrefix}
	p.Judge = silent
	if _, text := labelled(t, p, out, all); !bytes.Equal(text, whole) || len(silent.asked) > 0 {
		t.Errorf("the joined store lacks %d verdicts", len(silent.asked))
	}
	for want, wrong := range map[string][]string{"shard 6 of 7 is missing": dirs[1:], "both shard 5": append(slices.Clone(dirs[1:]), dirs[1]),
		"no folders": nil, "not shards of one run": append(slices.Clone(dirs[:6]), filepath.Join(root, "one")), "is not finished": {root}} {
		if _, err := Merge(t.Context(), wrong, filepath.Join(root, "wrong")); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, and not: %s", err, want)
		}
	}
}

// Labels that are not those of the manifest, down to one digit, are neither read nor merged.
func TestChangedLabelsAreRefused(t *testing.T) {
	dir := t.TempDir()
	p := Pipeline{Encoder: &hashVectors{}, Judge: &scripted{id: "j/1", sees: SeesPrefix},
		Coherence: Coherence{Negatives: 2, Tau: 0.1, Form: "log", Pool: 8}, Fusion: Paper}
	_, text := labelled(t, p, dir, made(5))
	for name, changed := range map[string][]byte{"a digit": bytes.Replace(text, []byte(`"row":3`), []byte(`"row":2`), 1),
		"cut": text[:bytes.LastIndexByte(text[:len(text)-1], '\n')+1], "empty": nil} {
		if err := os.WriteFile(filepath.Join(dir, LabelsFile), changed, 0o600); err != nil || bytes.Equal(text, changed) {
			t.Fatalf("%s: %v", name, err)
		}
		next, stop := iter.Pull2(ReadRows(dir))
		if row, err, _ := next(); row != nil || err == nil || !strings.Contains(err.Error(), "it was changed") {
			t.Errorf("%s: %v", name, err)
		}
		stop()
		if _, err := Merge(t.Context(), []string{dir}, t.TempDir()); err == nil || !strings.Contains(err.Error(), "it was changed") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// The pool depends on the set of trajectories alone.
func TestPoolDoesNotDependOnTheOrder(t *testing.T) {
	all := made(100)
	p := Pipeline{Coherence: Coherence{Negatives: 2, Pool: 10}, Split: "\n\n", Seed: 4}
	a, err := gatherPool(t.Context(), p, sequence(all))
	if err != nil {
		t.Fatal(err)
	}
	slices.Reverse(all)
	b, err := gatherPool(t.Context(), p, sequence(all))
	if err != nil {
		t.Fatal(err)
	}
	if a.hash != b.hash || len(a.items) != 10 {
		t.Errorf("%d items, hash %s; in reverse %s", len(a.items), a.hash, b.hash)
	}
	p.Seed++
	if c, err := gatherPool(t.Context(), p, sequence(all)); err != nil || c.hash == a.hash {
		t.Errorf("another seed gives the same pool (%v)", err)
	}
}

// Negatives come from other problems, each at most once a step, and differ from step to step.
func TestNegatives(t *testing.T) {
	p := &pool{}
	for i := range 20 {
		p.items = append(p.items, pooled{problem: data.KeyOf(fmt.Sprint(i % 4)), vector: []float32{float32(i)}})
	}
	c := &Case{ID: "a", Problem: "1", Thinking: make([]string, 50)}
	var drawn [][]float32
	collect := func(_ int, negatives [][]float32) {
		var set []float32
		for _, v := range negatives {
			if int(v[0])%4 == 1 {
				t.Errorf("a negative of the same problem: %v", v)
			}
			if slices.Contains(set, v[0]) {
				t.Errorf("%v was drawn twice", v)
			}
			set = append(set, v[0])
		}
		drawn = append(drawn, set)
	}
	if !p.draw(1, c, 5, collect) || len(drawn) != 50 {
		t.Fatalf("%d draws", len(drawn))
	}
	if slices.Equal(drawn[0], drawn[1]) && slices.Equal(drawn[1], drawn[2]) {
		t.Error("every step has the same negatives")
	}
	// Each step's draw from a fresh list, so that no step depends on those before it.
	random := rng.New(1, "negatives a")
	for step, got := range drawn {
		others := []float32{0, 2, 3, 4, 6, 7, 8, 10, 11, 12, 14, 15, 16, 18, 19}
		for k := range 5 {
			j := k + int(random.Uint64(uint64(step)<<16|uint64(k))%uint64(15-k))
			others[k], others[j] = others[j], others[k]
		}
		if !slices.Equal(got, others[:5]) {
			t.Errorf("step %d: %v, want %v", step, got, others[:5])
		}
	}
	if p.draw(1, c, 16, collect) {
		t.Error("16 negatives from 15 steps of other problems")
	}
}

func TestFailuresAreNeverLabels(t *testing.T) {
	all := made(40)
	broken := errors.New("the judge stumbled")
	bad := map[string]Verdict{"t3": {Score: 1.5}, "t4": {Score: -1}, "t5": {Score: nan()}}
	judge := &scripted{id: "j/1", sees: SeesPrefix, per: 2}
	judge.says = func(c *Case, step int) (Verdict, error) {
		if v, ok := bad[c.ID]; ok {
			return v, nil
		}
		if step == 1 {
			return Verdict{}, broken
		}
		if step == 2 {
			return Verdict{Unchecked: "nothing to check"}, nil
		}
		return Verdict{Score: 0.25}, nil
	}
	p := Pipeline{Judge: judge, Parts: []Part{Quality}}
	dir := t.TempDir()
	report, _ := labelled(t, p, dir, all)
	for _, row := range readRows(t, dir) {
		_, isBad := bad[row.ID]
		for k := range row.Steps {
			// Steps are asked two a call, so the first one falls with the second.
			has := !isBad && (k > 2 || k == 0 && len(row.Steps) == 1)
			if got := row.Labels.Steps[k]; (got != nil) != has || has && *got != 0.25 {
				t.Errorf("%s step %d: label %v", row.ID, k, got)
			}
		}
	}
	if report.Open["quality"][broken.Error()] == 0 || report.Open["quality"]["the judge's score is not in [0,1]"] == 0 ||
		report.None["quality"]["nothing to check"] == 0 {
		t.Errorf("open %v, none %v", report.Open, report.None)
	}
	// What is open is asked again, what was answered is not.
	asked := len(judge.asked)
	judge.says, judge.asked = nil, nil
	report, _ = labelled(t, p, dir, all)
	if report.OpenItems() != 0 || len(judge.asked)+report.Stored[stageQuality] != report.Steps || asked == 0 {
		t.Errorf("after the repair: open %v, %d asked, %d stored of %d", report.Open, len(judge.asked), report.Stored[stageQuality], report.Steps)
	}
}

// Two trajectories of one text are asked about at once, and the judge says something else each time: the first answer stored
// counts for both, then and later.
func TestTheFirstAnswerCounts(t *testing.T) {
	one := data.Trajectory{ID: "a", Problem: "p", Thinking: "x\n\ny\n\nz", Response: "w"}
	two := one
	two.ID = "b"
	var n atomic.Int64
	judge := &scripted{id: "j/1", sees: SeesPrefix, per: 1}
	judge.says = func(*Case, int) (Verdict, error) {
		time.Sleep(20 * time.Millisecond) // so that both are asked before either is stored
		return Verdict{Score: float64(n.Add(1)) / 100}, nil
	}
	dir := t.TempDir()
	p := Pipeline{Judge: judge, Parts: []Part{Quality}}
	_, first := labelled(t, p, dir, []*data.Trajectory{&one, &two})
	rows := readRows(t, dir)
	for k := range 3 {
		if *rows[0].Labels.Steps[k] != *rows[1].Labels.Steps[k] {
			t.Errorf("step %d: %v and %v", k, *rows[0].Labels.Steps[k], *rows[1].Labels.Steps[k])
		}
	}
	if n.Load() != 6 {
		t.Errorf("%d calls; the test needs both to be asked", n.Load())
	}
	if _, again := labelled(t, p, dir, []*data.Trajectory{&one, &two}); !bytes.Equal(first, again) {
		t.Error("the second run's labels differ")
	}
}

func nan() float64 { v := 0.0; return v / v }

type fatal struct{ error }

func (fatal) Fatal() bool { return true }

func TestAFatalErrorEndsTheCallsNotTheExport(t *testing.T) {
	all := made(200)
	judge := &scripted{id: "j/1", sees: SeesPrefix, per: 1}
	var calls atomic.Int64
	judge.says = func(*Case, int) (Verdict, error) {
		if calls.Add(1) > 50 {
			return Verdict{}, fatal{errors.New("the budget is spent")}
		}
		return Verdict{Score: 1}, nil
	}
	p := Pipeline{Judge: judge, Parts: []Part{Quality}, Workers: 4, Calls: 4}
	dir := t.TempDir()
	report, _ := labelled(t, p, dir, all)
	if report.Stopped != "the budget is spent" || report.StepLabels != 50 || calls.Load() > 54 {
		t.Errorf("stopped %q, %d labels, %d calls", report.Stopped, report.StepLabels, calls.Load())
	}
	if report.OpenItems() != report.Steps-50 {
		t.Errorf("%d open of %d steps", report.OpenItems(), report.Steps)
	}
}

func TestCancelledRunWritesNoLabels(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	judge := &scripted{id: "j/1", sees: SeesPrefix, per: 1}
	judge.says = func(*Case, int) (Verdict, error) { cancel(); return Verdict{}, ctx.Err() }
	dir := t.TempDir()
	s, err := store.Open(StorePath(dir), store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	p := Pipeline{Judge: judge, Parts: []Part{Quality}, Store: s, Out: dir}
	if _, err := p.Run(ctx, sequence(made(50))); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	if _, err := os.Stat(filepath.Join(dir, LabelsFile)); !os.IsNotExist(err) {
		t.Errorf("labels were written: %v", err)
	}
	if counts, err := s.Counts(); err != nil || len(counts) > 0 {
		t.Errorf("a cancelled call left %v in the store (%v)", counts, err)
	}
}

func TestValidate(t *testing.T) {
	s := &store.Store{}
	judge, encoder := &scripted{}, &hashVectors{}
	good := Pipeline{Judge: judge, Encoder: encoder, Store: s, Out: "x"}
	if err := good.Validate(); err != nil {
		t.Fatal(err)
	}
	for want, change := range map[string]func(*Pipeline){
		"quality needs a judge":     func(p *Pipeline) { p.Judge = nil },
		"align needs an encoder":    func(p *Pipeline) { p.Encoder = nil },
		"pairing: \"x\" is none of": func(p *Pipeline) { p.Pairing = "x" },
		"fusion: \"x\" is none of":  func(p *Pipeline) { p.Fusion = "x" },
		"parts: none":               func(p *Pipeline) { p.Parts = []Part{} },
		"twice":                     func(p *Pipeline) { p.Parts = []Part{Quality, Quality} },
		"quality_gated needs":       func(p *Pipeline) { p.Fusion, p.Parts = QualityGated, []Part{Align} },
		"takes coherence in [0,1]":  func(p *Pipeline) { p.Coherence = DefaultCoherence(); p.Coherence.Form = "log" },
		"coherence.tau":             func(p *Pipeline) { p.Coherence = DefaultCoherence(); p.Coherence.Tau = 0 },
		"coherence.pool":            func(p *Pipeline) { p.Coherence = DefaultCoherence(); p.Coherence.Pool = 3 },
		"needs a verifier":          func(p *Pipeline) { p.Final.Kind = Rule },
		"needs a templater":         func(p *Pipeline) { p.Final.Kind = Lift; p.Verifier = lastWordVerifier{} },
		"trajectory.samples":        func(p *Pipeline) { p.Final.Samples = -1 },
		"shard 2 of 2":              func(p *Pipeline) { p.Shard, p.Shards = 2, 2 },
		"needs a store":             func(p *Pipeline) { p.Store = nil },
		"needs a folder":            func(p *Pipeline) { p.Out = "" },
	} {
		p := good
		change(&p)
		if err := p.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want an error with %q, got %v", want, err)
		}
	}
}
