package prm_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"

	"github.com/goprm/goprm/data"
	"github.com/goprm/goprm/prm"
)

// A model scores every step of a trajectory, from as many goroutines as there are.
func ExampleModel_Score() {
	dir := exampleModel() // a folder with config.json, model.safetensors and tokenizer.json
	defer func() { _ = os.RemoveAll(dir) }()
	model, err := prm.Open(dir, prm.OpenOptions{Format: "token_classification"})
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = model.Close() }()
	score, err := model.Score(context.Background(), &data.Trajectory{Problem: "What is 2+2?", Response: "Add them.\n\nIt is 4."})
	if err != nil {
		log.Fatal(err)
	}
	for _, step := range score.Steps {
		fmt.Println(step.Part, step.Start, step.End, step.Score > 0 && step.Score < 1)
	}
	fmt.Println(score.Reward == (score.Steps[0].Score+score.Steps[1].Score)/2)
	// Output:
	// response 0 9 true
	// response 11 19 true
	// true
}

// A search keeps the best of several next steps: each costs its own tokens, and the last few of the beginning that all have in common.
func ExampleModel_Session() {
	ctx := context.Background()
	dir := exampleModel() // a folder with config.json, model.safetensors and tokenizer.json
	defer func() { _ = os.RemoveAll(dir) }()
	model, err := prm.Open(dir, prm.OpenOptions{Format: "token_classification"})
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = model.Close() }()
	session, err := model.Session("A shelf holds 4 rows of 9 books; 5 are lent out. How many are left?")
	if err != nil {
		log.Fatal(err)
	}
	for _, choices := range [][]string{{"Multiply 4 by 9.", "Add 4 and 9."}, {"Take 5 away from it.", "Add 5 to it."}} {
		var best *prm.Session
		highest := math.Inf(-1)
		for _, step := range choices {
			next := session.Fork()
			score, err := next.Append(ctx, step)
			if err != nil {
				log.Fatal(err)
			}
			if last := score.Steps[len(score.Steps)-1].Score; last > highest {
				best, highest = next, last
			}
		}
		session = best
	}
	fmt.Println(len(session.Trajectory().Steps), "steps, more than half of the last text was known:", session.Reused() > session.Tokens()/2)
	// Output: 2 steps, more than half of the last text was known: true
}

// A program that may be given several kinds of folder asks what to do.
func ExampleAmbiguousFormatError() {
	dir := exampleModel()
	defer func() { _ = os.RemoveAll(dir) }()
	_, err := prm.Open(dir, prm.OpenOptions{})
	if several, ok := errors.AsType[*prm.AmbiguousFormatError](err); ok {
		fmt.Println("choose one of", several.Formats)
	}
	// Output: choose one of [token_classification pure]
}

// A server answers what reward clients of RL trainers ask; here by one request, without a network.
func ExampleNewServer() {
	dir := exampleModel()
	defer func() { _ = os.RemoveAll(dir) }()
	model, err := prm.Open(dir, prm.OpenOptions{Format: "token_classification"})
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = model.Close() }()
	server, err := prm.NewServer(model, prm.ServerOptions{})
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = server.Close() }()
	body := strings.NewReader(`{"problem": "What is 2+2?", "response": "Add them.\n\nIt is 4."}`)
	answer := httptest.NewRecorder()
	server.ServeHTTP(answer, httptest.NewRequest(http.MethodPost, "/v1/steps", body))
	var score struct {
		Steps []struct{ Score float64 }
	}
	if err := json.Unmarshal(answer.Body.Bytes(), &score); err != nil {
		log.Fatal(err)
	}
	fmt.Println(answer.Code, len(score.Steps))
	// Output: 200 2
}
