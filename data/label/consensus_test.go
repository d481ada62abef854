package label

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func saying(id string, says func(c *Case, step int) (Verdict, error)) *scripted {
	return &scripted{id: id, sees: SeesPrefix, per: 1, says: says}
}

func TestConsensusByHand(t *testing.T) {
	a := saying("a", func(_ *Case, step int) (Verdict, error) {
		return []Verdict{{Score: 0.5}, {Score: 0.5}, {Unchecked: "nothing to check"}, {Score: 1}}[step], nil
	})
	b := saying("b", func(_ *Case, step int) (Verdict, error) {
		return []Verdict{{Score: 0.75}, {Score: 0.8}, {Score: 1}, {Unchecked: "no idea"}}[step], nil
	})
	b.sees = SeesResponse
	c := Consensus{a, b, 0.25}
	got, err := c.Judge(t.Context(), &Case{Thinking: make([]string, 4)}, []int{0, 1, 2, 3})
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []Verdict{{Score: 0.625}, {Unchecked: disagree}, {Unchecked: "nothing to check"}, {Unchecked: "no idea"}} {
		if got[i].Score != want.Score || got[i].Unchecked != want.Unchecked || len(got[i].Raw) != 2 {
			t.Errorf("step %d: %+v, want %+v", i, got[i], want)
		}
	}
	if c.Sees() != SeesResponse || c.StepsPerCall() != 1 || !strings.Contains(c.ID(), "a") || !strings.Contains(c.ID(), "b") {
		t.Errorf("%s sees %s, %d steps a call", c.ID(), c.Sees(), c.StepsPerCall())
	}
}

// A judge that failed is asked again alone, and another tolerance asks nobody.
func TestConsensusInAPipeline(t *testing.T) {
	all := made(30)
	a, b := saying("a", nil), saying("b", nil)
	b.says = func(*Case, int) (Verdict, error) { return Verdict{}, errors.New("down") }
	p := Pipeline{Judge: Consensus{a, b, 0}, Parts: []Part{Quality}}
	dir := t.TempDir()
	report, _ := labelled(t, p, dir, all)
	if report.StepLabels != 0 || report.Open["quality"]["down"] != report.Steps {
		t.Errorf("one judge is down: %d labels, open %v", report.StepLabels, report.Open)
	}
	asked := len(a.asked)
	b.says = nil
	if report, _ = labelled(t, p, dir, all); report.StepLabels != report.Steps || len(a.asked) != asked || len(b.asked) != report.Steps {
		t.Errorf("%d labels, asked %d and %d times", report.StepLabels, len(a.asked)-asked, len(b.asked))
	}
	p.Judge = Consensus{a, b, 1}
	if report, _ = labelled(t, p, dir, all); len(report.Asked) != 0 {
		t.Errorf("another tolerance asked: %v", report.Asked)
	}
}

func TestVectors(t *testing.T) {
	path := filepath.Join(t.TempDir(), "v.jsonl")
	put := func(text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	// The SHA-256 of "abc" is FIPS 180-4's example.
	put(`{"text":"x","vector":[1,2]}` + "\n" + `{"sha256":"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad","vector":[3,4]}`)
	v, err := ReadVectors(path)
	if err != nil {
		t.Fatal(err)
	}
	got, err := v.Encode(t.Context(), []string{"abc", "x"})
	if err != nil || got[0][1] != 4 || got[1][0] != 1 {
		t.Errorf("%v %v", got, err)
	}
	if _, err := v.Encode(t.Context(), []string{"y"}); err == nil || shortReason(err) != "the file of vectors lacks a text" {
		t.Errorf("an unknown text: %v", err)
	}
	id := v.ID()
	for text, want := range map[string]string{
		`{"text":"x"}`: "0 numbers", `{"vector":[1]}`: "text or sha256", `{"text":"x","sha256":"00","vector":[1]}`: "not both",
		`{"sha256":"00","vector":[1]}`:                                     "not a SHA-256",
		`{"text":"x","vector":[1]}` + "\n" + `{"text":"y","vector":[1,2]}`: ":2: a vector of 2", `{"text":"x","vector":[0,0]}`: "no direction",
		`{"text":"x","vector":[1e99]}`: ":1", "{": ":1",
	} {
		put(text)
		if _, err := ReadVectors(path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
	put(`{"text":"x","vector":[1,3]}`)
	if v, err := ReadVectors(path); err != nil || v.ID() == id {
		t.Errorf("other vectors have the same ID (%v)", err)
	}
}
