package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/goprm/goprm/data/tokenizer"
	"github.com/goprm/goprm/internal/shareddata"
	"github.com/goprm/goprm/internal/tinymodel"
	"github.com/stretchr/testify/require"
)

// prm runs a command line in this process.
func prmCommand(args ...string) (code int, stdout, stderr string) {
	var out, err bytes.Buffer
	code = run(context.Background(), args, strings.NewReader(""), &out, &err)
	return code, out.String(), err.String()
}

func write(t *testing.T, path, content string) string {
	require.NoError(t, os.WriteFile(path, []byte(content), 0o644))
	return path
}

// fixture is a tiny model, labelled trajectories and a configuration.
func fixture(t *testing.T) (dir, model, labelled, config string) {
	dir = t.TempDir()
	model = filepath.Join(dir, "model")
	require.NoError(t, tinymodel.Write(model, tinymodel.Options{}))
	var rows strings.Builder
	for i := range 24 {
		fmt.Fprintf(&rows, `{"id":"%d","problem":"Number %d?","steps":["One.","Two."],"labels":{"steps":[%g,0.3],"trajectory":0.5}}`+"\n", i, i,
			float64(i%5)/4)
	}
	labelled = write(t, filepath.Join(dir, "labelled.jsonl"), rows.String())
	config = write(t, filepath.Join(dir, "run.yaml"), fmt.Sprintf("model: %s\ndata: {train: [%s], eval_share: 0.2}\ntrain: lora\nbatch: "+
		"{trajectories: 4}\nout: %s\n", model, labelled, filepath.Join(dir, "run")))
	return dir, model, labelled, config
}

func TestUsage(t *testing.T) {
	for _, c := range []struct {
		args   string
		code   int
		stdout string
		stderr string
	}{
		{"", 0, "Commands:", ""},
		{"--help", 0, "tokenize", ""},
		{"train --help", 0, "--dry-run", ""},
		{"dance", 2, "", "prm: unexpected argument dance"},
		{"train", 2, "", "--model, --data and --out"},
		{"train a.yaml --config b.yaml", 2, "", "both --config b.yaml and a.yaml"},
		{"score --model m --in f --on-bad perhaps", 2, "", "--on-bad"},
		{"score --model m --in f --resume", 2, "", "--resume needs --out"},
		{"score --model m --in f --alpha NaN", 2, "", "prm score: alpha: NaN"},
		{"score --model", 2, "", "prm score: "},
		{"--threads=-1 version", 2, "", "--threads -1"},
		{"version --threads 1000000000", 2, "", "--threads 1000000000"},
		{"--threads 1 version", 0, "kernels cpu/", ""},
		{"--backend portable parity /nowhere --quiet", 1, "", "(f32 on cpu/portable)"},
		{"--dtype parity parity x", 2, "", "prm parity: "},
		{"parity --dtype f16 x", 2, "", "f16"},
		{"parity /nowhere /elsewhere", 1, "", "; /elsewhere: neither batch.json"},
		{"parity /nowhere", 1, "", "prm parity: /nowhere: neither batch.json"},
		{"inspect /nowhere", 1, "", "prm inspect: /nowhere: no such file or folder"},
		{"version", 0, "kernels cpu/", ""},
		{"version", 0, ", tokenizer " + tokenizer.Implementation, ""},
		{"version --json", 0, `"tokenizer": "` + tokenizer.Implementation, ""},
		{"version --json", 0, `"kernels": "cpu/`, ""},
		{"devices", 0, "cpu/", ""},
		{"devices --json", 0, `"gpus": [`, ""},
		{"plan", 2, "", "--model is needed"},
		{"plan --model /nowhere", 1, "", "prm plan: "},
		{"plan --model m --memory=-3", 2, "", "--memory -3"},
		{"plan --model m --train most", 1, "", `train: "most"`},
		{"parity --device cuda:x /nowhere", 1, "", "what follows the colon is not a number"},
		{"train --config /nowhere.yaml", 1, "", "/nowhere.yaml"},
	} {
		code, stdout, stderr := prmCommand(strings.Fields(c.args)...)
		require.Equal(t, c.code, code, "%s: %s", c.args, stderr)
		require.Contains(t, stdout, c.stdout, c.args)
		require.Contains(t, stderr, c.stderr, c.args)
		if code != 0 {
			require.Equal(t, 1, strings.Count(stderr, "\n"), "one line: %q", stderr)
			require.Empty(t, stdout, c.args)
		}
	}
}

