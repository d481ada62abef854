// Command prm trains, evaluates and serves process reward models.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"
	"github.com/goprm/goprm/internal/formats"
	"github.com/goprm/goprm/internal/remote"
	"github.com/goprm/goprm/internal/runlog"
	"github.com/goprm/goprm/internal/speed"
	"github.com/goprm/goprm/prm"

	_ "github.com/goprm/goprm/data/parquet"
	_ "github.com/goprm/goprm/data/s3"
	_ "github.com/goprm/goprm/internal/cpu"
	_ "github.com/goprm/goprm/prm/server"
)

// commands is the command line; each command is a struct whose fields are its flags.
type commands struct {
	Train    trainCommand    `cmd:"" help:"Train a model on labelled trajectories, or resume a run."`
	Score    scoreCommands   `cmd:"" help:"Score every step of trajectories."`
	Serve    serveCommand    `cmd:"" help:"Answer the reward requests of trainers and inference engines over HTTP."`
	Convert  convertCommand  `cmd:"" help:"Turn PyTorch's .bin and .pt weights into safetensors, safely."`
	BestOfN  bestofnCommand  `cmd:"" name:"bestofn" help:"Judge ways of picking one of N samples: by score, by vote, and without a model."`
	Select   selectCommands  `cmd:"" help:"Keep the best trajectories of a pool, to train on."`
	Eval     evalCommands    `cmd:"" help:"Run a model or stored scores against a benchmark."`
	Grade    gradeCommand    `cmd:"" help:"Tell whether answers equal their gold answers."`
	Inspect  inspectCommand  `cmd:"" help:"Say what a model, checkpoint, safetensors file or tokenizer holds, and whether it is sound."`
	Tokenize tokenizeCommand `cmd:"" help:"Turn texts into token ids."`
	Parity   parityCommand   `cmd:"" help:"Compare with the numbers that PyTorch computed for golden folders."`
	Export   exportCommand   `cmd:"" help:"Write a model as transformers, vLLM or PEFT load it."`
	Label    labelCommand    `cmd:"" help:"Make step and trajectory rewards of trajectories."`
	Demo     demoCommand     `cmd:"" help:"See it learn: data, training, evaluation and best of N in a few minutes."`
	Plan     planCommand     `cmd:"" help:"Say what memory a training run takes on a device, from the model's configuration alone."`
	Bench    benchCommand    `cmd:"" help:"Time each op of scoring or training on this CPU, beside the machine's measured peak."`
	Cache    cacheCommand    `cmd:"" help:"Say what the cache of hidden states holds, and make it smaller."`
	Devices  devicesCommand  `cmd:"" help:"List what can compute here, and why not what cannot."`
	Report   reportCommand   `cmd:"" help:"Make one page of runs, scores and results."`
	UI       uiCommand       `cmd:"" name:"ui" help:"Show training runs as they go, and compare them, on a local page."`
	Version  versionCommand  `cmd:"" help:"Print version, commit and the kernels in use."`

	Completion completionCommand `cmd:"" help:"Print a script that makes a shell complete commands and flags."`

	SignalExit bool `help:"Exit 130 after SIGINT and 143 after SIGTERM, also where an interrupted command exits 0 (train, serve)."`

	Quiet   bool `help:"No progress or information on stderr; warnings and errors stay."`
	Threads int  `help:"Most threads that compute; 0: one per processor (train: or as configured). Results do not depend on it."`
}

// maxThreads keeps a slip of the finger from starting millions of workers.
const maxThreads = 1024

// program is what a command works with.
type program struct {
	ctx     context.Context
	stdin   io.Reader
	stdout  io.Writer
	stderr  io.Writer
	console *runlog.Console
	quiet   bool
	threads int // 0: not given
}

// machineFlags choose what computes.
type machineFlags struct {
	Device  string `default:"auto" help:"Where to compute: auto, cpu, or cuda:N for NVIDIA GPU N; scoring takes several, as cuda:0,cuda:1."`
	Backend string `default:"auto" help:"Which kernels: auto; portable, avx2, avx512 or avx512bf16 on the CPU, sm80 or sm90a on a GPU."`
}

