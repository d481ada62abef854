package hfmodel

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// TokenizerName is the tokenizer's file name in a model folder.
const TokenizerName = "tokenizer.json"

// TokenizerDescription is what a tokenizer.json says about itself; whether it can be used is for the tokenizer to say.
type TokenizerDescription struct {
	Model       string `json:"model"` // "BPE", "Unigram", "WordPiece" ...
	Vocabulary  int    `json:"vocabulary"`
	Merges      int    `json:"merges"`
	AddedTokens int    `json:"added_tokens"`
	LargestID   int    `json:"largest_id"`
}

func describeTokenizer(path string) (*TokenizerDescription, error) {
	text, err := readJSON(path)
	if err != nil {
		return nil, err
	}
	var document struct {
		AddedTokens []struct {
			ID int `json:"id"`
		} `json:"added_tokens"`
		Model struct {
			Type   string            `json:"type"`
			Vocab  json.RawMessage   `json:"vocab"`
			Merges []json.RawMessage `json:"merges"`
		} `json:"model"`
	}
	if err := json.Unmarshal(text, &document); err != nil {
		return nil, fmt.Errorf("%s: not a tokenizer: %w", path, err)
	}
	model := document.Model
	found := &TokenizerDescription{Model: model.Type, Merges: len(model.Merges), AddedTokens: len(document.AddedTokens), LargestID: -1}
	if bytes.HasPrefix(model.Vocab, []byte("[")) { // Unigram: pairs of piece and score, an id is the place
		var pieces []json.RawMessage
		err = json.Unmarshal(model.Vocab, &pieces)
		found.Vocabulary, found.LargestID = len(pieces), len(pieces)-1
	} else {
		var ids map[string]int
		err = json.Unmarshal(model.Vocab, &ids)
		found.Vocabulary = len(ids)
		for _, id := range ids {
			found.LargestID = max(found.LargestID, id)
		}
	}
	if len(model.Vocab) == 0 || err == nil && found.Vocabulary == 0 {
		return nil, fmt.Errorf("%s: not a tokenizer: model.vocab is missing or empty", path)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: model.vocab: %w", path, err)
	}
	for _, token := range document.AddedTokens {
		found.LargestID = max(found.LargestID, token.ID)
	}
	return found, nil
}
