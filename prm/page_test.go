package prm

import (
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/goprm/goprm/data"
	"github.com/goprm/goprm/internal/browsertest"
	"github.com/goprm/goprm/internal/tinymodel"
)

// The page shows what Score says, step by step, and takes what is pasted for text.
func TestPageInABrowser(t *testing.T) {
	page := browsertest.Start(t).Page(t)
	dir := train(t, config(t, tiny(t, tinymodel.Options{}))).Model
	alone, server := serving(t, dir, OpenOptions{}, ServerOptions{Name: "tiny"})
	text := func(id string) (s string) {
		page.Eval(fmt.Sprintf("document.getElementById(%q).textContent", id), &s)
		return s
	}
	open := func(problem, answer string) {
		page.Open("about:blank")
		page.Open(server + "/#" + strings.ReplaceAll(url.Values{"problem": {problem}, "answer": {answer}}.Encode(), "+", "%20"))
		page.Wait(`document.getElementById("score").disabled === false && (document.getElementById("busy").textContent || ` +
			`document.getElementById("error").textContent)`)
	}

	steps := []string{"Two and three.", `<img src=x onerror="document.title='no'"> & é`, "It is 5."}
	open("2+3?", "<think>\n"+steps[0]+"\n\n"+steps[1]+"\n</think>\n\n"+steps[2])
	want, err := alone.Score(t.Context(), &data.Trajectory{Problem: "2+3?", Thinking: steps[0] + "\n\n" + steps[1], Response: steps[2]})
	require.NoError(t, err)
	require.Len(t, want.Steps, 3)
	var rows []struct {
		Part, Text string
		Value      float64
	}
	page.Eval(`Array.from(document.querySelectorAll("li.step")).map(li => ({Part: li.dataset.part, Text: `+
		`li.querySelector(".text").textContent, Value: Number(li.dataset.value)}))`, &rows)
	require.Len(t, rows, 3)
	for i, s := range want.Steps {
		require.Equal(t, []string{s.Part, steps[i]}, []string{rows[i].Part, rows[i].Text})
		require.InDelta(t, s.Score, rows[i].Value, 0.0005)
	}
	require.Equal(t, fmt.Sprintf("%.4f", want.Reward), text("reward"))
	require.Equal(t, fmt.Sprintf("%.4f", want.Mean), text("mean"))
	require.Equal(t, fmt.Sprintf("%.4f", *want.Trajectory), text("trajectory"))
	require.Equal(t, "3Copy a link", text("count")+text("link"))
	require.Empty(t, text("error"))
	var found struct {
		Images, Bars int
		Title        string
	}
	page.Eval(`({Images: document.images.length, Bars: document.querySelectorAll(".curve rect.hi, .curve rect.lo").length, Title: `+
		`document.title})`, &found)
	require.Equal(t, 0, found.Images)
	require.Equal(t, 3, found.Bars)
	require.Equal(t, "tiny: score a trajectory", found.Title)
	require.Empty(t, page.Problems())

	open("2+3?", "<think>It never ends")
	var note string
	page.Eval(`document.querySelector(".trace .note").textContent`, &note)
	require.Contains(t, note, "not closed")

	// An empty answer is an error that is read aloud, and the console says why the request failed.
	open("2+3?", "")
	require.Contains(t, text("error"), "no steps")
}

// Everything on the page can be done by keyboard; it says when it is busy; a second sample stands beside the first.
func TestPageByKeyboard(t *testing.T) {
	page := browsertest.Start(t).Page(t)
	dir := train(t, config(t, tiny(t, tinymodel.Options{}))).Model
	_, server := serving(t, dir, OpenOptions{}, ServerOptions{Name: "tiny"})
	page.Open(server)
	focus := func() (id string) {
		page.Eval(`document.activeElement.id || document.activeElement.tagName`, &id)
		return id
	}
	var order []string
	for range 6 {
		page.Press("Tab")
		order = append(order, focus())
	}
	require.Equal(t, []string{"A", "problem", "answer", "score", "example", "file"}, order)
	page.Eval(`document.getElementById("example").focus()`, nil)
	page.Press("Enter")
	page.Eval(`document.getElementById("score").focus()`, nil)
	var busy string
	page.Eval(`(() => { document.getElementById("form").requestSubmit(); return document.getElementById("busy").textContent + `+
		`document.getElementById("score").disabled; })()`, &busy)
	require.Equal(t, "Scoring … 0.0 strue", strings.ReplaceAll(busy, "0.1 s", "0.0 s"))
	page.Wait(`document.getElementById("busy").textContent.startsWith("Scored in")`)
	var formulas int
	page.Eval(`document.querySelectorAll(".trace math").length`, &formulas)
	require.Equal(t, 7, formulas)

	page.Eval(`document.getElementById("answer").value = "Two.\n\nThree."`, nil)
	page.Eval(`document.getElementById("score").focus()`, nil)
	page.Press("Enter")
	page.Wait(`document.querySelectorAll(".trace").length === 2`)
	var offered []string
	page.Eval(`Array.from(document.querySelector(".beside").options).map(o => o.text)`, &offered)
	require.Equal(t, []string{"none", "sample 1 (same problem)"}, offered)
	page.Eval(`(() => { const b = document.querySelector(".beside"); b.value = "1"; b.dispatchEvent(new Event("change")); })()`, nil)
	page.Check("server")
	var link string
	page.Eval(`document.getElementById("link").click(), location.hash`, &link)
	require.Contains(t, link, "answer=Two.")

	// A file of rows: the first is taken, the others are offered.
	rows := `{"question":"Q1","thinking":"T","response":"R"}` + "\n" + `{"problem":"Q2","steps":["a","b"]}` + "\n"
	page.Eval(fmt.Sprintf(`(() => { const d = new DataTransfer(); d.items.add(new File([%q], "rows.jsonl")); dispatchEvent(new `+
		`DragEvent("drop", {dataTransfer: d, cancelable: true})); })()`, rows), nil)
	page.Wait(`document.getElementById("problem").value === "Q1" && document.getElementById("answer").value === "<think>\nT\n</think>\n\nR"`)
	page.Eval(`(() => { const r = document.getElementById("row"); r.value = "1"; r.dispatchEvent(new Event("change")); })()`, nil)
	page.Wait(`document.getElementById("problem").value === "Q2" && document.getElementById("answer").value === "a\n\nb"`)
	require.Empty(t, page.Problems())
}

// TestLookAtAPage checks the pages that GOPRM_LOOK_AT lists, such as reports that commands wrote.
func TestLookAtAPage(t *testing.T) {
	list := os.Getenv("GOPRM_LOOK_AT")
	if list == "" {
		t.Skip("set GOPRM_LOOK_AT to a list of files to check them in a browser")
	}
	b := browsertest.Start(t)
	for path := range strings.SplitSeq(list, ":") {
		full, err := filepath.Abs(path)
		require.NoError(t, err)
		page := b.Page(t)
		page.Open((&url.URL{Scheme: "file", Path: full}).String())
		var paint float64
		page.Wait(`performance.getEntriesByName("first-contentful-paint").length`)
		page.Eval(`performance.getEntriesByName("first-contentful-paint")[0].startTime`, &paint)
		t.Logf("%s: first contentful paint after %.0f ms", path, paint)
		page.Check(strings.TrimSuffix(filepath.Base(path), ".html"))
	}
}
