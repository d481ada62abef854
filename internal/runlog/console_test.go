package runlog

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// console has a clock that the test moves.
func console(quiet, terminal bool) (c *Console, out *bytes.Buffer, pass func(time.Duration)) {
	out = &bytes.Buffer{}
	c = NewConsole(out, quiet)
	now := time.Unix(0, 0)
	c.now = func() time.Time { return now }
	if c.terminal = terminal; terminal {
		c.every = barEvery
	}
	return c, out, func(d time.Duration) { now = now.Add(d) }
}

func TestPlainLinesAreRareAndSayWhatIsLeft(t *testing.T) {
	c, out, pass := console(false, false)
	c.Start("train", 100, 1100)
	for i := 1; i <= 12; i++ { // 10 units a second from 100 on
		pass(time.Second)
		c.Update(100+10*i, "loss 0.5")
	}
	require.Equal(t, "train 150/1100 (13%), 1m35s left, loss 0.5\ntrain 200/1100 (18%), 1m30s left, loss 0.5\n", out.String())
	out.Reset()
	c.Finish()
	c.Finish()
	require.Equal(t, "train 220/1100 in 12s, loss 0.5\n", out.String())
	c.Update(5, "nothing is shown")
	require.Equal(t, "train 220/1100 in 12s, loss 0.5\n", out.String())
}

func TestQuietKeepsWarnings(t *testing.T) {
	c, out, pass := console(true, false)
	c.Infof("reading %s", "data")
	c.Start("train", 0, 10)
	pass(time.Hour)
	c.Update(5, "")
	c.Warnf("%d labels dropped", 3)
	c.Noticef("resumed from step %d", 7)
	c.Finish()
	require.Equal(t, "warning: 3 labels dropped\nresumed from step 7\n", out.String())
	c, out, _ = console(false, false)
	c.Infof("reading %s", "data")
	require.Equal(t, "reading data\n", out.String())
}

func TestBarOnATerminal(t *testing.T) {
	c, out, pass := console(false, true)
	c.Start("score", 0, 4)
	pass(2 * time.Second)
	c.Update(1, "0.9/s")
	require.Contains(t, out.String(), "score, 6s left, 0.9/s")
	out.Reset()
	c.Warnf("careful")
	text := out.String()
	require.Contains(t, text, "warning: careful\n")
	require.Less(t, strings.Index(text, "warning"), strings.LastIndex(text, "score"), "the bar is drawn again below the warning")
	out.Reset()
	c.Update(9, "") // more than promised does no harm
	c.Finish()
	require.True(t, strings.HasSuffix(out.String(), "score 9/4 in 2s\n"), "%q", out.String())
}

func TestNothingToShow(t *testing.T) {
	c, out, _ := console(false, true)
	c.Start("empty", 0, 0)
	c.Update(1, "")
	c.Finish()
	require.Empty(t, out.String())
	var zero Console
	zero.Infof("a")
	zero.Warnf("b")
	zero.Start("c", 0, 1)
	zero.Update(1, "")
	zero.Finish()
}

func TestShort(t *testing.T) {
	for d, want := range map[time.Duration]string{
		1234 * time.Millisecond: "1.2s", 59*time.Second + 600*time.Millisecond: "1m0s", 3*time.Hour + 29*time.Second: "3h0m",
		90 * time.Minute: "1h30m",
	} {
		require.Equal(t, want, short(d))
	}
}
