package data

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/goprm/goprm/internal/lfspointer"
	"github.com/goprm/goprm/internal/onekey"
)

// ModelText is what a model folder says about its text.
type ModelText struct {
	ChatTemplate string // Jinja source; empty if there is none
	// Special holds the special tokens that the folder names, by the names chat templates know: bos_token, eos_token, ...
	Special      map[string]string
	MaxPositions int    // the length the model was trained for (max_position_embeddings), 0 if not stated
	noTemplate   string // why there is no chat template, if the folder has some that do not count
}

// specialNames are the names under which transformers hands special tokens to a chat template.
var specialNames = []string{"bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"}

const maxConfigFile = 32 << 20

// ReadModelText reads a Hugging Face model folder: the chat template from chat_template.jinja, else from tokenizer_config.json (a text, or
// a list of named ones, of which "default" is taken); special tokens from tokenizer_config.json, else special_tokens_map.json; the trained
// length from
// config.json. Files that are absent are passed over.
func ReadModelText(dir string) (ModelText, error) {
	m := ModelText{Special: map[string]string{}}
	var config struct {
		MaxPositions *int `json:"max_position_embeddings"`
	}
	if err := readJSON(filepath.Join(dir, "config.json"), &config); err != nil {
		return m, err
	}
	if n := config.MaxPositions; n != nil {
		if *n <= 0 {
			return m, fmt.Errorf("%s: max_position_embeddings: %d is not positive", filepath.Join(dir, "config.json"), *n)
		}
		m.MaxPositions = *n
	}
	path := filepath.Join(dir, "tokenizer_config.json")
	fields := map[string]json.RawMessage{}
	if err := readJSON(path, &fields); err != nil {
		return m, err
	}
	more := map[string]json.RawMessage{}
	if err := readJSON(filepath.Join(dir, "special_tokens_map.json"), &more); err != nil {
		return m, err
	}
	for _, name := range specialNames {
		raw, ok := fields[name]
		if !ok {
			raw = more[name]
		}
		token, err := specialToken(raw)
		if err != nil {
			return m, fmt.Errorf("%s: %s: %w", path, name, err)
		}
		if token != "" {
			m.Special[name] = token
		}
	}
	source, err := readLimited(filepath.Join(dir, "chat_template.jinja"))
	if err == nil {
		m.ChatTemplate = string(source)
		return m, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return m, err
	}
	if m.ChatTemplate, err = templateField(fields["chat_template"]); errors.Is(err, errNoDefault) {
		m.noTemplate = fmt.Sprintf("%s: chat_template: %v", path, err)
	} else if err != nil {
		return m, fmt.Errorf("%s: chat_template: %w", path, err)
	}
	return m, nil
}

// specialToken reads "<s>", {"content": "<s>", ...} or null.
func specialToken(raw json.RawMessage) (string, error) {
	if len(raw) == 0 || string(raw) == "null" {
		return "", nil
	}
	var text string
	if json.Unmarshal(raw, &text) == nil {
		return text, nil
	}
	var object struct {
		Content *string `json:"content"`
	}
	if json.Unmarshal(raw, &object) != nil || object.Content == nil {
		return "", errors.New("neither a string nor an object with a content")
	}
	return *object.Content, nil
}

var errNoDefault = errors.New(`none of the named templates is "default"`)

func templateField(raw json.RawMessage) (string, error) {
	if len(raw) == 0 || string(raw) == "null" {
		return "", nil
	}
	var text string
	if json.Unmarshal(raw, &text) == nil {
		return text, nil
	}
	var named []struct {
		Name     string `json:"name"`
		Template string `json:"template"`
	}
	if json.Unmarshal(raw, &named) != nil {
		return "", errors.New("neither a string nor a list of {name, template}")
	}
	for _, n := range slices.Backward(named) { // of two of one name transformers keeps the last
		if n.Name == "default" {
			return n.Template, nil
		}
	}
	return "", errNoDefault
}

// readJSON decodes a file and leaves into alone if there is none.
func readJSON(path string, into any) error {
	b, err := readLimited(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := onekey.Unmarshal(b, into); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

func readLimited(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(io.LimitReader(f, maxConfigFile+1))
	if err := errors.Join(err, f.Close()); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if len(b) > maxConfigFile {
		return nil, fmt.Errorf("%s: larger than %d bytes", path, maxConfigFile)
	}
	return b, lfspointer.Check(path, b)
}
