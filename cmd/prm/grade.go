package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"

	"github.com/goprm/goprm/data"
	"github.com/goprm/goprm/data/grade"
)

type gradeCommand struct {
	Rows []string `arg:"" optional:"" help:"Rows to grade, as --in."`
	In   []string `sep:"none" help:"JSON lines of {\"gold\": ..., \"pred\": ...}, plain, .gz or .zst, a folder of them, - for stdin."`
	Out  string   `help:"File for the rows with their verdicts; stdout by default."`
	Gold *string  `help:"One gold answer, instead of --in."`
	Pred *string  `help:"The answer, or the text that ends with it, to compare with --gold."`
}

func (gradeCommand) Help() string {
	return "A line of output is the row with \"equal\" (true, false, or null if undecidable) and \"reason\". Examples:\n\n" +
		"  prm grade --in pairs.jsonl --out graded.jsonl\n  prm grade --gold '\\frac{1}{2}' --pred 'so it is $0.5$.'"
}

func (gradeCommand) watchesContext() {}

func (c gradeCommand) Run(p *program) error {
	c.In = append(c.In, c.Rows...)
	one := c.Gold != nil || c.Pred != nil
	switch {
	case one && len(c.In) > 0:
		return usageError("--in is not used with --gold and --pred")
	case one && (c.Gold == nil || c.Pred == nil):
		return usageError("--gold and --pred are given together")
	case !one && len(c.In) == 0:
		return usageError("--in, or --gold and --pred, is needed")
	}
	return p.output(c.Out, c.In, func(w io.Writer) error {
		if one {
			var row bytes.Buffer
			if err := jsonLines(&row).Encode(map[string]string{"gold": *c.Gold, "pred": *c.Pred}); err != nil {
				return err
			}
			return writeVerdict(w, row.Bytes(), grade.Equal(*c.Gold, *c.Pred))
		}
		return c.rows(p, w)
	})
}

func (c gradeCommand) rows(p *program, w io.Writer) error {
	counts := map[grade.Decision]int{}
	for line, err := range data.Lines(c.In, data.ReadOptions{Stdin: p.stdin}) {
		if p.ctx.Err() != nil {
			return errors.New("interrupted")
		}
		if err != nil {
			return err
		}
		decision, err := gradeRow(w, line.Text)
		if err != nil {
			return fmt.Errorf("%s:%d: %w", line.File, line.Number, err)
		}
		counts[decision]++
	}
	p.console.Infof("%d equal, %d different, %d undecided", counts[grade.Yes], counts[grade.No], counts[grade.Undecided])
	return nil
}

// gradeRow writes a row with its verdict.
func gradeRow(w io.Writer, row []byte) (grade.Decision, error) {
	switch {
	case !utf8.Valid(row):
		return 0, errors.New("not valid UTF-8")
	case loneSurrogate(row):
		return 0, errors.New("half of a surrogate pair (\\ud800 to \\udfff)")
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(row, &fields); err != nil {
		return 0, fmt.Errorf("not a JSON object: %w", err)
	}
	gold, err := answerField(fields, "gold")
	if err != nil {
		return 0, err
	}
	pred, err := answerField(fields, "pred")
	if err != nil {
		return 0, err
	}
	v := grade.Equal(gold, pred)
	before := len(fields)
	delete(fields, "equal")
	delete(fields, "reason")
	if len(fields) != before { // an older verdict is replaced
		var line bytes.Buffer
		if err := jsonLines(&line).Encode(fields); err != nil {
			return 0, err
		}
		row = line.Bytes()
	}
	return v.Equal, writeVerdict(w, row, v)
}

// answerField is a field's text; a number or a truth value counts as written, null as no text.
func answerField(fields map[string]json.RawMessage, name string) (string, error) {
	raw, ok := fields[name]
	if !ok {
		return "", fmt.Errorf("no %q", name)
	}
	switch raw[0] {
	case '"':
		var s string
		err := json.Unmarshal(raw, &s)
		return s, err
	case '{', '[':
		return "", fmt.Errorf("%s: text is needed, not a list or an object", name)
	case 'n':
		return "", nil
	}
	return string(raw), nil
}

// writeVerdict adds a verdict at the end of a JSON object, whose other fields stay as they are.
func writeVerdict(w io.Writer, row []byte, v grade.Verdict) error {
	verdict := struct {
		Equal  *bool  `json:"equal"`
		Reason string `json:"reason"`
	}{Reason: v.Reason}
	if v.Equal != grade.Undecided {
		verdict.Equal = new(bool)
		*verdict.Equal = v.Equal == grade.Yes
	}
	var line bytes.Buffer
	if err := jsonLines(&line).Encode(verdict); err != nil {
		return err
	}
	row = bytes.TrimSuffix(bytes.TrimSpace(row), []byte("}")) // gold and pred are in it, so it is not empty
	_, err := w.Write(append(append(bytes.Clone(row), ','), line.Bytes()[1:]...))
	return err
}
