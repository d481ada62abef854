package figures

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"image/png"
	"io"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/goprm/goprm/internal/report"
	"github.com/stretchr/testify/require"
)

func page() report.Page {
	return report.Page{Sections: []report.Section{{Title: "Run a/b", Blocks: []report.Block{
		report.Table{Title: "no figure", Columns: []string{"x"}},
		report.LineChart{Title: "Loss: <all>", XLabel: "step", YLabel: "nats", Series: []report.Series{
			{Name: "first & only", X: []float64{0, 10, 20, 30, 40}, Y: []float64{1, 0.5, math.NaN(), 0.25, 0}},
			{Name: "lone", X: []float64{20}, Y: []float64{0.75}}}},
		report.LineChart{Title: "nothing", Series: []report.Series{{}}},
		report.LineChart{Title: "n", Log2: true, Series: []report.Series{{Name: "best", X: []float64{0, 1, 2, 8}, Y: []float64{9, 50, 60, 70},
			Dots: true}}},
		report.Histogram{Title: "Scores", Low: 0, Top: 1, Bins: 4, Groups: []report.Group{{Name: "good", Counts: []int{0, 1, 0, 3}}}},
	}}}}
}

// texts are the text elements of an SVG, which a strict parser must take.
func texts(t *testing.T, svg []byte) []string {
	t.Helper()
	d := xml.NewDecoder(bytes.NewReader(svg))
	var list []string
	inside := false
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return list
		}
		require.NoError(t, err)
		switch e := token.(type) {
		case xml.StartElement:
			inside = e.Name.Local == "text"
		case xml.CharData:
			if inside {
				list = append(list, strings.TrimSpace(string(e)))
				inside = false
			}
		}
	}
}

func TestWrite(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "figures")
	names, err := Write(dir, page())
	require.NoError(t, err)
	require.Equal(t, []string{"01-run-a-b-loss-all.png", "01-run-a-b-loss-all.svg", "02-run-a-b-n.png", "02-run-a-b-n.svg",
		"03-run-a-b-scores.png", "03-run-a-b-scores.svg"}, names)
	for i, want := range [][]string{
		{"Loss: <all>", "step", "nats", "first & only", "lone", "40", "0.2"},
		{"n", "best", "1", "2", "4", "8", "50", "70"},
		{"Scores", "good (4)", "share of the group", "0.2", "0.8"},
	} {
		file, err := os.Open(filepath.Join(dir, names[2*i]))
		require.NoError(t, err)
		picture, err := png.Decode(file)
		require.NoError(t, errors.Join(err, file.Close()))
		require.InDelta(t, 12/2.54*300, picture.Bounds().Dx(), 1, "12 cm at 300 dots an inch")
		svg, err := os.ReadFile(filepath.Join(dir, names[2*i+1]))
		require.NoError(t, err)
		for _, text := range want {
			require.Contains(t, texts(t, svg), text)
		}
	}
	again, err := Write(dir, page())
	require.NoError(t, err, "figures are replaced")
	require.Equal(t, names, again)
}

// The points of a line lie where the ticks of both axes say: the places of two ticks give each axis' scale.
func TestPointsLieBetweenTheTicks(t *testing.T) {
	dir := t.TempDir()
	names, err := Write(dir, report.Page{Sections: []report.Section{{Blocks: []report.Block{
		report.LineChart{Log2: true, Series: []report.Series{{X: []float64{1, 2, 8}, Y: []float64{50, 60, 70}}}}}}}})
	require.NoError(t, err)
	svg, err := os.ReadFile(filepath.Join(dir, names[1]))
	require.NoError(t, err)
	lines := regexp.MustCompile(`d="M([-0-9.]+),([-0-9.]+)L([-0-9.]+),([-0-9.]+)L([-0-9.]+),([-0-9.]+)" style="fill:none;stroke:#0B5FBF`).FindSubmatch(svg)
	require.NotNil(t, lines, "%s", svg)
	var at [7]float64
	for i := 1; i < len(lines); i++ {
		at[i], err = strconv.ParseFloat(string(lines[i]), 64)
		require.NoError(t, err)
	}
	require.InDelta(t, 3, (at[5]-at[1])/(at[3]-at[1]), 0.01, "1 to 8 is three times as far as 1 to 2")
	require.InDelta(t, 2, (at[6]-at[2])/(at[4]-at[2]), 0.01)
}

// Figures have the colours and dashes of the page's style.
func TestColours(t *testing.T) {
	light, _, _ := strings.Cut(report.Style(), "@media")
	require.Contains(t, light, fmt.Sprintf("--line: #%02x%02x%02x;", grid.R, grid.G, grid.B))
	require.NotContains(t, light, fmt.Sprintf("--c%d", len(colours)))
	require.Len(t, colours, report.Colours)
	require.Len(t, dashes, report.Colours)
	for i, c := range colours {
		require.Contains(t, light, fmt.Sprintf("--c%d: #%02x%02x%02x;", i, c.R, c.G, c.B))
		if i > 0 {
			require.Contains(t, report.Style(), fmt.Sprintf("path.c%d { stroke-dasharray: %s; }", i, strings.Trim(fmt.Sprint(dashes[i]), "[]")))
		}
	}
}

func TestSlug(t *testing.T) {
	require.Equal(t, "a-b-c1", slug("  A/b — ../C1!! "))
	require.Len(t, slug(strings.Repeat("x", 500)), 80)
	require.Empty(t, slug("÷÷"))
}

func TestWriteRefuses(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o644))
	_, err := Write(file, page())
	require.Error(t, err)
}
