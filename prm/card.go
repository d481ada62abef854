package prm

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
)

// cardName is the file that makes a folder a goprm model, beside what Hugging Face's layout holds.
const cardName = "goprm.json"

// cardFormat changes whenever an older program would misread the folder.
const cardFormat = 1

// What of a model a folder holds; the rest comes from its base.
const (
	storesModel      = "model"      // everything
	storesAdapter    = "adapter"    // adapters and head
	storesHead       = "head"       // the head
	storesCheckpoint = "checkpoint" // what training has changed, with the optimiser's state
)

// card is goprm.json.
type card struct {
	Format  int              `json:"format"`
	Version string           `json:"version"` // of the program that wrote it
	Stores  string           `json:"stores"`
	Base    *baseRef         `json:"base,omitempty"` // unless Stores is model
	Trained string           `json:"trained"`        // head, lora or full
	Head    cardHead         `json:"head"`
	LoRA    *cardLoRA        `json:"lora,omitempty"`
	Text    data.TextOptions `json:"text"`
	// Parts lists what had labels in training: thinking, response, trajectory.
	Parts     []string `json:"parts"`
	Over      string   `json:"over"` // which parts the reward averages
	Alpha     float64  `json:"alpha"`
	Threshold float64  `json:"threshold"`
	// Tokenizer is the fingerprint of the program's own tokenizer that the model was trained with; "": the folder's files.
	Tokenizer string `json:"tokenizer,omitempty"`
	// StepMarkID is the token id of text.step_mark; absent where there is none.
	StepMarkID *int32 `json:"step_mark_id,omitempty"`
}

// baseRef names a folder by path and content.
type baseRef struct {
	Path   string `json:"path"`
	SHA256 string `json:"sha256"` // see hfmodel.Hash
}

type cardHead struct {
	Kind       string `json:"kind"`
	Activation string `json:"activation"`
	Final      string `json:"final"`
}

type cardLoRA struct {
	Rank    int      `json:"rank"`
	Alpha   float64  `json:"alpha"`
	Dropout float64  `json:"dropout,omitempty"` // while training
	Targets []string `json:"targets"`
	Layers  []int    `json:"layers"` // null: all
}

func (h cardHead) spec() nnet.HeadSpec {
	return nnet.HeadSpec{Kind: h.Kind, Activation: h.Activation, Final: h.Final}
}

func (l cardLoRA) spec() nnet.LoRASpec {
	return nnet.LoRASpec{Rank: l.Rank, Alpha: l.Alpha, Targets: l.Targets, Layers: l.Layers}
}

// readCard returns nil where the folder has no goprm.json.
func readCard(dir string) (*card, error) {
	path := filepath.Join(dir, cardName)
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
	c, err := parseCard(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return c, nil
}

func parseCard(text []byte) (*card, error) {
	var version struct {
		Format *int `json:"format"`
	}
	if err := json.Unmarshal(text, &version); err != nil {
		return nil, err
	}
	if version.Format == nil || *version.Format != cardFormat {
		return nil, fmt.Errorf("format %s: this program reads %d", cardVersion(version.Format), cardFormat)
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	var c card
	if err := decoder.Decode(&c); err != nil {
		return nil, err
	}
	if !slices.Contains([]string{storesModel, storesAdapter, storesHead, storesCheckpoint}, c.Stores) {
		return nil, fmt.Errorf("stores: %q is none of model, adapter, head, checkpoint", c.Stores)
	}
	if c.Stores != storesModel && (c.Base == nil || c.Base.Path == "") {
		return nil, fmt.Errorf("base: missing, though the folder stores only the %s", c.Stores)
	}
	if c.Stores == storesAdapter && c.LoRA == nil {
		return nil, errors.New("lora: missing, though the folder stores an adapter")
	}
	for _, part := range c.Parts {
		if !slices.Contains([]string{partThinking, partResponse, partTrajectory}, part) {
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

func (c *card) encode() ([]byte, error) {
	text, err := json.MarshalIndent(c, "", "  ")
	return append(text, '\n'), err
}

// Parts of a trajectory that can have labels.
const (
	partThinking   = "thinking"
	partResponse   = "response"
	partTrajectory = "trajectory"
)