func TestParityRefusesBF16WhereItIsNotComputed(t *testing.T) {
	code, _, stderr := prmCommand("parity", "--dtype", "bf16", "--backend", "avx2", "x")
	if strings.Contains(stderr, "they need a processor") || strings.Contains(stderr, "want auto, portable") {
		t.Skip(stderr)
	}
	require.Equal(t, 1, code)
	require.Contains(t, stderr, "cpu/avx2 does not compute in bf16")
}

func TestTrainScoreAndResume(t *testing.T) {
	dir, model, labelled, config := fixture(t)
	code, stdout, stderr := prmCommand("train", "--dry-run", "--config", config)
	require.Equal(t, 0, code, stderr)
	require.Contains(t, stdout, "⟦")
	require.NoDirExists(t, filepath.Join(dir, "run"))

	code, _, stderr = prmCommand("--quiet", "train", "--config", config, "--set", "optim.lrr=1")
	require.Equal(t, 1, code)
	require.Contains(t, stderr, "optim.lr", "the nearest key is named")

	code, stdout, stderr = prmCommand("train", "--set", "optim.epochs=2", "--config", config, "--quiet")
	require.Equal(t, 0, code, stderr)
	require.Contains(t, stdout, "model: ")
	require.NotContains(t, stderr, "train ", "quiet")
	code, _, stderr = prmCommand("train", "--config", config)
	require.Equal(t, 1, code)
	require.Contains(t, stderr, "run", "an existing folder is refused")
	code, stdout, _ = prmCommand("train", "--config", config, "--set", "optim.epochs=2", "--resume")
	require.Equal(t, 0, code)
	require.Contains(t, stdout, "is complete")

	trained, scores := filepath.Join(dir, "run", "model"), filepath.Join(dir, "scores.jsonl")
	code, stdout, stderr = prmCommand("score", "--in", labelled, "--model", trained, "--out", scores)
	require.Equal(t, 0, code, stderr)
	require.Empty(t, stdout)
	whole, err := os.ReadFile(scores)
	require.NoError(t, err)
	require.Equal(t, 24, bytes.Count(whole, []byte("\n")))
	var row struct {
		ID    string
		Steps []struct {
			Part  string
			Start *int
			Score float64
		}
		Trajectory, Reward *float64
	}
	require.NoError(t, json.Unmarshal(whole[:bytes.IndexByte(whole, '\n')], &row))
	require.Equal(t, "0", row.ID)
	require.Len(t, row.Steps, 2)
	require.Equal(t, "thinking", row.Steps[0].Part)
	require.InDelta(t, (row.Steps[0].Score+row.Steps[1].Score)/2+*row.Trajectory, *row.Reward, 1e-12)

	// an unfinished output, its last line torn, goes on to the same bytes
	write(t, scores+".part", string(whole[:len(whole)/2]))
	require.NoError(t, os.Remove(scores))
	code, _, stderr = prmCommand("score", "--in", labelled, "--model", trained, "--out", scores, "--resume")
	require.Equal(t, 0, code, stderr)
	require.Contains(t, stderr, "resumed after")
	resumed, err := os.ReadFile(scores)
	require.NoError(t, err)
	require.Equal(t, string(whole), string(resumed))
	require.NoFileExists(t, scores+".part")

	bad := write(t, filepath.Join(dir, "bad.jsonl"), `{"id":"a","problem":"p","steps":["s"]}`+"\n"+`{"id":"b","problem":5}`+"\n"+
		`{"id":"c","problem":"p","steps":["s"]}`+"\n")
	code, _, stderr = prmCommand("score", "--in", bad, "--model", trained)
	require.Equal(t, 1, code)
	require.Contains(t, stderr, "bad.jsonl:2")
	code, stdout, stderr = prmCommand("score", "--in", bad, "--model", trained, "--on-bad", "skip")
	require.Equal(t, 0, code, stderr)
	require.Equal(t, 2, strings.Count(stdout, "\n"))
	require.Contains(t, stderr, "1 trajectories were skipped")

	code, stdout, stderr = prmCommand("inspect", model, "--json")
	require.Equal(t, 0, code, stderr)
	require.True(t, json.Valid([]byte(stdout)))
}

// trained is a folder with a model that training has written.
func trained(t *testing.T, set ...string) (dir, model string) {
	dir, _, _, config := fixture(t)
	args := []string{"train", "--quiet", "--config", config, "--set", "train=full"}
	for _, s := range set {
		args = append(args, "--set", s)
	}
	code, _, stderr := prmCommand(args...)
	require.Equal(t, 0, code, stderr)
	return dir, filepath.Join(dir, "run", "model")
}

