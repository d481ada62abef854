package runlog

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

// Console is where a command speaks to the person who started it: one bar on a terminal, plain lines anywhere else.
// It is not safe for concurrent use. The zero value says nothing and drops everything; see [NewConsole].
type Console struct {
	out      io.Writer
	quiet    bool
	terminal bool
	every    time.Duration
	now      func() time.Time
	task     *task
}

// task is the work whose progress is shown.
type task struct {
	label       string
	total       int
	first, done int // units done when it was started, which say nothing about the speed, and now
	note        string
	began, said time.Time
	bar         *progressbar.ProgressBar
}

// The shortest time between two progress lines, and between two drawings of the bar.
const (
	plainEvery = 5 * time.Second
	barEvery   = 100 * time.Millisecond
)

// NewConsole writes to out. With quiet there is no progress and no information, but every warning and notice.
func NewConsole(out io.Writer, quiet bool) *Console {
	file, isFile := out.(*os.File)
	c := &Console{out: out, quiet: quiet, terminal: isFile && term.IsTerminal(int(file.Fd())), every: plainEvery, now: time.Now}
	if c.terminal {
		c.every = barEvery
	}
	return c
}

// Infof prints a line unless the console is quiet.
func (c *Console) Infof(format string, args ...any) {
	if !c.quiet {
		c.line(fmt.Sprintf(format, args...))
	}
}

// Noticef prints a line even when the console is quiet: what changes the meaning of the run, such as where it was resumed.
func (c *Console) Noticef(format string, args ...any) { c.line(fmt.Sprintf(format, args...)) }

// Warnf prints a line that begins with "warning: " even when the console is quiet.
func (c *Console) Warnf(format string, args ...any) {
	c.line("warning: " + fmt.Sprintf(format, args...))
}

// Start begins to show progress from done units of total; a task still shown ends first. A total below 1 shows nothing.
func (c *Console) Start(label string, done, total int) {
	c.Finish()
	if c.quiet || c.out == nil || total < 1 {
		return
	}
	t := &task{label: label, total: total, first: done, done: done, began: c.now()}
	t.said = t.began
	if c.terminal {
		t.bar = progressbar.NewOptions(total, progressbar.OptionSetWriter(c.out), progressbar.OptionSetDescription(label),
			progressbar.OptionSetWidth(24), progressbar.OptionShowCount(),
			progressbar.OptionSetPredictTime(false), progressbar.OptionSetElapsedTime(false), progressbar.OptionUseANSICodes(true))
		_ = t.bar.RenderBlank() // a bar that cannot be drawn is no reason to stop a run
	}
	c.task = t
}

// Update shows that done units are finished, with a note such as the current loss. Terminal or not, it may be called as
// often as one likes: what is printed is limited in rate.
func (c *Console) Update(done int, note string) {
	t := c.task
	if t == nil {
		return
	}
	t.done, t.note = done, note
	now := c.now()
	if now.Sub(t.said) < c.every {
		return
	}
	t.said = now
	if t.bar != nil {
		t.bar.Describe(t.text(now, false))
		_ = t.bar.Set(min(done, t.total))
		return
	}
	c.print(t.text(now, true))
}

// Finish ends the task that is shown, with one last line that says how long it took.
func (c *Console) Finish() {
	t := c.task
	if t == nil {
		return
	}
	c.task = nil
	if t.bar != nil {
		_ = t.bar.Clear()
	}
	c.print(t.end(c.now()))
}

// text is "train 120/1000 (12%), 4m10s left, loss 0.12"; on a terminal the bar shows the counts itself.
func (t *task) text(now time.Time, counts bool) string {
	parts := []string{t.label}
	if counts {
		parts[0] = fmt.Sprintf("%s %d/%d (%d%%)", t.label, t.done, t.total, 100*t.done/t.total)
	}
	if left, known := t.left(now); known {
		parts = append(parts, short(left)+" left")
	}
	if t.note != "" {
		parts = append(parts, t.note)
	}
	return strings.Join(parts, ", ")
}

func (t *task) end(now time.Time) string {
	text := fmt.Sprintf("%s %d/%d in %s", t.label, t.done, t.total, short(now.Sub(t.began)))
	if t.note != "" {
		text += ", " + t.note
	}
	return text
}

// left is the time that the rest takes at the speed so far.
func (t *task) left(now time.Time) (time.Duration, bool) {
	did := t.done - t.first
	if did <= 0 {
		return 0, false
	}
	perUnit := float64(now.Sub(t.began)) / float64(did)
	return time.Duration(perUnit * float64(max(0, t.total-t.done))), true
}

// short writes a duration with the precision that a person waiting for it wants.
func short(d time.Duration) string {
	switch {
	case d < 10*time.Second:
		return d.Round(100 * time.Millisecond).String()
	case d < time.Hour:
		return d.Round(time.Second).String()
	}
	return strings.TrimSuffix(d.Round(time.Minute).String(), "0s")
}

// line prints a line above the bar.
func (c *Console) line(text string) {
	if c.task != nil && c.task.bar != nil {
		_ = c.task.bar.Clear()
		c.print(text)
		_ = c.task.bar.RenderBlank()
		return
	}
	c.print(text)
}

// print cannot report that stderr is gone to anyone but stderr.
func (c *Console) print(text string) {
	if c.out != nil {
		_, _ = fmt.Fprintln(c.out, text)
	}
}
