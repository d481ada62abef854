//go:build hf_tokenizers

package tokenizer

import (
	"encoding/json"
	"fmt"
	"runtime"
	"strings"

	daulet "github.com/daulet/tokenizers"
)

// hf encodes and decodes by Hugging Face's Rust library. Everything else comes from our own reading of the file,
// so that what Open refuses is refused here too.
type hf struct {
	*vocabulary
	rust *daulet.Tokenizer
}

// OpenHF is Open, on Hugging Face's Rust library. Ids are those of Open. The library takes C strings, so a text
// that holds the byte 0 is refused; and its offsets know characters only: a token that ends inside a character ends,
// in ends, where the character does, and where normalisation changed the text ends may lie elsewhere inside the
// characters concerned than Open's.
func OpenHF(path string) (Tokenizer, error) {
	f, data, err := readFile(path)
	if err != nil {
		return nil, err
	}
	if data, err = withoutProcessing(data); err != nil {
		return nil, fmt.Errorf("tokenizer: %s: %w", path, err)
	}
	rust, err := daulet.FromBytes(data)
	if err != nil {
		return nil, fmt.Errorf("tokenizer: %s: %w", path, err)
	}
	t := &hf{f.vocabulary, rust}
	runtime.AddCleanup(t, func(r *daulet.Tokenizer) { _ = r.Close() }, rust)
	return t, nil
}

// withoutProcessing removes the entries that Encode does not apply: raw ids, offsets not trimmed.
func withoutProcessing(data []byte) ([]byte, error) {
	var j map[string]json.RawMessage
	if err := json.Unmarshal(data, &j); err != nil {
		return nil, err
	}
	for _, key := range []string{"truncation", "padding", "post_processor"} {
		j[key] = json.RawMessage("null")
	}
	return json.Marshal(j)
}

func (t *hf) Encode(text string) ([]int32, []int, error) {
	defer runtime.KeepAlive(t)
	if err := checkText(text); err != nil {
		return nil, nil, err
	}
	if i := strings.IndexByte(text, 0); i >= 0 {
		return nil, nil, fmt.Errorf("byte 0 at byte %d: the Rust library's binding ends the text there", i)
	}
	e := t.rust.EncodeWithOptions(text, false, daulet.WithReturnOffsets())
	ids, ends := make([]int32, len(e.IDs)), make([]int, len(e.IDs))
	for i, id := range e.IDs {
		ids[i] = int32(id)
		// Characters that normalisation removed belong to no token's offsets; they count for the token before them.
		end := len(text)
		if i+1 < len(e.Offsets) {
			end = max(int(e.Offsets[i][1]), int(e.Offsets[i+1][0]))
		}
		ends[i] = end
	}
	return ids, ends, nil
}

func (t *hf) Decode(ids []int32) (string, error) {
	defer runtime.KeepAlive(t)
	text, err := t.joined(ids)
	if err != nil {
		return "", err
	}
	if i := strings.IndexByte(text, 0); i >= 0 {
		return "", fmt.Errorf("byte 0 at byte %d: the Rust library's binding cannot return it", i)
	}
	var b strings.Builder
	var run []uint32
	flush := func() {
		b.WriteString(t.rust.Decode(run, false))
		run = run[:0]
	}
	for _, id := range ids {
		if !t.isAdded(id) {
			run = append(run, uint32(id))
			continue
		}
		// The library would read an added token that is not ASCII as GPT-2's byte alphabet.
		flush()
		b.WriteString(t.content[id])
	}
	flush()
	return b.String(), nil
}
