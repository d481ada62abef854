package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/goprm/goprm/data"
	"github.com/goprm/goprm/internal/remote"
	"github.com/goprm/goprm/prm"
)

type scoreCommands struct {
	Run   scoreCommand      `cmd:"" name:"trajectories" default:"withargs" help:"Score every step of trajectories (the default)."`
	Merge scoreMergeCommand `cmd:"" help:"Join the outputs of all shards."`
}

type scoreCommand struct {
	Paths     []string `arg:"" optional:"" help:"Model folder, unless --model names it, then trajectories, as --in."`
	Model     string   `help:"Model folder."`
	In        []string `sep:"none" help:"Trajectories: JSON lines, plain, .gz or .zst, a folder of them, - for stdin."`
	Out       string   `help:"File for the scores, one line a trajectory; stdout by default."`
	MaxTokens int      `help:"Most tokens read at once; longer texts are read in windows over whole steps. 0: as the model was trained."`
	Alpha     *float64 `help:"Weight of the trajectory's own score in the reward; the model's by default."`
	Parts     string   `enum:"trained,thinking,response,all," default:"" help:"${parts}"`
	Replay    []string `sep:"none" help:"Audit logs of prm serve, instead of --in: score their texts again, and compare to the last bit."`
	Shard     string   `default:"0/1" help:"Score shard i of n, counted from 0, as 3/16; prm score merge joins the outputs."`
	Resume    bool     `help:"Go on with an output that was not finished."`
	OnBad     string   `enum:"error,skip" default:"error" help:"What a trajectory that cannot be scored does: error or skip."`
	openFlags
}

func (scoreCommand) Help() string {
	return "A line of output: id, steps (each with its place in the text and its score), trajectory (the score of the whole, or null) " +
		"and reward. Unfinished output lies beside --out under the name OUT.part; --resume keeps its whole lines, scores the last few " +
		"again, and goes on if they come out the same. Example:\n\n" +
		"  prm score --model runs/one/model --in traj.jsonl --out scores.jsonl"
}

// resolve takes the arguments without a flag's name for the model and the inputs.
func (c *scoreCommand) resolve() error {
	if c.Model == "" && len(c.Paths) > 0 {
		c.Model, c.Paths = c.Paths[0], c.Paths[1:]
	}
	c.In, c.Paths = append(c.In, c.Paths...), nil
	switch {
	case c.Model == "":
		return usageError("--model is needed")
	case len(c.In) == 0 && len(c.Replay) == 0:
		return usageError("--in is needed")
	case len(c.In) > 0 && len(c.Replay) > 0:
		return usageError("--in and --replay exclude each other")
	case len(c.Replay) > 0 && (c.Out != "" || c.Resume || c.Alpha != nil || c.Parts != ""):
		return usageError("--replay writes no scores, and alpha and parts are the log's")
	}
	return nil
}

func (c scoreCommand) Run(p *program) error {
	if err := c.resolve(); err != nil {
		return err
	}
	toFile := c.Out != "" && c.Out != "-"
	if c.Resume && !toFile {
		return usageError("--resume needs --out")
	}
	if err := (prm.ScoreOptions{Alpha: c.Alpha, Parts: c.Parts}).Validate(); err != nil {
		return usageError(err.Error())
	}
	part, err := newShard(c.Shard)
	if err != nil {
		return err
	}
	if part != nil && (!toFile || len(c.Replay) > 0 || slices.Contains(c.In, "-")) {
		return usageError("--shard needs --out, and files as input: they are read twice")
	}
	target, err := outputTarget(c.Out, c.In)
	if err != nil {
		return err
	}
	options := p.openOptions(c.openFlags, c.MaxTokens)
	options.VerifyLater = true // no line is written before
	folder, err := remote.Folder(c.Model)
	if err != nil {
		return err
	}
	model, err := prm.Open(folder, options)
	if err != nil {
		return err
	}
	defer func() { _ = model.Close() }()
	info := model.Info()
	p.console.Infof("%s: %s, %d layers, %s on %s", c.Model, info.Format, info.Layers, info.DType, info.Backend)
	if len(c.Replay) > 0 {
		return c.replay(p, model)
	}
	s := &scoring{program: p, command: c, model: model, source: func() iter.Seq2[*data.Trajectory, error] {
		return data.Read(c.In, data.ReadOptions{Stdin: p.stdin})
	}}
	switch {
	case part != nil:
		return s.shard(target, part)
	case toFile:
		_, err := s.toFile(target)
		return err
	}
	return p.output(c.Out, c.In, s.run)
}

// scoring is one run of the command.
type scoring struct {
	*program
	command scoreCommand
	model   *prm.Model
	source  func() iter.Seq2[*data.Trajectory, error]
	total   int // trajectories of the source; 0: unknown
	resumed unfinished

	scored, bad int
	skipped     map[string]int // of bad, by kind
	ended       error          // ended the input; no single trajectory is to blame
	unmatched   bool           // the input lacks rows of the unfinished output, or has others between them
}

