package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
)

// Side is a program that is compared.
type Side struct {
	Name    string
	Modes   []string
	Bytes   map[string]float64 // of memory a parameter takes while scoring, by dtype; none: it does not have that dtype
	Startup float64            // seconds, about, of a process besides its steps at the shape 0.5b
	Rate    float64            // of the machine's peak, about, until something was measured
	Program string             // below the folder of the programs
	Command func(b *bench, c Case, steps int) []string
	Prepare func(b *bench, c Case) (file string, command []string, env []string) // nil: it reads the model folder
	Parse   func(out []byte) (Run, error)
	AVX2    []string // the dtypes that it computes in when told to do with AVX2
}

var trains, scores = []string{"score", "head", "lora", "full"}, []string{"score"}

// sides are the programs, in the order in which they run in each round.
func sides() []*Side {
	half := map[string]float64{"f32": 2, "bf16": 2, "int8": 3} // the model folder is bf16, and mapped
	whole := map[string]float64{"f32": 5, "bf16": 3, "int8": 5}
	gguf := map[string]float64{"f32": 4.2, "bf16": 2.2, "int8": 1.2}
	return []*Side{
		{Name: "goprm", Modes: trains, Bytes: half, Startup: 4, Rate: 0.6, Program: "prm", Command: ownCommand, Parse: parseOwn,
			AVX2: []string{"f32", "int8"}},
		torchSide("pytorch", "eager", trains, whole),
		torchSide("pytorch compiled", "compile", trains, without(whole, "int8")),
		torchSide("zentorch", "zentorch", scores, without(whole, "int8")),
		{Name: "openvino", Modes: scores, Bytes: map[string]float64{"f32": 6.5, "bf16": 5, "int8": 3}, Startup: 15, Rate: 0.3,
			Program: "torch/bin/python", Command: openvinoCommand, Prepare: openvinoModel, Parse: parseSeconds},
		{Name: "llama.cpp", Modes: scores, Bytes: gguf, Startup: 5, Rate: 0.3, Program: "llama.cpp/build/bin/llama-bench",
			Command: llamaCommand("llama.cpp"), Prepare: ggufModel, Parse: parseLlama},
		{Name: "ik_llama.cpp", Modes: scores, Bytes: gguf, Startup: 5, Rate: 0.3, Program: "ik_llama.cpp/build/bin/llama-bench",
			Command: llamaCommand("ik_llama.cpp", "-rtr", "1"), Prepare: ggufModel, Parse: parseLlama}, // -rtr: weights in its fast layout
	}
}

func without(m map[string]float64, key string) map[string]float64 {
	rest := map[string]float64{}
	for k, v := range m {
		if k != key {
			rest[k] = v
		}
	}
	return rest
}

func ownCommand(b *bench, c Case, steps int) []string {
	return append([]string{b.program("prm"), "--threads", strconv.Itoa(b.threads), "bench", b.model(c), "--mode", c.Mode, "--tokens",
		strconv.Itoa(c.Tokens), "--dtype", c.DType, "--steps", strconv.Itoa(steps), "--json"}, b.ownBackend()...)
}

// ownBackend are flags of prm bench.
func (b *bench) ownBackend() []string {
	if b.avx2 {
		return []string{"--backend", "avx2"}
	}
	return nil
}

func torchSide(name, engine string, modes []string, bytes map[string]float64) *Side {
	python, startup, avx2 := "torch/bin/python", 20.0, dtypes
	if engine != "eager" {
		startup, avx2 = 90, nil
	}
	if engine == "zentorch" {
		python = "zentorch/bin/python"
	}
	return &Side{Name: name, Modes: modes, Bytes: bytes, Startup: startup, Rate: 0.25, Program: python, Parse: parseSeconds,
		AVX2: avx2,
		Command: func(b *bench, c Case, steps int) []string {
			return []string{b.program(python), filepath.Join(b.scripts, "torch_side.py"), b.model(c), "--mode", c.Mode, "--dtype", c.DType,
				"--tokens", strconv.Itoa(c.Tokens), "--steps", strconv.Itoa(steps), "--threads", strconv.Itoa(b.threads), "--engine", engine}
		}}
}

