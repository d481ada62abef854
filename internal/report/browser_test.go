package report

import (
	"fmt"
	"math"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/goprm/goprm/internal/browsertest"
)

// saved writes a page to a file and gives its address.
func saved(t *testing.T, p Page) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "page.html")
	require.NoError(t, os.WriteFile(path, []byte(render(t, p)), 0o644))
	return (&url.URL{Scheme: "file", Path: path}).String()
}

// twoSamples are trajectories of one problem, with what the texts of models are full of.
func twoSamples() []Steps {
	steps := []Step{
		{"thinking", `First, \( \left(\frac{1}{8}\right)^{-1} = 8 \), so $\sqrt[3]{x^2}$ is **not** 2*3*4.`, 0.97, 1},
		{"thinking", `Then \[ \sum_{i=1}^{n} i = \frac{n(n+1)}{2}, \qquad \int_0^1 x^2\,dx = \tfrac13 \]`, 0.31, 0},
		{"thinking", `\begin{aligned} a &= \begin{pmatrix} 1 & 2 \\ 3 & 4 \end{pmatrix} \\ f(x) &= \begin{cases} 1 & x > 0 \\ 0 & ` +
			`\text{otherwise} \end{cases} \end{aligned}`,
			0.12, 1},
		{"thinking", "A list:\n- one\n- two\n\n| n | value |\n|---|---|\n| 1 | `x < 2` |", 0.62, math.NaN()},
		{"response", `**Answer:** $\boxed{\dfrac{\pi}{4}}$ and \unknown{} stays, as does $\badcommand{x}$.`, 0.88, 0},
	}
	other := []Step{{"thinking", "Only one step.", 0.4, 1}, {"response", "The answer is 7.", 0.05, 0}}
	return []Steps{{Title: "sample 1", Problem: "What is $x$?", Steps: steps}, {Title: "another", Problem: "Something else", Steps: other[:1]},
		{Title: "sample 2", Problem: "What is $x$?", Steps: other}}
}

func TestPagesInABrowser(t *testing.T) {
	b := browsertest.Start(t)
	p := b.Page(t)
	page := sample("")
	page.Sections[0].Blocks = append([]Block{Facts{{"step AUROC", "0.962", "on 3 held-out problems"}, {"loss", "0.083", ""},
		{"duration", "3 min 12 s", ""}}},
		page.Sections[0].Blocks...)
	page.Sections[1].Blocks = append(page.Sections[1].Blocks, Traces{Title: "Trajectories", List: twoSamples()})
	p.Open(saved(t, page))
	p.Check("report")
}

// The browser of trajectories, by keyboard and by links.
func TestTracesInABrowser(t *testing.T) {
	p := browsertest.Start(t).Page(t)
	address := saved(t, Page{Title: "T", Sections: []Section{{Blocks: []Block{Traces{List: twoSamples()}}}}})
	p.Open(address)
	visible := func() (list []string) {
		p.Eval(`Array.from(document.querySelectorAll("li.step")).filter(e => e.checkVisibility()).map(e => e.id)`, &list)
		return list
	}
	set := func(class, value string) {
		p.Eval(`(() => { const e = document.querySelector(".tools .`+class+`"); e.value = `+"`"+value+"`"+
			`; e.dispatchEvent(new Event(e.type === "search" ? "input" : "change")); })()`, nil)
	}
	focused := func() (id string) {
		p.Eval(`document.activeElement.id`, &id)
		return id
	}
	written := []string{"t1-s1", "t1-s2", "t1-s3", "t1-s4", "t1-s5"}
	require.Equal(t, written, visible())
	set("order", "low")
	require.Equal(t, []string{"t1-s3", "t1-s2", "t1-s4", "t1-s5", "t1-s1"}, visible())
	set("order", "gap")
	require.Equal(t, []string{"t1-s3", "t1-s5", "t1-s2", "t1-s1", "t1-s4"}, visible())
	set("order", "")
	require.Equal(t, written, visible())
	set("only", "differs")
	require.Equal(t, []string{"t1-s3", "t1-s5"}, visible())
	set("only", "")
	set("find", "SQRT[3]") // what was written, not only what is seen
	require.Equal(t, []string{"t1-s1"}, visible())
	set("find", "")
	p.Eval(`document.querySelector(".tools .thinking").click()`, nil)
	require.Equal(t, []string{"t1-s5"}, visible())
	p.Eval(`document.querySelector(".tools .thinking").click()`, nil)

	// Two samples of a problem: the one of the same problem is offered first.
	var offered []string
	p.Eval(`Array.from(document.querySelector(".tools .beside").options).map(o => o.text)`, &offered)
	require.Equal(t, []string{"none", "sample 2 (same problem)", "another"}, offered)
	set("beside", "2")
	require.Equal(t, append(written, "t3-s1", "t3-s2"), visible())
	var aside bool
	p.View(1280, "light", "screen")
	p.Eval(`document.getElementById("t1").getBoundingClientRect().right <= document.getElementById("t3").getBoundingClientRect().left`, &aside)
	require.True(t, aside)
	p.Screenshot("report-compared")
	set("beside", "")

	// By keyboard: Tab reaches every tool, n and p go through what scores low, j and k through all steps.
	p.Eval(`document.activeElement.blur(); window.scrollTo(0, 0)`, nil)
	var order []string
	for range 6 {
		p.Press("Tab")
		var class string
		p.Eval(`document.activeElement.className || document.activeElement.tagName`, &class)
		order = append(order, class)
	}
	require.Equal(t, []string{"which", "beside", "find", "order", "only", "thinking"}, order)
	p.Press("Tab")
	p.Eval(`document.activeElement.tagName`, &order[0])
	require.Equal(t, "SUMMARY", order[0])
	p.Press("n")
	require.Equal(t, "t1-s2", focused())
	p.Press("n")
	require.Equal(t, "t1-s3", focused())
	p.Press("n", "k", "p")
	require.Equal(t, "t1-s1", func() string { p.Press("k"); return focused() }())
	p.Press("j", "j")
	require.Equal(t, "t1-s3", focused())

	// A link to a step opens its trajectory; a click on a bar goes to its step.
	p.Open("about:blank")
	p.Open(address + "#t3-s2")
	require.Equal(t, []string{"t3-s1", "t3-s2"}, visible())
	require.Equal(t, "t3-s2", focused())
	p.Eval(`(() => { const s = document.querySelector("#t3 .curve svg"), r = s.getBoundingClientRect(); s.dispatchEvent(new `+
		`MouseEvent("click", {clientX: r.left + r.width / 4, bubbles: true})); })()`, nil)
	require.Equal(t, "t3-s1", focused())
	require.Empty(t, p.Problems())
}

