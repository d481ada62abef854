package modelfolder

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/goprm/goprm/data"
	"github.com/goprm/goprm/internal/nnet"
	"github.com/goprm/goprm/internal/onekey"
)

// CardName is the file that makes a folder a goprm model, beside what Hugging Face's layout holds.
const CardName = "goprm.json"

// CardFormat changes whenever an older program would misread the folder.
const CardFormat = 1

// What of a model a folder holds; the rest comes from its base.
const (
	StoresModel      = "model"      // everything
	StoresAdapter    = "adapter"    // adapters and head
	StoresHead       = "head"       // the head
	StoresCheckpoint = "checkpoint" // what training has changed, with the optimizer's state
)

// Card is goprm.json.
type Card struct {
	Format  int    `json:"format"`
	Version string `json:"version"` // of the program that wrote it
	Stores  string `json:"stores"`
	Base    *Base  `json:"base,omitempty"` // unless Stores is model
	Trained string `json:"trained"`        // head, lora or full
	Head    Head   `json:"head"`
	// CustomHead: the head is an expression of the program that trained it, with the parameters that are stored as score.*.
	CustomHead bool             `json:"custom_head,omitempty"`
	LoRA       *LoRA            `json:"lora,omitempty"`
	Text       data.TextOptions `json:"text"`
	// Parts lists what had labels in training: thinking, response, trajectory.
	Parts     []string `json:"parts"`
	Over      string   `json:"over"` // which parts the reward averages
	Alpha     float64  `json:"alpha"`
	Threshold float64  `json:"threshold"`
	// Tokenizer is the fingerprint of the program's own tokenizer that the model was trained with; "": the folder's files.
	Tokenizer string `json:"tokenizer,omitempty"`
	// StepMarkID is the token id of text.step_mark; absent where there is none.
	StepMarkID *int32 `json:"step_mark_id,omitempty"`
	// SaveDType is the dtype that a checkpoint's weights have in a model folder: base, f32 or bf16; "": base.
	SaveDType string `json:"save_dtype,omitempty"`
	// Files are the SHA-256, in hex, of the folder's weights, by name; absent in folders of older versions and in checkpoints, whose
	// manifest has them.
	Files map[string]string `json:"files,omitempty"`
}

// Base names a folder by path and content.
type Base struct {
	Path   string `json:"path"`
	SHA256 string `json:"sha256"` // see hfmodel.Hash
}

type Head struct {
	Kind       string `json:"kind"`
	Activation string `json:"activation"`
	Final      string `json:"final"`
	// Labels name the classes of a two-class head, by class; absent: class 1 is the good one.
	Labels []string `json:"labels,omitempty"`
}

// classLabels are the names of a two-class head's classes, as it is trained and written; nil for other heads.
func classLabels(kind string) []string {
	if kind == nnet.LinearTwoClass || kind == nnet.TwoClassMLP {
		return []string{"incorrect", "correct"}
	}
	return nil
}

// HeadOf describes a head as it is written, with the names of its classes.
func HeadOf(s nnet.HeadSpec) Head {
	return Head{Kind: s.Kind, Activation: s.Activation, Final: s.Final, Labels: classLabels(s.Kind)}
}

type LoRA struct {
	Rank    int      `json:"rank"`
	Alpha   float64  `json:"alpha"`
	Dropout float64  `json:"dropout,omitempty"` // while training
	Targets []string `json:"targets"`
	Layers  []int    `json:"layers"` // null: all
}

func (h Head) Spec() nnet.HeadSpec {
	return nnet.HeadSpec{Kind: h.Kind, Activation: h.Activation, Final: h.Final}
}

func (l LoRA) Spec() nnet.LoRASpec {
	return nnet.LoRASpec{Rank: l.Rank, Alpha: l.Alpha, Targets: l.Targets, Layers: l.Layers}
}

// ReadCard returns nil where the folder has no goprm.json.
func ReadCard(dir string) (*Card, error) {
	path := filepath.Join(dir, CardName)
	const limit = 1 << 20
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > limit {
		return nil, fmt.Errorf("%s: not a regular file of at most %d bytes", path, limit)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	c, err := ParseCard(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return c, nil
}

func ParseCard(text []byte) (*Card, error) {
	var version struct {
		Format *int `json:"format"`
	}
	if err := onekey.Unmarshal(text, &version); err != nil {
		return nil, err
	}
	if version.Format == nil || *version.Format != CardFormat {
		return nil, fmt.Errorf("format %s: this program reads %d", cardVersion(version.Format), CardFormat)
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	var c Card
	if err := decoder.Decode(&c); err != nil {
		return nil, err
	}
	if !slices.Contains([]string{StoresModel, StoresAdapter, StoresHead, StoresCheckpoint}, c.Stores) {
		return nil, fmt.Errorf("stores: %q is none of model, adapter, head, checkpoint", c.Stores)
	}
	if c.Stores != StoresModel && (c.Base == nil || c.Base.Path == "") {
		return nil, fmt.Errorf("base: missing, though the folder stores only the %s", c.Stores)
	}
	if c.Stores == StoresAdapter && c.LoRA == nil {
		return nil, errors.New("lora: missing, though the folder stores an adapter")
	}
	for _, part := range c.Parts {
		if !slices.Contains([]string{PartThinking, PartResponse, PartTrajectory}, part) {
			return nil, fmt.Errorf("parts: %q is none of thinking, response, trajectory", part)
		}
	}
	return &c, nil
}

func cardVersion(format *int) string {
	if format == nil {
		return "missing"
	}
	return fmt.Sprint(*format)
}

func (c *Card) Encode() ([]byte, error) {
	text, err := json.MarshalIndent(c, "", "  ")
	return append(text, '\n'), err
}

// Parts of a trajectory that can have labels.
const (
	PartThinking   = "thinking"
	PartResponse   = "response"
	PartTrajectory = "trajectory"
)
