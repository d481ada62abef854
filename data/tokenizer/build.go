package tokenizer

import (
	"encoding/json"
	"fmt"
	"strings"
)

// Bytes returns a tokenizer.json that Open can read: NFC, Qwen2's pre-tokenizer, a token for each byte (id = byte),
// one for each merge in the order given, then the added tokens. A merge is written as in tokenizer.json, "a b" in
// GPT-2's byte alphabet ("Ġ" is the space), of tokens that exist by then.
func Bytes(merges, added []string) ([]byte, error) {
	vocab := make(map[string]int, 256+len(merges))
	for b, r := range byteRune {
		vocab[string(r)] = b
	}
	for i, m := range merges {
		left, right, ok := strings.Cut(m, " ")
		_, okLeft := vocab[left]
		_, okRight := vocab[right]
		if !ok || !okLeft || !okRight {
			return nil, fmt.Errorf("merge %d: %q is not two tokens that exist by then, with a space between", i, m)
		}
		if _, there := vocab[left+right]; !there {
			vocab[left+right] = len(vocab)
		}
	}
	type object = map[string]any
	tokens := make([]object, len(added))
	for i, content := range added {
		tokens[i] = object{
			"id": len(vocab) + i, "content": content, "special": true,
			"single_word": false, "lstrip": false, "rstrip": false, "normalized": false,
		}
	}
	byteLevel := object{"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": false, "use_regex": false}
	split := object{"type": "Split", "pattern": object{"Regex": patternQwen2}, "behavior": "Isolated", "invert": false}
	if merges == nil {
		merges = []string{} // null is no list
	}
	data, err := json.MarshalIndent(object{
		"version":        "1.0",
		"truncation":     nil,
		"padding":        nil,
		"added_tokens":   tokens,
		"normalizer":     object{"type": "NFC"},
		"pre_tokenizer":  object{"type": "Sequence", "pretokenizers": []object{split, byteLevel}},
		"post_processor": nil,
		"decoder":        byteLevel,
		"model": object{
			"type": "BPE", "dropout": nil, "unk_token": nil, "continuing_subword_prefix": "", "end_of_word_suffix": "",
			"fuse_unk": false, "byte_fallback": false, "ignore_merges": false, "vocab": vocab, "merges": merges,
		},
	}, "", "  ")
	if err != nil {
		return nil, err
	}
	if _, err := parse(data); err != nil {
		return nil, err
	}
	return data, nil
}
