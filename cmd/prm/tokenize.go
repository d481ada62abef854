package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"unicode/utf8"

	"github.com/goprm/goprm/data"
	"github.com/goprm/goprm/data/tokenizer"
	"github.com/goprm/goprm/internal/hfmodel"
)

type tokenizeCommand struct {
	Tokenizer string `required:"" help:"tokenizer.json, or a folder that holds one."`
	In        string `required:"" help:"JSON lines of {\"text\": ...}; plain, .gz or .zst, - for stdin."`
	Out       string `help:"File for the {\"ids\": [...]} lines; stdout by default."`
}

func (tokenizeCommand) Help() string {
	return "Added tokens are recognised in the text and none are added. Example:\n\n" +
		"  prm tokenize --tokenizer model/ --in texts.jsonl --out ids.jsonl"
}

func (c tokenizeCommand) Run(p *program) error {
	path := c.Tokenizer
	if info, err := os.Stat(path); err != nil || info.IsDir() {
		if path, err = hfmodel.Resolve(path); err != nil {
			return err
		}
	}
	t, err := tokenizer.Open(path)
	if err != nil {
		return err
	}
	return p.output(c.Out, []string{c.In}, func(w io.Writer) error {
		lines := jsonLines(w)
		for line, err := range data.Lines([]string{c.In}, data.ReadOptions{Stdin: p.stdin}) {
			if p.ctx.Err() != nil {
				return errors.New("interrupted")
			}
			if err != nil {
				return err
			}
			ids, err := encode(t, line.Text)
			if err != nil {
				return fmt.Errorf("%s:%d: %w", line.File, line.Number, err)
			}
			if err := lines.Encode(map[string][]int32{"ids": ids}); err != nil {
				return err
			}
		}
		return nil
	})
}

// encode returns the ids of a row's text, an empty list for an empty text.
func encode(t tokenizer.Tokenizer, row []byte) ([]int32, error) {
	switch {
	case !utf8.Valid(row):
		return nil, errors.New("not valid UTF-8")
	case loneSurrogate(row):
		return nil, errors.New("half of a surrogate pair (\\ud800 to \\udfff)")
	}
	var fields map[string]json.RawMessage // names are matched exactly, unlike a struct's
	if err := json.Unmarshal(row, &fields); err != nil {
		return nil, fmt.Errorf("not a JSON object: %w", err)
	}
	var text *string
	if raw, ok := fields["text"]; ok {
		if err := json.Unmarshal(raw, &text); err != nil {
			return nil, fmt.Errorf("text: %w", err)
		}
	}
	if text == nil {
		return nil, errors.New("no \"text\"")
	}
	ids, _, err := t.Encode(*text)
	if ids == nil {
		ids = []int32{}
	}
	return ids, err
}

var (
	surrogatePair = regexp.MustCompile(`(?i)\\ud[89ab][0-9a-f]{2}\\ud[c-f][0-9a-f]{2}`)
	surrogate     = regexp.MustCompile(`(?i)\\ud[89a-f][0-9a-f]{2}`)
)

// loneSurrogate finds escapes that stand for no character, which encoding/json would replace silently.
func loneSurrogate(row []byte) bool {
	if !bytes.Contains(row, []byte(`\u`)) {
		return false
	}
	escapes := bytes.ReplaceAll(row, []byte(`\\`), []byte(" ")) // escaped backslashes begin no escape
	return surrogate.Match(surrogatePair.ReplaceAll(escapes, []byte(" ")))
}
