package report

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"math"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// sample is a page with every kind of block and text in every place that takes text.
func sample(text string) Page {
	nan := math.NaN()
	return Page{Title: "Run " + text, Lead: "Trained on made data. " + text, Sections: []Section{
		{Title: "Curves " + text, Text: "What the trainer saw. " + text, Blocks: []Block{
			LineChart{Title: "Loss " + text, XLabel: "step " + text, YLabel: "loss " + text, Series: []Series{
				{Name: "step part " + text, X: []float64{0, 100, 200, 300, 400}, Y: []float64{0.25, 0.14, 0.1, 0.09, 0.083}},
				{Name: "trajectory part", X: []float64{0, 100, 200, 300, 400}, Y: []float64{0.2, 0.17, nan, 0.1, 0.06}},
				{Name: "one point", X: []float64{150}, Y: []float64{0.2}},
			}},
			LineChart{Title: "Learning rate", XLabel: "step", Series: []Series{{Name: "lr", X: []float64{0, 20000, 40000}, Y: []float64{0, 1e-4, 0}}}},
			Histogram{Title: "Scores " + text, XLabel: "score " + text, Low: 0, Top: 1, Groups: []Group{
				{Name: "right steps " + text, Values: spread(400, 3)}, {Name: "wrong steps", Values: spread(200, 0.4)}}},
			LineChart{Title: "Nothing yet", Series: []Series{{Name: "none " + text}}},
		}},
		{Title: "Numbers", Blocks: []Block{
			Table{Title: "Results " + text, Columns: []string{"metric " + text, "model", "depth", "length"}, Rows: [][]string{
				{"step AUROC " + text, "0.962", "0.51", "0.50"}, {"within AUROC", "0.958", "0.503", "–"}, {"best of 8", "93.0 %"}}},
			Steps{Title: "One trajectory " + text, Problem: "What is 2 + 3 · 4? " + text, Steps: []Step{
				{Part: "thinking " + text, Text: "First 3 · 4 = 12. " + text, Score: 0.97, Label: 1},
				{Part: "thinking " + text, Text: "Then 2 + 12 = 15.\nOr is it? " + strings.Repeat("Let me check that once more. ", 8), Score: 0.08, Label: 0},
				{Part: "thinking " + text, Text: "No label here.", Score: 0.55, Label: nan},
				{Part: "response", Text: "The answer is 14.", Score: nan, Label: 0.7},
				{Part: "response", Text: strings.Repeat("verylongword", 30), Score: 0.3, Label: 0.2},
			}},
		}},
	}}
}

// spread gives n values in (0,1), pushed upwards for power > 1.
func spread(n int, power float64) []float64 {
	out := make([]float64, n)
	for i := range out {
		out[i] = math.Pow((float64(i)+0.5)/float64(n), 1/power)
	}
	return out
}

func render(t *testing.T, p Page) string {
	t.Helper()
	var out bytes.Buffer
	require.NoError(t, Write(&out, p))
	return out.String()
}

// elements lists the page's elements in order with the names of their attributes. The page is XML too, so a strict
// parser finds every element that is not closed.
func elements(t *testing.T, html string) []string {
	t.Helper()
	d := xml.NewDecoder(strings.NewReader(html))
	d.Entity = xml.HTMLEntity
	var out []string
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return out
		}
		require.NoError(t, err)
		if e, ok := token.(xml.StartElement); ok {
			name := e.Name.Local
			for _, a := range e.Attr {
				name += " " + a.Name.Local
			}
			out = append(out, name)
		}
	}
}

func TestHostileTextStaysText(t *testing.T) {
	benign := elements(t, render(t, sample("plain")))
	require.Greater(t, len(benign), 100)
	for _, hostile := range []string{
		`<script>alert(1)</script>`, `"><img src=x onerror=alert(1)>`, `' onmouseover='alert(1)`, `</title></style></svg><script>x</script>`,
		`<!--`, `]]>`, `&lt;b&gt;&#x3c;`, `{{.Title}}`, `javascript:alert(1)`, "`${alert(1)}`",
	} {
		html := render(t, sample(hostile))
		require.Equal(t, benign, elements(t, html), hostile)
		require.NotContains(t, html, "ZgotmplZ")
		require.NotRegexp(t, `(?i)<(script|img|iframe|object|link|base)`, html)
	}
	html := render(t, sample("bad \xff\xfe utf-8"))
	require.Contains(t, html, "bad \uFFFD")
	require.Contains(t, render(t, sample(`<b>`)), "First 3 · 4 = 12. &lt;b&gt;")
}

func TestNothingFromOutside(t *testing.T) {
	html := render(t, sample(""))
	require.NotRegexp(t, regexp.MustCompile(`(?i)(https?:|//[a-z]|\bsrc=|\bhref=|url\(|@import)`), html)
	require.Contains(t, html, `default-src 'none'`)
	require.Contains(t, html, "prefers-color-scheme: dark")
	require.Contains(t, html, `name="viewport"`)
}

func TestStepColours(t *testing.T) {
	html := render(t, Page{Sections: []Section{{Blocks: []Block{Steps{Steps: []Step{
		{Text: "a", Score: 0, Label: math.NaN()}, {Text: "b", Score: 0.25, Label: 0.5},
		{Text: "c", Score: 0.5, Label: 0.4}, {Text: "d", Score: 0.9, Label: 1},
		{Text: "e", Score: 7, Label: 1}, {Text: "f", Score: math.NaN(), Label: 1}}}}}}})
	for text, want := range map[string]string{
		"a": `<li class="step low " style="--share:0%">`, "b": `<li class="step low right" style="--share:50%">`, "c": `<li class="step high wrong" style="--share:0%">`,
		"d": `<li class="step high right" style="--share:80%">`, "e": `<li class="step high right" style="--share:100%">`, "f": `<li class="step none right" style="">`,
	} {
		at := strings.Index(html, "</span>"+text+"</span>")
		require.Positive(t, at, text)
		begin := strings.LastIndex(html[:at], "<li")
		require.True(t, strings.HasPrefix(html[begin:], want), "%s: %s", text, html[begin:at])
	}
	require.Contains(t, html, "<b>0.25</b>label 0.50")
	require.Contains(t, html, "<b>no score</b>label 1.00")
}

func TestNumericColumns(t *testing.T) {
	_, data := Table{Columns: []string{"a", "b", "c", "d"}, Rows: [][]string{{"x", "1.5", "93 %", ""}, {"1", "–", "", "", "beyond"}}}.view()
	v := data.(tableView)
	require.Equal(t, []cell{{"a", false}, {"b", true}, {"c", true}, {"d", false}}, v.Head)
	require.Len(t, v.Rows[1], 4)
	require.Equal(t, cell{"–", true}, v.Rows[1][1])
	html := render(t, Page{Sections: []Section{{Blocks: []Block{nil, Table{}}}}})
	require.Contains(t, html, "<table>")
}

// TestWriteSample leaves a page to look at when GOPRM_REPORT_OUT names a file.
func TestWriteSample(t *testing.T) {
	out := os.Getenv("GOPRM_REPORT_OUT")
	if out == "" {
		t.Skip("set GOPRM_REPORT_OUT to a file name to look at the sample page")
	}
	require.NoError(t, os.WriteFile(out, []byte(render(t, sample(""))), 0o644))
}

func TestFirstStepIsNumbered(t *testing.T) {
	require.Contains(t, render(t, Page{Sections: []Section{{Blocks: []Block{Steps{First: 7, Steps: []Step{{Text: "a"}, {Text: "b"}}}}}}}), `<span class="count">8</span>b`)
}
