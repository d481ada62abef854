package serve

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"
	"html/template"
	"math"
	"net/http"
	"strings"

	"github.com/goprm/goprm/data"
	"github.com/goprm/goprm/internal/report"
)

//go:embed page.html.tmpl
var pageSource string

//go:embed page.css
var pageStyle string

//go:embed page.js
var pageScript string

var pageTemplate = template.Must(template.New("page").Parse(pageSource))

// page is the page for people, which shows trajectories as reports do. Its policy allows its own style and scripts, and requests to this
// server.
type page struct {
	text   []byte
	policy string
}

func (e *engine) newPage(locked bool) (page, error) {
	tools, err := report.Tools("Sample", e.scale().Threshold)
	if err != nil {
		return page{}, err
	}
	var text bytes.Buffer
	style := report.Style() + pageStyle
	err = pageTemplate.Execute(&text, map[string]any{
		"Name": e.info.Name, "Steps": e.info.Steps, "Trajectory": e.info.Trajectory, "Alpha": e.info.Alpha, "Locked": locked,
		"Threshold": fmt.Sprint(e.scale().Threshold), "Tools": tools, "Style": template.CSS(style),
		"Browser": template.JS(report.Script()), "Script": template.JS(pageScript),
	})
	return page{text.Bytes(), report.ServedPolicy(style, report.Script(), pageScript)}, err
}

func (s *Server) page(w http.ResponseWriter, _ *http.Request) {
	p := s.current().page
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", p.policy)
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Referrer-Policy", "no-referrer")
	_, _ = w.Write(p.text)
}

// scale is that of the model's step scores.
func (e *engine) scale() report.Scale {
	switch e.info.Range {
	case Symmetric, Unbounded:
		return report.Scale{Low: -1, Threshold: 0, High: 1}
	}
	return report.Scale{Low: 0, Threshold: 0.5, High: 1}
}

// scoredLine is what the page takes of the line that prm score writes.
type scoredLine struct {
	Steps []struct {
		Part   string
		Start  int
		End    int
		Score  *float64
		Window int
	}
	Trajectory, Mean, Reward *float64
}

// pageAnswer is what the page is told of a text.
type pageAnswer struct {
	HTML       string   `json:"html"` // the trajectory; its texts are escaped
	Steps      int      `json:"steps"`
	Reward     *float64 `json:"reward"`
	Mean       *float64 `json:"mean"`
	Trajectory *float64 `json:"trajectory"`
}

// pageTrace scores a problem and an answer, and draws them.
func pageTrace(c *call) (any, error) {
	var request struct {
		Problem string `json:"problem"`
		Answer  string `json:"answer"`
		Number  int    `json:"number"`
	}
	if err := c.fields(&request); err != nil {
		return nil, err
	}
	if err := c.checkSize(len(request.Problem) + len(request.Answer)); err != nil {
		return nil, err
	}
	t := c.trajectory(request.Problem, request.Answer)
	scores, _, err := c.score([]*data.Trajectory{t})
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(scores[0].Line)
	if err != nil {
		return nil, err
	}
	var line scoredLine
	if err := json.Unmarshal(text, &line); err != nil {
		return nil, err
	}
	shown := line.shown(t)
	shown.Scale = c.scale()
	shown.Title = fmt.Sprintf("sample %d", request.Number)
	if begun := strings.TrimSpace(request.Answer); strings.HasPrefix(begun, "<think>") && !strings.Contains(begun, "</think>") {
		shown.Note = "The thinking is not closed by </think>: all of the text is thinking, and there is no response. " + shown.Note
	}
	var html bytes.Buffer
	if err := report.WriteTrace(&html, fmt.Sprintf("t%d", request.Number), shown); err != nil {
		return nil, err
	}
	return pageAnswer{HTML: html.String(), Steps: len(line.Steps), Reward: line.Reward, Mean: line.Mean, Trajectory: line.Trajectory}, nil
}

// shown is the trajectory with its scores.
func (l *scoredLine) shown(t *data.Trajectory) report.Steps {
	out := report.Steps{Problem: t.Problem}
	given := map[string][]string{data.PartThinking.String(): t.Steps, data.PartResponse.String(): t.ResponseSteps}
	whole := map[string]string{data.PartThinking.String(): t.Thinking, data.PartResponse.String(): t.Response}
	at, windows := map[string]int{}, 0
	for _, s := range l.Steps {
		step := report.Step{Part: s.Part, Score: math.NaN(), Label: math.NaN()}
		text := whole[s.Part]
		switch {
		case at[s.Part] < len(given[s.Part]):
			step.Text = given[s.Part][at[s.Part]]
		case 0 <= s.Start && s.Start <= s.End && s.End <= len(text):
			step.Text = text[s.Start:s.End]
		}
		at[s.Part]++
		if s.Score != nil {
			step.Score = *s.Score
		}
		windows = max(windows, s.Window+1)
		out.Steps = append(out.Steps, step)
	}
	var notes []string
	for _, n := range []struct {
		name  string
		value *float64
	}{{"reward", l.Reward}, {"mean step score", l.Mean}, {"trajectory score", l.Trajectory}} {
		if n.value != nil {
			notes = append(notes, fmt.Sprintf("%s %.4f", n.name, *n.value))
		}
	}
	if windows > 1 {
		notes = append(notes, fmt.Sprintf("longer than the model was trained for: read in %d windows", windows))
	}
	out.Note = strings.Join(notes, " · ")
	return out
}
