// Package figures writes the charts of a report's page as PNG and SVG, for papers. It is apart from package report so
// that only the command carries gonum's plots and their fonts.
package figures

import (
	"fmt"
	"image/color"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"

	"github.com/goprm/goprm/internal/atomicfile"
	"github.com/goprm/goprm/internal/report"
	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"
	"gonum.org/v1/plot/vg/vgsvg"
)

const (
	width  = 12 * vg.Centimeter
	height = 8 * vg.Centimeter // without the legend, which stands below
	margin = 0.2 * vg.Centimeter
	dpi    = 300
)

// The colours and dashes of the page's lines on light paper.
var (
	colours = []color.NRGBA{{0x0b, 0x5f, 0xbf, 255}, {0xb8, 0x4e, 0x06, 255}, {0x55, 0x60, 0x6c, 255}, {0x7a, 0x45, 0xd1, 255},
		{0x8a, 0x61, 0x00, 255}, {0xb0, 0x30, 0x7e, 255}}
	dashes = [][]vg.Length{nil, {7, 4}, {2, 4}, {9, 3, 2, 3}, {12, 4}, {4, 3, 1, 3, 1, 3}}
	grid   = color.NRGBA{0xd5, 0xda, 0xe0, 255}
)

// Write writes every chart of the page into the folder, which is made if it is not there, and returns the files' names:
// the chart's number, its section and its title. Files of these names are replaced.
func Write(dir string, page report.Page) ([]string, error) {
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return nil, err
	}
	var names []string
	for i, figure := range report.Figures(page) {
		p, legend, err := plotOf(figure)
		if err != nil {
			return nil, fmt.Errorf("figure %q: %w", figure.Title, err)
		}
		base := fmt.Sprintf("%02d-%s", i+1, slug(figure.Section+" "+figure.Title))
		below := legend.Rectangle(draw.New(vgsvg.New(width, height))).Size().Y
		whole := height + below
		for _, form := range []struct {
			ending string
			canvas func() canvas
		}{
			{".png", func() canvas {
				return vgimg.PngCanvas{Canvas: vgimg.NewWith(vgimg.UseWH(width, whole), vgimg.UseDPI(dpi))}
			}},
			{".svg", func() canvas { return vgsvg.New(width, whole) }},
		} {
			c := form.canvas()
			inside := draw.Crop(draw.New(c), margin, -margin, margin, -margin)
			p.Draw(draw.Crop(inside, 0, 0, below+margin, 0))
			legend.Draw(inside)
			if err := atomicfile.WriteFile(filepath.Join(dir, base+form.ending),
				func(w io.Writer) error { _, err := c.WriteTo(w); return err }); err != nil {
				return nil, err
			}
			names = append(names, base+form.ending)
		}
	}
	return names, nil
}

// canvas is what both forms are drawn on.
type canvas interface {
	vg.CanvasSizer
	io.WriterTo
}

func plotOf(f report.Figure) (*plot.Plot, plot.Legend, error) {
	p, legend := plot.New(), plot.NewLegend()
	p.Title.Text, p.X.Label.Text, p.Y.Label.Text = f.Title, f.XLabel, f.YLabel
	p.X.Tick.Marker, p.Y.Tick.Marker = ticks(f.X), ticks(f.Y)
	legend.Left, legend.ThumbnailWidth, legend.Padding = true, vg.Centimeter, vg.Points(2)
	lines := plotter.NewGrid()
	lines.Vertical.Color, lines.Horizontal.Color = grid, grid
	p.Add(lines)
	for i, s := range f.Lines {
		if err := add(p, &legend, s, i, f.Filled); err != nil {
			return nil, legend, err
		}
	}
	for _, m := range f.Marks {
		line, err := plotter.NewLine(plotter.XYs{{X: m.At, Y: f.Y.Low}, {X: m.At, Y: f.Y.High}})
		if err != nil {
			return nil, legend, err
		}
		line.LineStyle = draw.LineStyle{Color: color.Black, Width: vg.Points(0.8), Dashes: []vg.Length{vg.Points(4), vg.Points(3)}}
		p.Add(line)
	}
	p.X.Min, p.X.Max, p.Y.Min, p.Y.Max = f.X.Low, f.X.High, f.Y.Low, f.Y.High // after the lines, which widen them
	return p, legend, nil
}

func ticks(a report.Axis) plot.TickerFunc {
	return func(_, _ float64) []plot.Tick {
		list := make([]plot.Tick, len(a.Ticks))
		for i, t := range a.Ticks {
			list[i] = plot.Tick{Value: t.Value, Label: t.Text}
		}
		return list
	}
}

// add draws one series: an area, or a line between its gaps with lone points as dots.
func add(p *plot.Plot, legend *plot.Legend, s report.Series, i int, filled bool) error {
	style := draw.LineStyle{Color: colours[i%len(colours)], Width: vg.Points(1.2), Dashes: dashes[i%len(dashes)]}
	if filled {
		area, err := plotter.NewPolygon(points(s, 0, len(s.X)))
		if err != nil {
			return err
		}
		inside := colours[i%len(colours)]
		inside.A = 90
		style.Dashes = nil
		area.Color, area.LineStyle = inside, style
		p.Add(area)
		legend.Add(s.Name, area)
		return nil
	}
	named := false
	for from := 0; from < len(s.X); from++ {
		to := from
		for to < len(s.X) && !math.IsNaN(s.X[to]) {
			to++
		}
		if to == from {
			continue
		}
		line, dots, err := plotter.NewLinePoints(points(s, from, to))
		if err != nil {
			return err
		}
		line.LineStyle = style
		dots.GlyphStyle = draw.GlyphStyle{Color: style.Color, Radius: vg.Points(2), Shape: draw.CircleGlyph{}}
		p.Add(line)
		if s.Dots || to == from+1 {
			p.Add(dots)
		}
		if !named {
			legend.Add(s.Name, line)
			named = true
		}
		from = to
	}
	return nil
}

func points(s report.Series, from, to int) plotter.XYs {
	list := make(plotter.XYs, 0, to-from)
	for k := from; k < to; k++ {
		list = append(list, plotter.XY{X: s.X[k], Y: s.Y[k]})
	}
	return list
}

// slug keeps small letters and digits of a text as a part of a file's name, not too long a one.
func slug(text string) string {
	var b strings.Builder
	for _, r := range strings.ToLower(text) {
		switch {
		case r >= 'a' && r <= 'z' || r >= '0' && r <= '9':
			b.WriteRune(r)
		case b.Len() > 0 && !strings.HasSuffix(b.String(), "-"):
			b.WriteByte('-')
		}
	}
	return strings.TrimSuffix(b.String()[:min(b.Len(), 80)], "-")
}
