//go:build hf_tokenizers

package tokenizer

import (
	"encoding/json"
	"errors"
)

// forLibrary writes a file that has been checked anew, so that the library reads every file that Open reads: without the entries
// that Encode does not apply, and with what older files leave out and the library demands.
func forLibrary(data []byte) ([]byte, error) {
	var j fileJSON
	var m modelJSON
	err := strict(data, &j)
	if err == nil {
		err = strict(j.Model, &m)
	}
	if err != nil {
		return nil, err
	}
	// unk_token and fuse_unk are left out: Encode refuses a text that would need them.
	file := map[string]any{
		"version":      j.Version,
		"added_tokens": append([]addedToken{}, j.AddedTokens...),
		"model": map[string]any{
			"type": "BPE", "byte_fallback": m.ByteFallback, "ignore_merges": m.IgnoreMerges,
			"vocab": m.Vocab.ids, "merges": append(mergeJSON{}, m.Merges...),
		},
	}
	for key, raw := range map[string]json.RawMessage{"normalizer": j.Normalizer, "pre_tokenizer": j.PreTokenizer, "decoder": j.Decoder} {
		var part any
		if !absent(raw) {
			err = errors.Join(err, json.Unmarshal(raw, &part))
		}
		writeDefaults(part)
		file[key] = part
	}
	if err != nil {
		return nil, err
	}
	if m, stages, err := metaspace(j.PreTokenizer); err == nil { // it has schemes now, and had a flag before
		file["pre_tokenizer"] = map[string]any{
			"type": "Metaspace", "replacement": blankMark, "prepend_scheme": m.prepend, "split": stages != nil,
		}
	}
	return json.Marshal(file)
}

// partDefaults are the values that Open takes for missing keys that the library demands, by type.
var partDefaults = map[string]map[string]any{
	"ByteLevel": {"trim_offsets": true, "use_regex": true},
	"Split":     {"invert": false},
	"Digits":    {"individual_digits": false},
	"Strip":     {"stop": 0},
}

// writeDefaults completes a normalizer, pre_tokenizer or decoder and the parts of a Sequence.
func writeDefaults(part any) {
	switch part := part.(type) {
	case []any:
		for _, p := range part {
			writeDefaults(p)
		}
	case map[string]any:
		kind, _ := part["type"].(string)
		for key, value := range partDefaults[kind] {
			if part[key] == nil {
				part[key] = value
			}
		}
		for _, p := range part {
			writeDefaults(p)
		}
	}
}