func TestInspectTrained(t *testing.T) {
	_, model := trained(t, "reward.alpha=0.25")
	code, stdout, stderr := prmCommand("inspect", model)
	require.Equal(t, 0, code, stderr)
	require.Contains(t, stdout, "trained on thinking, trajectory; reward: alpha 0.25; a step below 0.5 counts as wrong; at most 512 tokens")
	var d struct {
		Kind    string
		Trained struct{ Alpha float64 }
	}
	code, stdout, _ = prmCommand("--json", "inspect", model)
	require.Equal(t, 0, code)
	require.NoError(t, json.Unmarshal([]byte(stdout), &d))
	require.Equal(t, "model", d.Kind)
	require.Equal(t, 0.25, d.Trained.Alpha)

	write(t, filepath.Join(model, "goprm.json"), `{"format":99}`)
	code, stdout, stderr = prmCommand("inspect", model)
	require.Equal(t, 1, code)
	require.Empty(t, stdout)
	require.Contains(t, stderr, "goprm.json")
}

func TestScoreRefusesToMix(t *testing.T) {
	dir, model := trained(t)
	row := func(id string) string { return fmt.Sprintf(`{"id":%q,"problem":"p %s","steps":["s"]}`+"\n", id, id) }
	bad := `{"id":"bad","problem":5}` + "\n"
	in := func(rows ...string) string {
		return write(t, filepath.Join(dir, "a,b.jsonl"), strings.Join(rows, "")) // a comma is part of a name
	}
	all := []string{row("1"), row("2"), bad, row("3"), row("4"), row("5"), row("6"), row("7")}
	out := filepath.Join(dir, "scores")
	score := func(more ...string) (int, string, string) {
		return prmCommand(append([]string{"score", "--model", model, "--in", filepath.Join(dir, "a,b.jsonl"), "--out", out, "--on-bad", "skip"},
			more...)...)
	}
	in(all...)
	code, _, stderr := score()
	require.Equal(t, 0, code, stderr)
	wholeBytes, err := os.ReadFile(out)
	require.NoError(t, err)
	whole := string(wholeBytes)
	lines := strings.SplitAfter(whole, "\n")
	begin := func() {
		require.NoError(t, os.RemoveAll(out))
		write(t, out+".part", strings.Join(lines[:6], "")+lines[6][:5])
	}
	finished := func() string {
		b, err := os.ReadFile(out)
		require.NoError(t, err)
		return string(b)
	}

	begin()
	code, _, stderr = score("--resume", "--quiet")
	require.Equal(t, 0, code, stderr)
	require.Equal(t, whole, finished())
	require.Contains(t, stderr, "resumed after 6")
	require.Contains(t, stderr, "1 trajectories were skipped, 7 scored", "the bad row before the resumption counts")

	// a finished output whose input has grown
	in(append(all, row("8"))...)
	code, _, stderr = score("--resume")
	require.Equal(t, 0, code, stderr)
	require.True(t, strings.HasPrefix(finished(), whole) && strings.Contains(finished(), `"id":"8"`))
	in(all...)

	for name, change := range map[string]func() []string{
		"alpha":            func() []string { return []string{"--alpha", "3"} },
		"a row between":    func() []string { in(append([]string{row("new")}, all...)...); return nil },
		"rows gone":        func() []string { in(all[:4]...); return nil },
		"checked row gone": func() []string { in(all[:6]...); return nil },
		"another order":    func() []string { in(all[1], all[0], all[3], all[4], all[5], all[6]); return nil },
	} {
		begin()
		before, err := os.ReadFile(out + ".part")
		require.NoError(t, err)
		code, _, stderr := score(append(change(), "--resume")...)
		in(all...)
		require.Equal(t, 1, code, name)
		require.Contains(t, stderr, "begun with another input", name)
		require.NoFileExists(t, out, name)
		after, err := os.ReadFile(out + ".part")
		require.NoError(t, err)
		require.True(t, strings.HasPrefix(string(before), string(after)), "%s: nothing is added", name)
	}
	write(t, out+".part", "no JSON\n")
	code, _, stderr = score("--resume")
	require.Equal(t, 1, code)
	require.Contains(t, stderr, "scores.part:1")
}