// openFlags say how a model is opened.
type openFlags struct {
	Base      string `help:"Where the base of an adapter or a head lies now; where it lay in training by default."`
	GoodClass *int   `help:"Class, 0 or 1, of a two-class head that stands for a good step; by default as id2label names it."`
	Format    string `help:"Public format of a model folder that fits several, one of ${formats}."`
	Reference string `help:"Folder of the language model that an implicit reward (format eurus) is relative to."`
	LowMemory bool   `help:"Hold one matrix of the model in memory at a time: slower; automatic from half of the memory on."`
	DType     string `name:"dtype" default:"auto" help:"Arithmetic: auto, f32, f64, bf16 (GPU, AVX512_BF16) or int8 (CPU; other scores)."`
	machineFlags
}

// open opens a model; maxTokens 0: as it was trained.
func (p *program) open(model string, f openFlags, maxTokens int) (*prm.Model, error) {
	return prm.Open(model, p.openOptions(f, maxTokens))
}

func (p *program) openOptions(f openFlags, maxTokens int) prm.OpenOptions {
	return prm.OpenOptions{
		Device: f.Device, Backend: f.Backend, Threads: p.threads, DType: f.DType, Format: f.Format, Base: f.Base, GoodClass: f.GoodClass,
		Reference: f.Reference, MaxTokens: maxTokens, LowMemory: f.LowMemory,
	}
}

func main() {
	ctx := interruptedContext()
	signal.Ignore(syscall.SIGPIPE) // a closed pipe is a write error, which ends the command quietly
	os.Exit(run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// signalled is the cause of a context that a signal ended.
type signalled struct{ signal syscall.Signal }

func (s signalled) Error() string { return "interrupted by " + s.signal.String() }

// interruptedContext ends at the first SIGINT or SIGTERM. A second one ends the program at once.
func interruptedContext() context.Context {
	ctx, end := context.WithCancelCause(context.Background())
	received := make(chan os.Signal, 1)
	signal.Notify(received, syscall.SIGINT, syscall.SIGTERM)
	go func() {
		s := <-received
		signal.Stop(received)
		if number, ok := s.(syscall.Signal); ok {
			end(signalled{number})
		}
	}()
	return ctx
}

// exitCode is 128 and the signal's number for a command that a signal interrupted, if the user asks for that.
func (c *commands) exitCode(ctx context.Context, code int) int {
	var s signalled
	if c.SignalExit && errors.As(context.Cause(ctx), &s) {
		return 128 + int(s.signal)
	}
	return code
}

// exited carries kong's request to exit out of the parser.
type exited int

// run executes one command line and returns its exit code: 0 done, 1 failed, 2 wrong usage.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) (code int) {
	defer func() {
		if r := recover(); r != nil {
			e, ok := r.(exited)
			if !ok {
				panic(r)
			}
			code = int(e)
		}
	}()
	var c commands
	parser, err := newParser(&c, stdout, stderr, func(code int) { panic(exited(code)) })
	if err != nil {
		_, _ = fmt.Fprintf(stderr, "prm: %v\n", err)
		return 1
	}
	args = spelled(args)
	parsed, err := parser.Parse(commandFirst(parser.Model, args))
	if errors.Is(err, syscall.EPIPE) { // of a reader that has seen enough of the help
		return 0
	}
	if err != nil {
		name := "prm"
		var wrong *kong.ParseError
		if errors.As(err, &wrong) && wrong.Context != nil && wrong.Context.Selected() != nil {
			name += " " + commandName(wrong.Context.Selected())
		}
		_, _ = fmt.Fprintf(stderr, "%s: %s; see %s --help\n", name, usage(name, err), name)
		return 2
	}
	if c.Threads < 0 || c.Threads > maxThreads {
		_, _ = fmt.Fprintf(stderr, "prm: --threads %d is not between 0 and %d; see prm --help\n", c.Threads, maxThreads)
		return 2
	}
	if c.Threads > 0 { // what reads, parses and tokenises is bound by it too
		defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(c.Threads))
	}
	p := &program{
		ctx: ctx, stdin: interruptible{ctx, stdin}, stdout: stdout, stderr: stderr,
		console: runlog.NewConsole(stderr, c.Quiet), quiet: c.Quiet, threads: c.Threads,
	}
	parsed.Bind(parsed)
	forget := remote.Begin(ctx)
	err = errors.Join(p.execute(parsed), forget())
	p.console.Finish()
	name := commandName(parsed.Selected())
	var usage usageError
	switch {
	case err == nil || errors.Is(err, syscall.EPIPE):
		return c.exitCode(ctx, 0)
	case errors.As(err, &usage):
		_, _ = fmt.Fprintf(stderr, "prm %s: %v; see prm %s --help\n", name, err, name)
		return 2
	}
	_, _ = fmt.Fprintf(stderr, "prm %s: %s\n", name, listed(err))
	return c.exitCode(ctx, 1)
}

