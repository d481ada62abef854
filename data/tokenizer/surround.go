package tokenizer

import (
	"encoding/json"
	"fmt"
)

// Surround returns the ids that a tokenizer.json's post_processor puts before and after a text where special tokens are asked for.
// path is the file, or the folder it lies in.
func Surround(path string) (before, after []int32, err error) {
	path, text, err := readBytes(path)
	if err != nil {
		return nil, nil, fmt.Errorf("tokenizer: %w", err)
	}
	var j struct {
		PostProcessor json.RawMessage `json:"post_processor"`
	}
	if err = json.Unmarshal(text, &j); err == nil {
		before, after, err = surround(j.PostProcessor)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("tokenizer: %s: post_processor%w", path, err)
	}
	return before, after, nil
}

func surround(raw json.RawMessage) (before, after []int32, err error) {
	if absent(raw) {
		return nil, nil, nil
	}
	var p struct {
		Type       string            `json:"type"`
		Processors []json.RawMessage `json:"processors"`
		Single     []struct {
			SpecialToken *struct {
				ID string `json:"id"`
			}
			Sequence *json.RawMessage
		} `json:"single"`
		SpecialTokens map[string]struct {
			IDs []int32 `json:"ids"`
		} `json:"special_tokens"`
	}
	if err := json.Unmarshal(raw, &p); err != nil {
		return nil, nil, fmt.Errorf(": %w", err)
	}
	switch p.Type {
	case "ByteLevel": // offsets only
		return nil, nil, nil
	case "Sequence":
		for i, part := range p.Processors {
			if err := refuseSequence(part); err != nil {
				return nil, nil, fmt.Errorf(".processors[%d]%w", i, err)
			}
			b, a, err := surround(part)
			if err != nil {
				return nil, nil, fmt.Errorf(".processors[%d]%w", i, err)
			}
			before, after = append(b, before...), append(after, a...)
		}
		return before, after, nil
	case "TemplateProcessing":
		to := &before
		for i, piece := range p.Single {
			if piece.SpecialToken == nil {
				to = &after
				continue
			}
			token, ok := p.SpecialTokens[piece.SpecialToken.ID]
			if !ok {
				return nil, nil, fmt.Errorf(".single[%d]: %q is none of special_tokens", i, piece.SpecialToken.ID)
			}
			*to = append(*to, token.IDs...)
		}
		return before, after, nil
	}
	return nil, nil, fmt.Errorf(".type: %q is not known (known: TemplateProcessing, ByteLevel, Sequence)", p.Type)
}
