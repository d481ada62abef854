//go:build hf_tokenizers

package tokenizer

import (
	"fmt"
	"runtime"
	"slices"
	"strings"

	daulet "github.com/daulet/tokenizers"
)

// Implementation names what encodes and decodes for Open's tokenizers: this package, or the module that the build tag hf_tokenizers
// puts in its place.
const Implementation = "github.com/daulet/tokenizers"

// hf encodes and decodes by Hugging Face's Rust library. The file is read in Go first, so what Open refuses without the build tag is
// refused with it, in the same words; offsets and contents come from that reading. OpenWordPiece is in Go under the tag too.
//
// Characters from after Unicode 9, the version of the library's tables, may normalise or split differently there and here; where they
// normalise differently, ends are whole characters.
// The library's binding takes and gives C strings: a text with the byte 0, and ids whose text has it, are left to the Go implementation.
// Where an added token has lstrip, the library's time grows with the square of the white space before it.
type hf struct {
	*bpe
	rust *daulet.Tokenizer // freed once the hf is unreachable
}

func implement(f *file) (Tokenizer, error) {
	data, err := forLibrary(f.data)
	if err != nil {
		return nil, fmt.Errorf("tokenizer: %s: %w", f.path, err)
	}
	rust, err := daulet.FromBytes(data)
	if err != nil {
		return nil, fmt.Errorf("tokenizer: %s: %s", f.path, shortened(err))
	}
	t := &hf{newBPE(f), rust}
	runtime.AddCleanup(t, func(r *daulet.Tokenizer) { _ = r.Close() }, rust)
	return t, nil
}

func (t *hf) Encode(text string) ([]int32, []int, error) {
	defer runtime.KeepAlive(t)
	if err := checkText(text); err != nil {
		return nil, nil, err
	}
	if strings.IndexByte(text, 0) >= 0 {
		return t.bpe.Encode(text)
	}
	found := t.rust.EncodeWithOptions(text, false, daulet.WithReturnOffsets())
	ids := make([]int32, len(found.IDs))
	for i, id := range found.IDs {
		ids[i] = int32(id)
	}
	if ends, ok := t.ends(text, ids); ok {
		return ids, ends, nil
	}
	// The library leaves out, or replaces, what the vocabulary has no token for.
	own, _, err := t.bpe.Encode(text)
	if err != nil {
		return nil, nil, err
	}
	if len(ids) == 0 && len(own) > 0 {
		return nil, nil, fmt.Errorf("%s gives no token for a text of %d bytes", Implementation, len(text))
	}
	return ids, wholeCharacters(found.Offsets, len(text)), nil
}

// ends finds where tokens end: they are the added tokens and the normalised text between those, byte for byte. false: they are not,
// which happens where a later version of Unicode than the library's normalises a character otherwise.
func (t *hf) ends(text string, ids []int32) ([]int, bool) {
	e := &encoder{ids: make([]int32, 0, len(ids)), ends: make([]int, 0, len(ids))}
	same := true
	t.cut(e, text, func(text string, base int) {
		for same && text != "" {
			next := ids[min(len(e.ids), len(ids)):]
			same = len(next) > 0 && int(next[0]) < t.Size() && strings.HasPrefix(text, t.bytes[next[0]])
			if same {
				size := len(t.bytes[next[0]])
				text, base = text[size:], base+size
				e.add(next[0], base)
			}
		}
	})
	return e.ends, same && slices.Equal(e.ids, ids)
}

// wholeCharacters gives the ends that the library knows: a token that ends inside a character ends where the character does.
func wholeCharacters(offsets []daulet.Offset, size int) []int {
	ends := make([]int, len(offsets))
	last := 0
	for i := range offsets {
		// Characters that normalisation removed belong to no token's offsets; they count for the token before them.
		end := size
		if i+1 < len(offsets) {
			end = max(int(offsets[i][1]), int(offsets[i+1][0]))
		}
		last = max(last, end)
		ends[i] = last
	}
	return ends
}

func (t *hf) Decode(ids []int32) (string, error) {
	defer runtime.KeepAlive(t)
	text, err := t.joined(ids)
	if err != nil {
		return "", err
	}
	if strings.IndexByte(text, 0) >= 0 || t.marks != nil && slices.ContainsFunc(ids, t.rewritten) {
		return t.bpe.Decode(ids)
	}
	var b strings.Builder
	var run []uint32
	flush := func() {
		b.WriteString(t.rust.Decode(run, false))
		run = run[:0]
	}
	for _, id := range ids {
		if t.marks != nil || !t.isAdded(id) {
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

// rewritten reports whether id is an added token that normalisation changes. The module's version of the library decodes it as
// written in the file, later versions as normalised.
func (t *hf) rewritten(id int32) bool { return t.isAdded(id) && t.bytes[id] != t.content[id] }
