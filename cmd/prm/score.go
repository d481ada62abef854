package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"

	"github.com/goprm/goprm/data"
	"github.com/goprm/goprm/prm"
)

type scoreCommand struct {
	Model  string   `required:"" help:"Model folder."`
	In     []string `required:"" help:"Trajectories: JSON lines, plain, .gz or .zst, a folder of them, - for stdin."`
	Out    string   `help:"File for the scores, one line a trajectory; stdout by default."`
	Format string   `help:"Public format of a folder that fits several, e.g. qwen_math_prm."`
	Alpha  *float64 `help:"Weight of the trajectory's own score in the reward; the model's by default."`
	Parts  string   `enum:"trained,thinking,response,all," default:"" help:"Steps that the reward averages: trained, thinking, response or all."`
	DType  string   `name:"dtype" default:"auto" help:"Arithmetic: auto, f32 or f64."`
	Resume bool     `help:"Go on with an output that was not finished."`
	OnBad  string   `enum:"error,skip" default:"error" help:"What a trajectory that cannot be scored does: error or skip."`
	machineFlags
}

func (scoreCommand) Help() string {
	return "Unfinished output lies beside --out under the name OUT.part; --resume keeps its whole lines. Example:\n\n  prm score --model runs/one/model --in traj.jsonl --out scores.jsonl"
}

func (c scoreCommand) Run(p *program) error {
	if c.Resume && (c.Out == "" || c.Out == "-") {
		return usageError("--resume needs --out")
	}
	model, err := prm.Open(c.Model, prm.OpenOptions{Device: c.Device, Backend: c.Backend, Threads: c.Threads, DType: c.DType, Format: c.Format})
	if err != nil {
		return err
	}
	defer func() { _ = model.Close() }()
	info := model.Info()
	p.console.Infof("%s: %s, %d layers, %s on %s", c.Model, info.Format, info.Layers, info.DType, info.Backend)
	if c.Out == "" || c.Out == "-" {
		return p.output(c.Out, func(w io.Writer) error { return c.score(p, model, w, nil) })
	}
	return c.toFile(p, model)
}

// toFile writes to OUT.part and renames it when whole.
func (c scoreCommand) toFile(p *program, model *prm.Model) error {
	part := c.Out + ".part"
	var done []string
	if c.Resume {
		var err error
		if done, err = keepWhole(part); err != nil {
			return err
		}
		if len(done) > 0 {
			p.console.Noticef("resumed after %d scored trajectories", len(done))
		}
	} else if err := os.Remove(part); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := os.OpenFile(part, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	w := bufio.NewWriter(f)
	err = c.score(p, model, w, done)
	err = errors.Join(err, w.Flush())
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return os.Rename(part, c.Out)
}

// keepWhole cuts a torn last line off an unfinished output and returns the ids of the lines that stay.
func keepWhole(part string) ([]string, error) {
	content, err := os.ReadFile(part)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	content = content[:bytes.LastIndexByte(content, '\n')+1]
	var ids []string
	for line := range bytes.Lines(content) {
		var row struct{ ID string }
		if err := json.Unmarshal(line, &row); err != nil {
			return nil, fmt.Errorf("%s:%d: %w; delete it to begin anew", part, len(ids)+1, err)
		}
		ids = append(ids, row.ID)
	}
	return ids, os.Truncate(part, int64(len(content)))
}

// score writes a line for each trajectory after those whose ids are done, in the order of the input.
func (c scoreCommand) score(p *program, model *prm.Model, w io.Writer, done []string) error {
	skipped := 0
	options := prm.ScoreOptions{Alpha: c.Alpha, Parts: c.Parts}
	if c.OnBad == "skip" {
		options.OnBad = func(err error) error {
			skipped++
			p.console.Warnf("skipped: %s", oneLine(err))
			return nil
		}
	}
	lines, scored := jsonLines(w), len(done)
	for s, err := range model.ScoreAll(p.ctx, after(data.Read(c.In, data.ReadOptions{Stdin: p.stdin}), done), options) {
		if err != nil {
			return err
		}
		if err := lines.Encode(s); err != nil {
			return err
		}
		if scored++; scored%100 == 0 {
			p.console.Infof("%d scored", scored)
		}
	}
	if err := p.ctx.Err(); err != nil {
		return fmt.Errorf("interrupted after %d trajectories; go on with --resume", scored)
	}
	if skipped > 0 {
		p.console.Warnf("%d trajectories were skipped, %d scored", skipped, scored)
	}
	p.console.Infof("%d trajectories scored", scored)
	return nil
}

// after leaves out the trajectories that are done: the input must begin with them, in their order, save for rows that
// could not be scored then.
func after(in iter.Seq2[*data.Trajectory, error], done []string) iter.Seq2[*data.Trajectory, error] {
	return func(yield func(*data.Trajectory, error) bool) {
		for t, err := range in {
			if len(done) > 0 {
				if err == nil && t.ID == done[0] {
					done = done[1:]
				}
				continue
			}
			if !yield(t, err) {
				return
			}
		}
		if len(done) > 0 {
			yield(nil, fmt.Errorf("the unfinished output holds %q, which the input does not: it was made from another input", done[0]))
		}
	}
}