func TestScoreInput(t *testing.T) {
	dir, model := trained(t)
	row := `{"id":"x","problem":"p","steps":["s"]}` + "\n"
	in, out := write(t, filepath.Join(dir, "in.jsonl"), row), filepath.Join(dir, "scores")

	// what ends the input is no bad row, and skipping does not hide it
	broken := write(t, filepath.Join(dir, "broken.jsonl.gz"), "\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff")
	for _, from := range []string{broken, filepath.Join(dir, "nothing.jsonl")} {
		code, _, stderr := prmCommand("score", "--model", model, "--in", in, "--in", from, "--on-bad", "skip", "--out", out)
		require.Equal(t, 1, code, from)
		require.Contains(t, stderr, filepath.Base(from))
		require.NoFileExists(t, out)
	}

	code, _, stderr := prmCommand("score", "--model", model, "--in", in, "--out", in)
	require.Equal(t, 1, code)
	require.Contains(t, stderr, "is an input too")
	kept, err := os.ReadFile(in)
	require.NoError(t, err)
	require.Equal(t, row, string(kept))
	code, _, stderr = prmCommand("score", "--model", model, "--in", in, "--out", dir)
	require.Equal(t, 1, code)
	require.Contains(t, stderr, "not a regular file")

	ctx, cancel := context.WithCancel(context.Background())
	silent, writer := io.Pipe() // nobody writes: the end of the context must end the waiting
	defer func() { _ = writer.Close() }()
	var stdout, errors bytes.Buffer
	time.AfterFunc(200*time.Millisecond, cancel)
	require.Equal(t, 1, run(ctx, []string{"score", "--model", model, "--in", "-", "--quiet"}, silent, &stdout, &errors))
	require.Equal(t, "prm score: interrupted after 0 trajectories\n", errors.String())
}

// closedPipe is the stdout of a program whose reader has gone.
type closedPipe struct{}

func (closedPipe) Write([]byte) (int, error) {
	return 0, &os.PathError{Op: "write", Path: "|1", Err: syscall.EPIPE}
}

func TestClosedPipeIsQuiet(t *testing.T) {
	_, model, _, _ := fixture(t)
	var stderr bytes.Buffer
	require.Equal(t, 0, run(context.Background(), []string{"inspect", model}, strings.NewReader(""), closedPipe{}, &stderr))
	require.Empty(t, stderr.String())
}

func TestParity(t *testing.T) {
	code, stdout, stderr := prmCommand("parity", "../../internal/parity/testdata/wide", "--dtype", "f64", "--backend", "portable")
	require.Equal(t, 0, code, stderr)
	require.Contains(t, stdout, "1 folders agree with PyTorch in f64 on cpu/portable")

	changed := filepath.Join(t.TempDir(), "changed")
	require.NoError(t, os.CopyFS(changed, os.DirFS("../../internal/parity/testdata/wide")))
	path := filepath.Join(changed, "forward.json")
	var forward map[string]map[string]any
	content, err := os.ReadFile(path)
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(content, &forward))
	forward["f64"]["loss_final"] = forward["f64"]["loss_final"].(float64) * 1.01
	content, err = json.Marshal(forward)
	require.NoError(t, err)
	write(t, path, string(content))
	code, stdout, stderr = prmCommand("parity", "--json", changed, "../../internal/parity/testdata/wide", "--dtype", "f64")
	require.Equal(t, 1, code)
	require.Contains(t, stderr, "changed: beyond tolerance (f64 on ")
	var reports []struct {
		OK   bool
		Rows []struct{ Quantity string }
	}
	require.NoError(t, json.Unmarshal([]byte(stdout), &reports))
	require.Len(t, reports, 2, "the other folder is compared all the same")
	require.False(t, reports[0].OK)
	require.True(t, reports[1].OK)
	require.NotEmpty(t, reports[1].Rows)
}

func TestTokenize(t *testing.T) {
	dir, model, _, _ := fixture(t)
	in := write(t, filepath.Join(dir, "in.jsonl"), `{"text":"ab"}`+"\n"+`{"text":""}`+"\n"+`{"text":"a<|im_end|>"}`+"\n")
	code, stdout, stderr := prmCommand("tokenize", "--in", in, "--tokenizer", model)
	require.Equal(t, 0, code, stderr)
	require.Equal(t, `{"ids":[97,98]}`+"\n"+`{"ids":[]}`+"\n"+`{"ids":[97,258]}`+"\n", stdout)
	write(t, in, `{"text":"ab"}`+"\n"+`{"words":"ab"}`+"\n")
	code, _, stderr = prmCommand("tokenize", "--in", in, "--tokenizer", model, "--out", filepath.Join(dir, "out"))
	require.Equal(t, 1, code)
	require.Contains(t, stderr, "in.jsonl:2")
	require.NoFileExists(t, filepath.Join(dir, "out"), "no half output")
}

