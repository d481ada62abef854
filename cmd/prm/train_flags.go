package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/goprm/goprm/prm"
)

// trainKeys are keys of the configuration, named by the tag key, that have a flag of their own. Each is nil if it is not given.
type trainKeys struct {
	Model     *string  `key:"model" name:"model" help:"Model folder to start from."`
	Data      []string `key:"data.train" name:"data" sep:"none" help:"Labelled trajectories to train on."`
	Eval      []string `key:"data.eval" name:"eval" sep:"none" help:"Trajectories to evaluate on; by default a share of problems is held out."`
	Out       *string  `key:"out" name:"out" help:"Run folder to make."`
	Train     *string  `key:"train" name:"train" help:"What is trained: head, lora (default) or full."`
	Steps     *int     `key:"optim.steps" name:"steps" help:"Optimizer steps; by default as many as the epochs need."`
	Epochs    *int     `key:"optim.epochs" name:"epochs" help:"Passes over the data; 1 by default."`
	LR        *float64 `key:"optim.lr" name:"lr" help:"Peak learning rate; 1e-4 by default. The head has its own, optim.head_lr."`
	BatchSize *int     `key:"batch.trajectories" name:"batch-size" help:"Trajectories of an optimizer step; 16 by default."`
	MaxTokens *int     `key:"text.max_tokens" name:"max-tokens" help:"Longest text in tokens; by default what the model was trained for."`
	Seed      *uint64  `key:"seed" name:"seed" help:"Seed of order, split and start; 1 by default."`
	Device    *string  `key:"device" name:"device" help:"Where to compute: auto (default), cpu or cuda:0."`
	Backend   *string  `key:"backend" name:"backend" help:"Which kernels: auto (default), portable, avx2, …"`
	DType     *string  `key:"dtype" name:"dtype" help:"Arithmetic: auto (default), f32, f64 or bf16."`
}

// assignment is a flag as --set has it.
type assignment struct{ flag, key, value string }

// assignments lists the flags that are given.
func (k trainKeys) assignments() ([]assignment, error) {
	var list []assignment
	v := reflect.ValueOf(k)
	for i := range v.NumField() {
		if v.Field(i).IsNil() {
			continue
		}
		value, err := json.Marshal(v.Field(i).Interface()) // JSON is YAML
		if err != nil {
			return nil, fmt.Errorf("--%s: %w", v.Type().Field(i).Tag.Get("name"), err)
		}
		tag := v.Type().Field(i).Tag
		list = append(list, assignment{"--" + tag.Get("name"), tag.Get("key"), string(value)})
	}
	return list, nil
}

// config reads the configuration: the file, if there is one, then flags, then --set. What a flag changes in a file is said.
func (c trainCommand) config(p *program) (prm.TrainConfig, error) {
	path, err := c.configFile()
	if err != nil {
		return prm.TrainConfig{}, err
	}
	flags, err := c.assignments()
	if err != nil {
		return prm.TrainConfig{}, usageError(err.Error())
	}
	var set []string
	for _, f := range flags {
		set = append(set, f.key+"="+f.value)
	}
	set = append(set, c.Set...)
	if path == "" && !c.PrintConfig && (c.Model == nil || c.Data == nil || c.Out == nil) && len(c.Set) == 0 {
		return prm.TrainConfig{}, usageError("it needs a configuration, --config FILE, or --model, --data and --out")
	}
	if path != "" && len(flags) > 0 {
		if err := c.sayOverrides(p, path, flags); err != nil {
			return prm.TrainConfig{}, err
		}
	}
	if c.PrintConfig {
		return prm.ReadTrainConfig(path, set)
	}
	return prm.LoadTrainConfig(path, set)
}

// configFile is --config, or the argument, which means the same.
func (c trainCommand) configFile() (string, error) {
	if c.Config != "" && c.File != "" {
		return "", usageError(fmt.Sprintf("both --config %s and %s are given", c.Config, c.File))
	}
	path := c.Config + c.File
	if info, err := os.Stat(path); path != "" && err == nil && info.IsDir() { // a run folder stands for its configuration
		path = filepath.Join(path, "config.yaml")
	}
	return path, nil
}

// sayOverrides tells which values of the file, or defaults, flags take the place of.
func (c trainCommand) sayOverrides(p *program, path string, flags []assignment) error {
	before, err := prm.ReadTrainConfig(path, nil)
	if err != nil {
		return err
	}
	text, err := before.YAML()
	if err != nil {
		return err
	}
	var config any
	if err := yaml.Unmarshal(text, &config); err != nil {
		return err
	}
	for _, f := range flags {
		tree := config
		for key := range strings.SplitSeq(f.key, ".") {
			section, _ := tree.(map[string]any)
			tree = section[key]
		}
		if old, err := json.Marshal(tree); err == nil && string(old) != f.value {
			p.console.Infof("%s: %s by %s, in place of %s in %s", f.key, f.value, f.flag, old, path)
		}
	}
	return nil
}
