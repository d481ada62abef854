//go:build unix

package execjudge

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The tests' program is this binary: the variable names how it behaves.
const helperVariable = "GOPRM_EXECJUDGE_HELPER"

func TestMain(m *testing.M) {
	if mode := os.Getenv(helperVariable); mode != "" {
		helper(mode)
		os.Exit(0)
	}
	os.Exit(m.Run())
}

type helperRequest struct {
	ID       string   `json:"id"`
	Problem  string   `json:"problem"`
	Thinking []string `json:"thinking"`
	Response []string `json:"response"`
	Answer   *string  `json:"answer"`
	Steps    []int    `json:"steps"`
}

// scores are those of a program that behaves: the share of the letter a in each step.
func (r *helperRequest) scores() string {
	var all []string
	for _, t := range r.Steps {
		all = append(all, fmt.Sprint(share(r.Thinking[t])))
	}
	return strings.Join(all, ",")
}

func share(step string) float64 { return float64(strings.Count(step, "a")) / float64(len(step)) }

// misbehave is what each mode answers to the problem "bad". What it returns is written in one piece.
var misbehave = map[string]func(r *helperRequest) string{
	"die": func(*helperRequest) string {
		fmt.Fprintln(os.Stderr, "Traceback:\nKeyError: 7")
		os.Exit(3)
		return ""
	},
	"cut": func(r *helperRequest) string {
		fmt.Printf(`{"id":%q,"scores":[0.5]}`, r.ID)
		os.Exit(0)
		return ""
	},
	"hang": func(*helperRequest) string { time.Sleep(time.Hour); return "" },
	"deaf": func(r *helperRequest) string { // it reads no more, while its input fills up
		time.Sleep(time.Hour)
		return ""
	},
	"garbage":  func(*helperRequest) string { return "Loading model...\n" },
	"list":     func(*helperRequest) string { return "[0.5]\n" },
	"number":   func(*helperRequest) string { return `{"id":1,"scores":[0.5]}` + "\n" },
	"empty":    func(*helperRequest) string { return "\n" },
	"stranger": func(*helperRequest) string { return `{"id":"nobody","scores":[0.5]}` + "\n" },
	"twice": func(r *helperRequest) string {
		return fmt.Sprintf(`{"id":%q,"scores":[0.5]}`+"\n"+`{"id":%q,"scores":[0.9]}`+"\n", r.ID, r.ID)
	},
	"twice apart": func(r *helperRequest) string {
		fmt.Printf(`{"id":%q,"scores":[0.5]}`+"\n", r.ID)
		return fmt.Sprintf(`{"id":%q,"scores":[0.9]}`+"\n", r.ID)
	},
	"flood": func(*helperRequest) string {
		for junk := strings.Repeat("x", 1<<16); ; {
			if _, err := os.Stdout.WriteString(junk); err != nil {
				os.Exit(1)
			}
		}
	},
	"flood of lines": func(r *helperRequest) string {
		for {
			if _, err := fmt.Printf(`{"id":%q,"scores":[0.5]}`+"\n", r.ID); err != nil {
				os.Exit(1)
			}
		}
	},
	"mute":   func(*helperRequest) string { _ = os.Stdout.Close(); time.Sleep(time.Hour); return "" },
	"nan":    func(r *helperRequest) string { return fmt.Sprintf(`{"id":%q,"scores":[NaN]}`+"\n", r.ID) },
	"inf":    func(r *helperRequest) string { return fmt.Sprintf(`{"id":%q,"scores":[-Infinity]}`+"\n", r.ID) },
	"null":   func(r *helperRequest) string { return fmt.Sprintf(`{"id":%q,"scores":[null]}`+"\n", r.ID) },
	"text":   func(r *helperRequest) string { return fmt.Sprintf(`{"id":%q,"scores":["0.5"]}`+"\n", r.ID) },
	"above":  func(r *helperRequest) string { return fmt.Sprintf(`{"id":%q,"scores":[1.01]}`+"\n", r.ID) },
	"below":  func(r *helperRequest) string { return fmt.Sprintf(`{"id":%q,"scores":[-1e-9]}`+"\n", r.ID) },
	"huge":   func(r *helperRequest) string { return fmt.Sprintf(`{"id":%q,"scores":[1e999]}`+"\n", r.ID) },
	"few":    func(r *helperRequest) string { return fmt.Sprintf(`{"id":%q,"scores":[]}`+"\n", r.ID) },
	"many":   func(r *helperRequest) string { return fmt.Sprintf(`{"id":%q,"scores":[0.5,0.5]}`+"\n", r.ID) },
	"absent": func(r *helperRequest) string { return fmt.Sprintf(`{"id":%q,"score":0.5}`+"\n", r.ID) },
	"error": func(r *helperRequest) string {
		return fmt.Sprintf(`{"id":%q,"error":"overloaded\nTraceback","scores":[0.5]}`+"\n", r.ID)
	},
}

// helper answers requests. To the problem "bad" it answers as its mode says, to "wait" only together with the next one, after that.
func helper(mode string) {
	if mode == "stubborn" { // with a child, neither ends by itself
		signal.Ignore(syscall.SIGTERM, syscall.SIGINT)
		child := exec.Command("sleep", "1000")
		child.Stdout, child.Stderr = os.Stdout, os.Stderr
		if err := child.Start(); err != nil {
			panic(err)
		}
		fmt.Fprintln(os.Stderr, "child", child.Process.Pid)
	}
	if mode == "chatty" {
		for i := range 5000 {
			fmt.Fprintln(os.Stderr, i, strings.Repeat("y", 3000))
		}
	}
	in, held := bufio.NewReader(os.Stdin), ""
	for {
		line, err := in.ReadBytes('\n')
		if err == io.EOF {
			break
		}
		r := &helperRequest{}
		if err := json.Unmarshal(line, r); err != nil {
			panic(err)
		}
		answer := fmt.Sprintf(`{"id":%q,"scores":[%s],"why":"more fields do no harm"}`+"\n", r.ID, r.scores())
		switch {
		case r.Problem == "wait":
			held, answer = answer, ""
		case r.Problem == "bad":
			answer = misbehave[mode](r)
		default:
			answer, held = answer+held, ""
		}
		fmt.Print(answer)
	}
	if mode == "stubborn" {
		time.Sleep(time.Hour)
	}
}
