package report

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/xml"
	"errors"
	stdhtml "html"
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
			LineChart{Title: "Learning rate",
				XLabel: "step", Series: []Series{{Name: "lr", X: []float64{0, 20000, 40000}, Y: []float64{0, 1e-4, 0}}}},
			Histogram{Title: "Scores " + text, XLabel: "score " + text, Low: 0, Top: 1, Groups: []Group{
				{Name: "right steps " + text, Values: spread(400, 3)}, {Name: "wrong steps", Values: spread(200, 0.4)}}},
			LineChart{Title: "Nothing yet", Series: []Series{{Name: "none " + text}}},
		}},
		{Title: "Numbers", Blocks: []Block{
			Table{Title: "Results " + text, Columns: []string{"metric " + text, "model", "depth", "length"}, Rows: [][]string{
				{"step AUROC " + text, "0.962", "0.51", "0.50"}, {"within AUROC", "0.958", "0.503", "–"}, {"best of 8", "93.0 %"}}},
			Steps{Title: "One trajectory " + text, Problem: "What is 2 + 3 · 4? " + text, Steps: []Step{
				{Part: "thinking " + text, Text: "First 3 · 4 = 12. " + text, Score: 0.97, Label: 1},
				{Part: "thinking " + text, Text: "Then 2 + 12 = 15.\nOr is it? " + strings.Repeat("Let me check that once more. ", 8), Score: 0.08,
					Label: 0},
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
			if name != "code" { // Markdown in a text, like strong and em
				out = append(out, name)
			}
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
		require.NotRegexp(t, `(?i)<(img|iframe|object|link|base)`, html)
		require.Equal(t, 1, strings.Count(html, "<script"), hostile)
	}
	html := render(t, sample("bad \xff\xfe utf-8"))
	require.Contains(t, html, "bad \uFFFD")
	require.Contains(t, render(t, sample(`<b>`)), "First 3 · 4 = 12. &lt;b&gt;")
}

func TestNothingFromOutside(t *testing.T) {
	html := render(t, sample(""))
	require.Empty(t, regexp.MustCompile(`(?i)(https?:|="//|\bsrc=|\bhref="[^#]|url\(|@import|unsafe|\bstyle="|\bon[a-z]+=")`).FindAllString(html, -1))
	require.Contains(t, stdhtml.UnescapeString(html), `default-src 'none'`)
	require.Contains(t, html, "prefers-color-scheme: dark")
	require.Contains(t, html, `name="viewport"`)
	// The policy names the style and the script that the page has, by their hashes.
	policy := regexp.MustCompile(`Content-Security-Policy" content="([^"]*)"`).FindStringSubmatch(html)[1]
	for _, name := range []string{"style", "script"} {
		found := regexp.MustCompile(`(?s)<`+name+`>(.*?)</`+name+`>`).FindAllStringSubmatch(html, -1)
		require.Len(t, found, 1)
		sum := sha256.Sum256([]byte(found[0][1]))
		require.Contains(t, stdhtml.UnescapeString(policy), name+"-src 'sha256-"+base64.StdEncoding.EncodeToString(sum[:])+"'")
	}
}

// row is the element of the step with a text.
func row(t *testing.T, page, text string) string {
	t.Helper()
	at := strings.Index(page, "<p>"+text+"</p>")
	require.Positive(t, at, text)
	begin := strings.LastIndex(page[:at], `<li class="step`)
	return page[begin:at]
}

func TestStepShades(t *testing.T) {
	nan := math.NaN()
	html := render(t, Page{Sections: []Section{{Blocks: []Block{Steps{Problem: "p", Steps: []Step{
		{Text: "a", Score: 0, Label: nan}, {Text: "b", Score: 0.25, Label: 0.5}, {Text: "c", Score: 0.5, Label: 0.4},
		{Text: "d", Score: 0.9, Label: 1},
		{Text: "e", Score: 7, Label: 1}, {Text: "f", Score: nan, Label: 1}, {Text: "g", Score: 0.4, Label: nan},
		{Text: "h", Score: nan, Label: nan}}}}}}})
	for text, want := range map[string][]string{
		"a": {`class="step lo3"`, `data-wrong=""`, "▼", "<b>", "0.000"},
		"b": {`class="step lo2"`, "▼", "0.250", "label 0.5<", `data-gap="0.250"`, `data-differs=""`, "≠"},
		"c": {`class="step hi1"`, "▲", "0.500", "label 0.4<", `data-differs=""`}, "d": {`class="step hi3"`, "0.900", "label 1<"},
		"e": {`class="step hi3"`, "7.000"},
		"f": {`class="step none"`, "label 1<"}, "g": {`class="step lo1"`, "0.400"}, "h": {`class="step none"`, "no score"},
	} {
		for _, part := range want {
			require.Contains(t, row(t, html, text), part, text)
		}
	}
	require.NotContains(t, row(t, html, "c"), "data-wrong")
	require.NotContains(t, row(t, html, "d"), "≠")
	require.Contains(t, html, "8 steps · lowest 0.000 at step 1 · 3 below 0.5")
}

// A trajectory that was labelled and not scored shows labels as labels.
func TestLabelsAreLabels(t *testing.T) {
	html := render(t, Page{Sections: []Section{{Blocks: []Block{Steps{Steps: []Step{
		{Text: "a", Score: math.NaN(), Label: 1}, {Text: "b", Score: math.NaN(), Label: math.NaN()},
		{Text: "c", Score: math.NaN(), Label: 0.2}}}}}}})
	require.Contains(t, row(t, html, "a"), `1.000</b><span class="label">label</span>`)
	require.Contains(t, row(t, html, "b"), `<span class="label">no label</span>`)
	require.Contains(t, row(t, html, "c"), `class="step lo2"`)
	require.NotContains(t, html, "no score")
	require.Contains(t, html, "lowest 0.200 at step 3 · 1 below 0.5 · 1 without a label")
}

// Bars stand on the threshold and end at the score, in units of a hundredth of the scale's height.
func TestCurve(t *testing.T) {
	nan := math.NaN()
	four := []Step{{Score: 1, Label: nan}, {Score: 0.25, Label: 0.75}, {Score: 0.5, Label: nan}, {Score: nan, Label: nan}}
	c := Steps{Steps: four}.trace().Curve
	require.Equal(t, []bar{{0.1, 0, 50, "hi"}, {1.1, 50, 25, "lo"}, {2.1, 48, 2, "hi"}}, c.Bars)
	require.Equal(t, []bar{{X: 1, Y: 25}}, c.Labels)
	c = Steps{Scale: Scale{-1, 0, 1}, Steps: []Step{{Score: 3, Label: nan}, {Score: -1, Label: nan}}}.trace().Curve
	require.Equal(t, []bar{{0.1, 0, 75, "hi"}, {1.1, 75, 25, "lo"}}, c.Bars, "scores beyond the scale widen it")
	require.Equal(t, "3", c.High)
}

func TestNumericColumns(t *testing.T) {
	_, data := Table{Columns: []string{"a", "b", "c", "d"}, Rows: [][]string{{"x", "1.5", "93 %", ""}, {"1", "–", "", "", "beyond"}}}.view()
	v := data.(tableView)
	require.Equal(t, []cell{{"a", false}, {"b", true}, {"c", true}, {"d", false}}, v.Head)
	require.Len(t, v.Rows[1], 4)
	for text, want := range map[string]bool{"12": true, "-0.5": true, "0.1–0.3": true, "30.6 (22.5–39.4)": true,
		"-": true, "3 of 4": false,
		"%": false, "a 1": false} {
		require.Equal(t, want, isNumber(text), text)
	}
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
	html := render(t, Page{Sections: []Section{{Blocks: []Block{Steps{First: 7, Steps: []Step{{Text: "a"}, {Text: "b"}}}}}}})
	require.Contains(t, row(t, html, "b"), `id="t1-s8"`)
	require.Contains(t, row(t, html, "b"), `<a class="count" href="#t1-s8" aria-label="step 8">8</a>`)
}