func newParser(c *commands, stdout, stderr io.Writer, exit func(int)) (*kong.Kong, error) {
	return kong.New(c, kong.Name("prm"), kong.Writers(stdout, stderr), kong.Exit(exit),
		kong.Description("goprm trains, evaluates and serves process reward models for long chain-of-thought reasoning."),
		kong.Vars{
			"formats": strings.Join(formats.Names(), ", "),
			"shapes":  strings.Join(speed.Shapes(), ","),
			"parts":   "Steps that the reward averages: trained, thinking, response or all; the model's choice by default.",
		},
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}), kong.Help(printHelp), kong.ValueFormatter(valueHelp))
}

// printHelp prints with the help of a group of commands that of the default one, which is what the group's name alone runs.
func printHelp(options kong.HelpOptions, ctx *kong.Context) error {
	if group := ctx.Selected(); group != nil && group.DefaultCmd != nil {
		runs := group.DefaultCmd
		group.Detail, group.Positional, group.Flags = runs.Detail, runs.Positional, slices.Concat(group.Flags, runs.Flags)
	}
	return kong.DefaultHelpPrinter(options, ctx)
}

// valueHelp says of a flag that may be given more than once that it may.
func valueHelp(v *kong.Value) string {
	if v.Flag != nil && v.IsSlice() && v.Tag.Sep == -1 {
		return v.Help + " May be given more than once."
	}
	return v.Help
}

// commandName is a command as the user writes it: with its parents, without a default sub-command's own name.
func commandName(node *kong.Node) string {
	var names []string
	for n := node; n != nil && n.Type == kong.CommandNode; n = n.Parent {
		if n.Parent == nil || n.Parent.DefaultCmd != n {
			names = append([]string{n.Name}, names...)
		}
	}
	return strings.Join(names, " ")
}

// spelled turns other programs' spellings into prm's: no arguments, help CMD and --version.
func spelled(args []string) []string {
	switch {
	case len(args) == 0:
		return []string{"--help"}
	case args[0] == "help":
		return append(slices.Clone(args[1:]), "--help")
	case args[0] == "--version" || args[0] == "-v" || args[0] == "-V":
		return append([]string{"version"}, args[1:]...)
	}
	return args
}

// usageError is a command line that makes no sense, found after parsing.
type usageError string

func (e usageError) Error() string { return string(e) }

// execute runs the command. Those that have something to save or to clean up when they are interrupted see to it
// themselves; the others are left where they are.
func (p *program) execute(parsed *kong.Context) error {
	if _, ok := parsed.Selected().Target.Addr().Interface().(interface{ watchesContext() }); ok {
		return parsed.Run(p)
	}
	done := make(chan error, 1)
	go func() { done <- parsed.Run(p) }()
	select {
	case err := <-done:
		return err
	case <-p.ctx.Done():
		return errors.New("interrupted")
	}
}

func (trainCommand) watchesContext()    {}
func (scoreCommand) watchesContext()    {}
func (bestofnCommand) watchesContext()  {}
func (evalCommand) watchesContext()     {}
func (tokenizeCommand) watchesContext() {}
func (demoCommand) watchesContext()     {}

// listed is joined errors on one line, or each on its own where they are many, such as the keys of another program's configuration.
func listed(err error) string {
	if text := strings.TrimSpace(err.Error()); strings.Count(text, "\n") > 2 {
		return strings.ReplaceAll(text, "\n", "\n  ")
	}
	return oneLine(err)
}

// oneLine puts joined errors on one line.
func oneLine(err error) string { return strings.ReplaceAll(strings.TrimSpace(err.Error()), "\n", "; ") }