// openvinoModel is converted once for each shape, and once more for int8.
func openvinoModel(b *bench, c Case) (string, []string, []string) {
	dtype := "f32"
	if c.DType == "int8" {
		dtype = c.DType
	}
	file := filepath.Join(b.model(c), "openvino-"+dtype+".xml")
	return file, []string{b.program("torch/bin/python"), filepath.Join(b.scripts, "openvino_side.py"), b.model(c), "--tokens", "128",
		"--dtype", dtype, "--convert", file}, nil
}

func openvinoCommand(b *bench, c Case, steps int) []string {
	file, _, _ := openvinoModel(b, c)
	return []string{b.program("torch/bin/python"), filepath.Join(b.scripts, "openvino_side.py"), file, "--dtype", c.DType, "--tokens",
		strconv.Itoa(c.Tokens), "--steps", strconv.Itoa(steps), "--threads", strconv.Itoa(b.threads)}
}

var ggufTypes = map[string]string{"f32": "f32", "bf16": "bf16", "int8": "q8_0"}

func ggufModel(b *bench, c Case) (string, []string, []string) {
	file := filepath.Join(b.model(c), ggufTypes[c.DType]+".gguf")
	return file, []string{b.program("torch/bin/python"), filepath.Join(b.scripts, "gguf_model.py"), b.model(c), file, ggufTypes[c.DType]},
		[]string{"PYTHONPATH=" + b.program("llama.cpp/gguf-py")}
}

// llamaCommand reads a prompt and generates nothing: logits of the last token alone. With -embd 1 llama.cpp computes the logits of all
// tokens besides, which no reward model needs.
func llamaCommand(name string, more ...string) func(b *bench, c Case, steps int) []string {
	return func(b *bench, c Case, steps int) []string {
		file, _, _ := ggufModel(b, c)
		return append([]string{b.program(name + "/build/bin/llama-bench"), "-m", file, "-p", strconv.Itoa(c.Tokens), "-n", "0", "-t",
			strconv.Itoa(b.threads), "-r", strconv.Itoa(steps), "-o", "json"}, more...)
	}
}

// first is what the first step computed, as prm bench and the scripts print it.
type first struct {
	Score    float64 `json:"score,omitempty"`
	Loss     float64 `json:"loss,omitempty"`
	GradNorm float64 `json:"grad_norm,omitempty"`
}

func parseOwn(out []byte) (Run, error) {
	var r struct {
		Seconds []float64 `json:"seconds"`
		First   first     `json:"first"`
		Peak    float64   `json:"peak_gflops"`
		Backend string    `json:"backend"`
	}
	if err := json.Unmarshal(out, &r); err != nil {
		return Run{}, err
	}
	return Run{Seconds: r.Seconds, First: r.First, Peak: r.Peak, Versions: map[string]string{"backend": r.Backend}}, nil
}

func parseSeconds(out []byte) (Run, error) {
	var r struct {
		Seconds  []float64         `json:"seconds"`
		First    first             `json:"first"`
		Versions map[string]string `json:"versions"`
	}
	if err := json.Unmarshal(lastLine(out), &r); err != nil {
		return Run{}, err
	}
	return Run{Seconds: r.Seconds, First: r.First, Versions: r.Versions}, nil
}

func parseLlama(out []byte) (Run, error) {
	var list []struct {
		Samples []float64 `json:"samples_ns"`
		Commit  string    `json:"build_commit"`
	}
	if err := json.Unmarshal(out, &list); err != nil {
		return Run{}, err
	}
	if len(list) != 1 {
		return Run{}, fmt.Errorf("llama-bench printed %d tests instead of one", len(list))
	}
	r := Run{Versions: map[string]string{"build": list[0].Commit}}
	for _, ns := range list[0].Samples {
		r.Seconds = append(r.Seconds, ns/1e9)
	}
	return r, nil
}

// absent is why a program is not there, "" if it is. The script that installs them leaves what failed beside it.
func (b *bench) absent(s *Side) string {
	if why, err := os.ReadFile(filepath.Join(b.programs, s.Name+".failed")); err == nil {
		return "not installed: " + string(lastLine(why))
	}
	if _, err := os.Stat(b.program(s.Program)); errors.Is(err, os.ErrNotExist) {
		return "not installed"
	}
	return ""
}
