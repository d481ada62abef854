package label

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/goprm/goprm/data"
)

// templates answers each attempt with the next text.
type templates struct {
	texts []string
	mu    sync.Mutex
	asked int
}

func (*templates) ID() string { return "templates/1" }

func (s *templates) Template(_ context.Context, c *Case, attempt int) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked++
	if attempt >= len(s.texts) {
		return "", errors.New("no more templates")
	}
	return strings.ReplaceAll(s.texts[attempt], "GOLD", c.Answer), nil
}

// policy is right on the first seeds it meets of each prompt: with a template more often than without.
type policy struct {
	with, without int
	fail          error
	mu            sync.Mutex
	seeds         map[string][]uint64
}

func (*policy) ID() string { return "policy/1" }

func (p *policy) Answer(_ context.Context, prompt Prompt, seed uint64) (string, error) {
	if p.fail != nil {
		return "", p.fail
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.seeds == nil {
		p.seeds = map[string][]uint64{}
	}
	key := prompt.Problem + "|" + prompt.Template
	p.seeds[key] = append(p.seeds[key], seed)
	limit := p.without
	if prompt.Template != "" {
		limit = p.with
	}
	var n int
	if _, err := fmt.Sscanf(prompt.Problem, "What is %d", &n); err != nil {
		return "", err
	}
	if len(p.seeds[key]) <= limit {
		return fmt.Sprint("It is ", n+1), nil
	}
	return "I do not know", nil
}

// By hand: 6 of 8 answers are right under the template, 2 of 8 without it.
func TestTrajectoryReward(t *testing.T) {
	all := made(6)
	for kind, want := range map[FinalKind]float64{PaperFinal: 0.75, Lift: (1 + 0.75 - 0.25) / 2} {
		templater, policy := &templates{texts: []string{"Show that it is GOLD .", "Add one."}}, &policy{with: 6, without: 2}
		// Two trajectories share a problem and a template: then they share the answers.
		p := Pipeline{Templater: templater, Policy: policy, Verifier: lastWordVerifier{}, Parts: []Part{Quality},
			Judge: &scripted{id: "j/1", sees: SeesPrefix}, Final: Final{Kind: kind}, Workers: 1}
		dir := filepath.Join(t.TempDir(), string(kind))
		report, _ := labelled(t, p, dir, all)
		for _, row := range readRows(t, dir) {
			f := row.Made.Trajectory
			if row.Labels.Trajectory == nil || *row.Labels.Trajectory != want || f.Right != 6 || f.RightWithout != 2 || f.Samples != 8 ||
				f.Rejected != 1 || f.Template != "Add one." || len(f.Answers) != 8 || len(f.Without) != 8 {
				t.Errorf("%s: %s: %v, %+v", kind, row.ID, row.Labels.Trajectory, f)
			}
		}
		if report.TrajectoryLabels != 6 || report.Rejected != 6 || report.Asked[stageTemplate] != 12 || report.Asked[stageAnswer] != 3*16 {
			t.Errorf("%s: %+v", kind, report)
		}
		for problem, seeds := range policy.seeds {
			if !strings.HasSuffix(problem, "|") {
				continue
			}
			with := map[uint64]bool{}
			for _, s := range policy.seeds[problem+"Add one."] {
				with[s] = true
			}
			for _, s := range seeds {
				if !with[s] || len(with) != 8 {
					t.Errorf("the seeds differ with and without a template: %v, %v", seeds, with)
				}
			}
		}
		asked := templater.asked
		if report, _ := labelled(t, p, dir, all); templater.asked != asked || report.TrajectoryLabels != 6 || len(report.Asked) != 0 {
			t.Errorf("%s: the second run asked: %+v", kind, report)
		}
	}
}

func TestNoTrajectoryReward(t *testing.T) {
	one := func(answer string) []*data.Trajectory {
		return []*data.Trajectory{{ID: "a", Problem: "What is 1 + 1?", Thinking: "hm", Response: "2", Answer: answer}}
	}
	for name, c := range map[string]struct {
		kind       FinalKind
		answer     string
		texts      []string
		fail       error
		open, none string
	}{
		"no gold":               {PaperFinal, "", nil, nil, "", "no gold answer"},
		"code":                  {PaperFinal, "code", nil, nil, "", "cannot decide"},
		"code by rule":          {Rule, "code", nil, nil, "", "cannot decide"},
		"templates leak":        {PaperFinal, "2", []string{"= 2", "so 2", "2!"}, nil, "", "each of 3 templates"},
		"the templater fails":   {Lift, "2", []string{"= 2"}, nil, "no more templates", ""},
		"the policy fails":      {Lift, "2", []string{"Add."}, errors.New("busy"), "busy", ""},
		"the policy has a term": {PaperFinal, "2", []string{"Add."}, fatal{errors.New("spent")}, "spent", ""},
	} {
		p := Pipeline{Templater: &templates{texts: c.texts}, Policy: &policy{with: 8, fail: c.fail}, Verifier: lastWordVerifier{},
			Parts: []Part{Quality}, Judge: &scripted{id: "j/1", sees: SeesPrefix}, Final: Final{Kind: c.kind}}
		dir := filepath.Join(t.TempDir(), "out")
		labelled(t, p, dir, one(c.answer))
		row := readRows(t, dir)[0]
		f := row.Made.Trajectory
		if row.Labels.Trajectory != nil || !strings.Contains(f.Open, c.open) || !strings.Contains(f.None, c.none) ||
			(f.Open == "") == (f.None == "") {
			t.Errorf("%s: label %v, open %q, none %q", name, row.Labels.Trajectory, f.Open, f.None)
		}
	}
}

// numbers is a verifier of whole numbers, fractions apart: enough for the templates below.
type numbers struct{}

func (numbers) ID() string { return "numbers/1" }

func (numbers) Verify(gold, text string) (bool, string, error) {
	last := func(s string) string {
		s = strings.NewReplacer(`\boxed{`, "", "}", "", ",", "", "$", "").Replace(s)
		fields := strings.Fields(s)
		if len(fields) == 0 {
			return ""
		}
		return strings.TrimSuffix(fields[len(fields)-1], ".")
	}
	return last(gold) != "" && last(gold) == last(text), "", nil
}

func TestLeaks(t *testing.T) {
	for _, c := range []struct {
		template, gold, response string
		want                     bool
	}{
		{"1. Factor the number.\n2. Add the factors.\n3. Check.", "2", "so \\boxed{2}", false}, // the list's numbers
		{"Step 1: add. Then see steps 1 and 2.", "2", "", false},
		{"1. Show that the sum is 2.", "2", "", true},
		{"The result is $x = 42$.", "42", "", true},
		{"The result is \\boxed{42}.", "42", "", true},
		{"Multiply to get 1,234 in all.", "1234", "", true},
		{"It holds 142 things.", "42", "", false},
		{"Arrive at 17.", "42", "We find 17", true}, // the response's own value, though it is wrong
		{"Choose (B).", "B", "", true}, {"A good start: the answer is C", "C", "", true}, {"A plan. B is a set.", "B", "", false},
		{"Use option (A) then.", "B", "", false},
		{"It ends as x^2 + 1 again", "x^2+1", "", true}, {"It ends as x^2", "x^2+1", "", false},
		{"", "2", "", false},
	} {
		if got := leaks(numbers{}, c.template, c.gold, c.response); got != c.want {
			t.Errorf("leaks(%q, gold %q, response %q) = %v", c.template, c.gold, c.response, got)
		}
	}
}