func TestTokenizeBadRows(t *testing.T) {
	_, model, _, _ := fixture(t)
	for row, want := range map[string]string{
		"{\"text\":\"a\xffb\"}":         "not valid UTF-8",
		`{"text":"\ud800"}`:             "surrogate",
		`{"text":"\\\ud800\\\udc00"}`:   "surrogate",
		`{"text":"\ud83d\ude00\ude00"}`: "surrogate",
		`{"Text":"a"}`:                  `no "text"`,
		`{"text":null}`:                 `no "text"`,
		`{"text":3}`:                    "text: ",
		`["a"]`:                         "not a JSON object",
		`{"text":"a"`:                   "not a JSON object",
	} {
		var stdout, stderr bytes.Buffer
		code := run(context.Background(), []string{"tokenize", "--tokenizer", model, "--in", "-"},
			strings.NewReader(`{"text":"\ud83d\ude00 \\ud800 \ufffd"}`+"\n"+row+"\n"), &stdout, &stderr)
		require.Equal(t, 1, code, row)
		require.Contains(t, stderr.String(), ":2: ", row)
		require.Contains(t, stderr.String(), want, row)
		require.Equal(t, 1, strings.Count(stdout.String(), "\n"), "what came before is there: %s", row)
	}
}

func TestTokenizeVectors(t *testing.T) {
	folder := filepath.Join(shareddata.Dir(t), "data", "tokenizer")
	files, err := filepath.Glob(filepath.Join(folder, "vectors_*.jsonl"))
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, f := range files {
		code, stdout, stderr := prmCommand("tokenize", "--tokenizer", filepath.Join(folder, "qwen2.5", "tokenizer.json"), "--in", f)
		require.Equal(t, 0, code, stderr)
		vectors, err := os.ReadFile(f)
		require.NoError(t, err)
		want, got := strings.Split(strings.TrimSpace(string(vectors)), "\n"), strings.Split(strings.TrimSpace(stdout), "\n")
		require.Len(t, got, len(want))
		for i := range want {
			var w, g struct{ IDs []int32 }
			require.NoError(t, json.Unmarshal([]byte(want[i]), &w))
			require.NoError(t, json.Unmarshal([]byte(got[i]), &g))
			require.Equal(t, append([]int32{}, w.IDs...), g.IDs, "%s:%d", f, i+1)
		}
	}
}

func TestInspectVerdicts(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(shareddata.Dir(t), "data", "badinput", "safetensors", "*"))
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, f := range files {
		code, _, stderr := prmCommand("inspect", f)
		if strings.HasPrefix(filepath.Base(f), "ok_") {
			require.Equal(t, 0, code, stderr)
		} else {
			require.Equal(t, 1, code, f)
			require.Contains(t, stderr, filepath.Base(f))
		}
	}
}

// PyTorch's weights become safetensors that score the same; windows and low memory go through to the model.
func TestConvertAndWindows(t *testing.T) {
	in := filepath.Join(shareddata.Dir(t), "data", "goldens", "heads", "skywork_prm")
	out := filepath.Join(t.TempDir(), "out")
	code, _, stderr := prmCommand("convert", "--in", in, "--out", out)
	require.Equal(t, 0, code, stderr)
	require.Contains(t, stderr, "pytorch_model-00001-of-00002.bin: now model-00001-of-00002.safetensors")
	code, _, stderr = prmCommand("convert", "--in", in, "--out", out)
	require.Equal(t, 1, code)
	require.Contains(t, stderr, "exists already")
	rows := filepath.Join(t.TempDir(), "rows.jsonl")
	require.NoError(t, os.WriteFile(rows, []byte(`{"id":"a","problem":"1+1?","response":"one\ntwo, and more of it\nthree"}`+"\n"), 0o644))
	_, want, stderr := prmCommand("score", "--model", in, "--in", rows)
	require.Contains(t, want, `"window":0`, stderr)
	_, got, _ := prmCommand("score", "--model", out, "--in", rows, "--low-memory")
	require.Equal(t, want, got)
	_, got, stderr = prmCommand("score", "--model", out, "--in", rows, "--max-tokens", "34")
	require.Contains(t, got, `"window":1`, stderr)
}