// run writes a line for each trajectory after those that an unfinished output holds, in the order of the input.
func (s *scoring) run(w io.Writer) error {
	if s.total == 0 && len(s.command.In) > 0 && !s.quiet { // counting reads the input once more
		s.total = countRows(s.command.In)
	}
	s.console.Start("score", len(s.resumed.ids), s.total)
	s.scored = len(s.resumed.ids)
	options := prm.ScoreOptions{Alpha: s.command.Alpha, Parts: s.command.Parts, OnBad: s.onBad}
	for score, err := range s.model.ScoreAll(s.ctx, s.input, options) {
		if s.unmatched {
			return s.resumed.other()
		}
		if err == nil {
			err = s.put(w, score)
		}
		if err != nil && s.ctx.Err() != nil && errors.Is(err, s.ctx.Err()) {
			return s.interrupted()
		}
		if err != nil {
			return err
		}
		s.scored++
		s.console.Update(s.scored+s.bad, "")
	}
	if s.ctx.Err() != nil {
		return s.interrupted()
	}
	if s.unmatched || len(s.resumed.check) > 0 {
		return s.resumed.other()
	}
	s.console.Finish()
	if s.bad > 0 {
		s.console.Warnf("%d trajectories were skipped, %d scored; skipped: %s", s.bad, s.scored, kinds(s.skipped))
	}
	s.console.Infof("%d trajectories scored", s.scored)
	return nil
}

func (s *scoring) interrupted() error {
	if s.command.Out == "" || s.command.Out == "-" {
		return fmt.Errorf("interrupted after %d trajectories", s.scored)
	}
	return fmt.Errorf("interrupted after %d trajectories; go on with --resume", s.scored)
}

// put writes one line, or compares it with what an unfinished output holds in its place.
func (s *scoring) put(w io.Writer, score *prm.Score) error {
	var line bytes.Buffer
	if err := jsonLines(&line).Encode(score); err != nil {
		return err
	}
	if len(s.resumed.check) > 0 {
		if !bytes.Equal(line.Bytes(), s.resumed.check[0]) {
			return s.resumed.other()
		}
		s.resumed.check = s.resumed.check[1:]
		return nil
	}
	if _, err := w.Write(line.Bytes()); err != nil {
		return err
	}
	if b, ok := w.(*bufio.Writer); ok { // so that what a killed process has scored is there
		return b.Flush()
	}
	return nil
}

func (s *scoring) onBad(err error) error {
	s.bad++
	if s.command.OnBad == "error" || s.ended != nil {
		return err
	}
	if s.skipped == nil {
		s.skipped = map[string]int{}
	}
	s.skipped[badKind(err)]++
	s.console.Warnf("skipped: %s", oneLine(err))
	return nil
}

// badKind says in a few words why a trajectory cannot be scored.
func badKind(err error) string {
	var long *prm.TooLongError
	var field *data.FieldError
	var row *data.RowError
	switch {
	case errors.As(err, &long):
		return "too long"
	case errors.As(err, &field):
		name, _, _ := strings.Cut(field.Field, "[") // without the step's number
		return "wrong " + name
	case errors.As(err, &row):
		return "unreadable"
	}
	return "cannot be rendered"
}

// kinds lists counts by kind.
func kinds(counts map[string]int) string {
	var list []string
	for _, kind := range slices.Sorted(maps.Keys(counts)) {
		list = append(list, fmt.Sprintf("%d %s", counts[kind], kind))
	}
	return strings.Join(list, ", ")
}

// input yields the trajectories that are to be scored. Those of an unfinished output's lines are passed over; what lies
// between them must be what could not be scored then, so it is tried again and must be bad again. The lines to check do not
// tell: an input that begins with them would have the same scores.
func (s *scoring) input(yield func(*data.Trajectory, error) bool) {
	done := s.resumed.ids
	for t, err := range s.source() {
		var row *data.RowError
		if err != nil && !errors.As(err, &row) {
			s.ended = err
		}
		if err == nil && len(done) > 0 && t.ID == done[0] {
			done = done[1:]
			continue
		}
		bad := s.bad
		if !yield(t, err) {
			return
		}
		if len(done) > 0 && s.bad == bad {
			s.unmatched = true
			return
		}
	}
}

// countRows is how many rows the paths hold, 0 where reading them twice is not possible.
func countRows(paths []string) int {
	files, err := data.Files(paths)
	if err != nil || slices.ContainsFunc(files, func(file string) bool {
		local, err := remote.Path(file)
		if err != nil {
			return true
		}
		info, err := os.Stat(local)
		return err != nil || !info.Mode().IsRegular()
	}) {
		return 0
	}
	rows := 0
	for _, err := range data.Lines(files, data.ReadOptions{}) {
		var row *data.RowError
		if err != nil && !errors.As(err, &row) {
			break // scoring will meet it again, and report it
		}
		rows++
	}
	return rows
}
