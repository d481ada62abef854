package data

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// TextOptions say how a trajectory becomes text with read-outs: the "text" block of the training configuration, which is stored with the
// model.
type TextOptions struct {
	// Template is "model" (the model's chat template), "none" (problem, Join, text) or a literal in which {problem} stands for the problem;
	// nothing follows the text then.
	Template string `yaml:"template" json:"template"`
	// Split cuts thinking and response where steps are not given.
	Split string `yaml:"split" json:"split"`
	// ThinkTags are what opens and closes the thinking, or empty. They are left out where there is no thinking.
	ThinkTags []string `yaml:"think_tags" json:"think_tags"`
	// Order is "thinking_first" or "response_first".
	Order string `yaml:"order" json:"order"`
	// Join stands between problem and text with the template "none".
	Join string `yaml:"join" json:"join"`
	// Separator follows each step.
	Separator string `yaml:"separator" json:"separator"`
	// StepMark is a token that follows each step's separator, or "".
	StepMark string `yaml:"step_mark" json:"step_mark"`
	// Read is where a step is read: "last_token" (of the step with its separator) or "mark".
	Read string `yaml:"read" json:"read"`
	// Final is where the trajectory is read: "turn_end" (the token that closes the assistant's turn), "mark" (the last step's), "last_token"
	// (of the whole text), or "auto": turn_end where there is one, else last_token.
	Final string `yaml:"final" json:"final"`
	// Tokenize is "joined" (the text as a whole) or "pieces" (each step with its separator on its own, and what stands between them).
	Tokenize string `yaml:"tokenize" json:"tokenize"`
	// MaxTokens is the longest text; 0 means the length the model was trained for.
	MaxTokens int `yaml:"max_tokens" json:"max_tokens"`
	// Long is what becomes of longer ones: "error", "window" (read in several texts over whole steps), "truncate" (cut after the last
	// step that fits) or "drop".
	Long string `yaml:"long" json:"long"`
}

// DefaultText is the text block's defaults.
func DefaultText() TextOptions {
	return TextOptions{
		Template: "model", Split: "\n\n", ThinkTags: []string{"<think>\n", "</think>\n\n"}, Order: "thinking_first", Join: "\n\n",
		Separator: "\n\n", Read: "last_token", Final: "auto", Tokenize: "joined", Long: "error",
	}
}

const problemSlot = "{problem}"

// Validate checks everything that needs no model or tokenizer. Its errors name the key.
func (o TextOptions) Validate() error {
	for _, f := range append([]struct{ key, text string }{
		{"template", o.Template}, {"split", o.Split}, {"join", o.Join}, {"separator", o.Separator}, {"step_mark", o.StepMark},
	}, tagFields(o.ThinkTags)...) {
		if !utf8.ValidString(f.text) {
			return fmt.Errorf("text.%s: not valid UTF-8", f.key)
		}
	}
	literal := o.Template != "model" && o.Template != "none"
	if literal && !strings.Contains(o.Template, problemSlot) {
		return fmt.Errorf("text.template: %q is neither model nor none nor a text with %s", clip(o.Template, 60), problemSlot)
	}
	if n := len(o.ThinkTags); n != 0 && n != 2 {
		return fmt.Errorf("text.think_tags: %d tags; give two, or [] for none", n)
	}
	for _, f := range []struct {
		key, value string
		allowed    []string
	}{
		{"order", o.Order, []string{"thinking_first", "response_first"}},
		{"read", o.Read, []string{"last_token", "mark"}},
		{"final", o.Final, []string{"auto", "turn_end", "mark", "last_token"}},
		{"tokenize", o.Tokenize, []string{"joined", "pieces"}},
		{"long", o.Long, []string{"error", "window", "truncate", "drop"}},
	} {
		if err := oneOf("text."+f.key, f.value, f.allowed); err != nil {
			return err
		}
	}
	switch {
	case o.Read == "mark" && o.StepMark == "":
		return errors.New("text.read: mark needs text.step_mark")
	case o.Final == "mark" && o.StepMark == "":
		return errors.New("text.final: mark needs text.step_mark")
	case o.Final == "turn_end" && o.Template != "model":
		return errors.New("text.final: turn_end needs text.template: model, since nothing closes the turn with another template")
	case o.MaxTokens < 0:
		return fmt.Errorf("text.max_tokens: %d is negative", o.MaxTokens)
	}
	return nil
}

func tagFields(tags []string) []struct{ key, text string } {
	var fields []struct{ key, text string }
	for i, tag := range tags {
		fields = append(fields, struct{ key, text string }{fmt.Sprintf("think_tags[%d]", i), tag})
	}
	return fields
}

func oneOf(key, value string, allowed []string) error {
	for _, a := range allowed {
		if value == a {
			return nil
		}
	}
	return fmt.Errorf("%s: %q is none of %s", key, clip(value, 60), strings.Join(allowed, ", "))
}