// longTrace is a trajectory of more than 32,000 tokens with formulas in it: at four characters a token or fewer, as tokenizers have it for
// such texts.
func longTrace() Steps {
	s := Steps{Title: "long", Problem: "A long one."}
	for i := range 260 {
		text := strings.Repeat(fmt.Sprintf("Wait, step %d: since \\( x_{%d}^2 + \\frac{%d}{2} = \\sqrt{%d} \\), the **sum** is "+
			"$\\sum_{k=1}^{%d} k$. ", i, i, i, i, i), 6)
		s.Steps = append(s.Steps, Step{Part: "thinking", Text: text, Score: float64(i*37%101) / 100, Label: math.NaN()})
	}
	return s
}

// A trace of more than 32,000 tokens is painted within a second, and any of its steps can be reached.
func TestLongTraceInABrowser(t *testing.T) {
	p := browsertest.Start(t).Page(t)
	long, size := longTrace(), 0
	for _, s := range long.Steps {
		size += len(s.Text)
	}
	require.Greater(t, size, 4*32_000)
	address := saved(t, Page{Title: "Long", Sections: []Section{{Blocks: []Block{Traces{List: []Steps{long}}}}}})
	var paint, ready []float64
	for range 3 { // the best of three: other tests may be running
		p.Open("about:blank")
		p.Open(address)
		p.Wait(`performance.getEntriesByName("first-contentful-paint").length`)
		var times struct{ Paint, Ready float64 }
		p.Eval(`({Paint: performance.getEntriesByName("first-contentful-paint")[0].startTime, Ready: `+
			`performance.getEntriesByType("navigation")[0].loadEventEnd})`, &times)
		paint, ready = append(paint, times.Paint), append(ready, times.Ready)
	}
	t.Logf("%d characters in %d steps: first contentful paint after %.0f ms, loaded after %.0f ms", size, len(long.Steps), slices.Min(paint),
		slices.Min(ready))
	require.Less(t, slices.Min(paint), 1000.0)

	inSight := func(id string) (yes bool) {
		p.Eval(fmt.Sprintf(`(() => { const r = document.getElementById(%q).getBoundingClientRect(); return r.bottom > 0 && r.top < `+
			`innerHeight; })()`, id), &yes)
		return yes
	}
	for _, step := range []string{"t1-s200", "t1-s3", "t1-s260"} {
		p.Eval(fmt.Sprintf(`location.hash = %q`, step), nil)
		p.Wait(fmt.Sprintf(`document.activeElement.id === %q`, step))
		require.True(t, inSight(step), step)
	}
	var found int
	p.Eval(`(() => { const f = document.querySelector(".find"); f.value = "step 199:"; f.dispatchEvent(new Event("input")); return `+
		`Array.from(document.querySelectorAll("li.step")).filter(e => !e.hidden).length; })()`, &found)
	require.Equal(t, 1, found)
}
