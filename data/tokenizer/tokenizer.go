// Package tokenizer turns text into token ids and back, as a Hugging Face tokenizer.json says.
//
// It reads the byte-level BPE of GPT-2 and its descendants (Qwen2, 2.5 and 3, Llama 3, SmolLM2), the BPE that SentencePiece made
// for Llama 2 and Mistral and, for sentence encoders, the WordPiece of BERT (OpenWordPiece, which does add the special tokens). Everything
// comes from the file: which added tokens there are, how text is normalised and split, which pairs merge.
// What the file asks for and this package does not know is refused by name, never approximated.
//
// Ids are raw: the truncation, padding and post_processor entries of the file are read and not applied, so
// no token is added, dropped or cut off.
package tokenizer

import (
	"fmt"
	"math"
	"strings"
	"sync"
	"sync/atomic"
	"unicode/utf8"

	textunicode "golang.org/x/text/encoding/unicode"
)

// Tokenizer turns text into token ids and back. Its methods may be called from several goroutines.
type Tokenizer interface {
	// Encode returns the ids of text and, for each token, the byte offset in text just past the token's last
	// byte (ends[i] <= ends[i+1], the last one is len(text)). A token may end inside a character. A token that
	// ends inside characters which the normalizer rewrote ends, in text, where those characters do.
	//
	// Added tokens are recognised in the text; none are added. Invalid UTF-8 is an error naming the byte offset.
	Encode(text string) (ids []int32, ends []int, err error)

	// Decode returns the text of ids, with added tokens as they are written. Token bytes that do not add up to
	// UTF-8 become U+FFFD, one for each longest piece of a character. An id that is no token is an error.
	Decode(ids []int32) (string, error)

	// ID returns the id of an added token or of a vocabulary entry, by its content as written in tokenizer.json.
	ID(token string) (int32, bool)

	// Token returns the content, as written in tokenizer.json, of an id.
	Token(id int32) (string, bool)

	// Size is 1 + the largest id. Ids below it may be unused.
	Size() int
}

// Open reads a tokenizer.json, or the one in a folder. The build tag hf_tokenizers puts Hugging Face's Rust library behind
// the Tokenizer; Implementation says which one is compiled in. Ids, offsets, texts and errors are the same.
func Open(path string) (Tokenizer, error) {
	f, err := readFile(path, nil)
	if err != nil {
		return nil, err
	}
	return implement(f)
}

// OneToken returns the id of text if it encodes to exactly one token.
func OneToken(t Tokenizer, text string) (int32, bool, error) {
	ids, _, err := t.Encode(text)
	if err != nil || len(ids) != 1 {
		return 0, false, err
	}
	return ids[0], true, nil
}

// bpe is the tokenizer in Go.
type bpe struct {
	opened string // what Open was given
	*vocabulary
	raw        *matcher   // added tokens to be found in the text as given
	normalized *matcher   // added tokens to be found in the normalised text
	nfc        bool       // normalise
	marks      *marking   // spaces have a mark of their own
	stages     []splitter // each cuts the pieces of the one before it
	*merges

	cache    wordCache
	encoders sync.Pool // of *encoder
}

func newBPE(f *file) *bpe {
	return &bpe{
		opened:     f.opened,
		vocabulary: f.vocabulary, raw: f.raw, normalized: f.normalized, nfc: f.nfc, marks: f.marks, stages: f.stages, merges: f.merges,
		cache:    newWordCache(),
		encoders: sync.Pool{New: func() any { return new(encoder) }},
	}
}

// source is what Open was given.
func (t *bpe) source() string { return t.opened }

// encoder holds the state of one call of Encode.
type encoder struct {
	ids  []int32
	ends []int
	work mergeWork
	err  error
}

func (e *encoder) add(id int32, end int) {
	e.ids = append(e.ids, id)
	e.ends = append(e.ends, end)
}

func (t *bpe) Encode(text string) ([]int32, []int, error) {
	if err := checkText(text); err != nil {
		return nil, nil, err
	}
	e := t.encoders.Get().(*encoder)
	defer func() {
		e.ids, e.ends, e.err = nil, nil, nil
		e.work.trim()
		t.encoders.Put(e)
	}()
	e.ids = make([]int32, 0, len(text)/4+4)
	e.ends = make([]int, 0, len(text)/4+4)
	t.cut(e, text, func(text string, base int) { t.words(e, text, base, t.stages) })
	return e.ids, e.ends, e.err
}

// cut adds the added tokens of text and calls plain, which adds the others, for each stretch between two, normalised. Offsets are
// those in the normalised text when they are added and those in text when cut returns.
func (t *bpe) cut(e *encoder, text string, plain func(text string, base int)) {
	t.raw.split(text, func(id int32, start, end int) {
		if id >= 0 {
			e.add(id, end)
		} else {
			t.piece(e, text[start:end], start, plain)
		}
	})
}

// checkText refuses what has no ids: offsets are reported in bytes.
func checkText(text string) error {
	if len(text) > math.MaxInt32 {
		return fmt.Errorf("text of %d bytes: at most %d can be encoded at once", len(text), math.MaxInt32)
	}
	if utf8.ValidString(text) {
		return nil
	}
	for i := 0; i < len(text); {
		r, n := utf8.DecodeRuneInString(text[i:])
		if r == utf8.RuneError && n == 1 {
			return fmt.Errorf("invalid UTF-8 at byte %d (0x%02x)", i, text[i])
		}
		i += n
	}
	return nil
}

// piece cuts text between two added tokens that are looked for as given; it begins at offset base.
func (t *bpe) piece(e *encoder, text string, base int, plain func(text string, base int)) {
	norm := text
	var rewrites, marks []rewrite // text to NFC, and that to what has marks
	if t.nfc {
		norm, rewrites = nfc(text)
	}
	if t.marks != nil && !t.marks.late {
		norm, marks = t.marks.mark(norm, base == 0)
	}
	first := len(e.ends)
	t.normalized.split(norm, func(id int32, start, end int) {
		switch {
		case id >= 0:
			e.add(id, end)
		case t.marks != nil && t.marks.late:
			first := len(e.ends)
			marked, rewrites := t.marks.mark(norm[start:end], base+start == 0)
			plain(marked, 0)
			toOriginal(rewrites, start, e.ends[first:])
		default:
			plain(norm[start:end], start)
		}
	})
	toOriginal(marks, 0, e.ends[first:])
	toOriginal(rewrites, base, e.ends[first:])
}

// words cuts text by the stages and encodes each piece of the last one.
func (t *bpe) words(e *encoder, text string, base int, stages []splitter) {
	if len(stages) == 0 {
		t.word(e, text, base)
		return
	}
	for len(text) > 0 {
		n := stages[0](text)
		t.words(e, text[:n], base, stages[1:])
		text, base = text[n:], base+n
	}
}

func (t *bpe) word(e *encoder, word string, base int) {
	ids, slot := t.cache.get(word)
	if ids == nil {
		var err error
		if ids, err = t.merge(&e.work, word); err != nil {
			if e.err == nil {
				e.err = err
			}
			return
		}
		t.cache.put(slot, word, ids)
	}
	for _, id := range ids {
		base += len(t.bytes[id])
		e.add(id, base)
	}
}

func (t *bpe) Decode(ids []int32) (string, error) {
	if t.marks != nil {
		return t.decodeSPM(ids)
	}
	text, err := t.joined(ids)
	if err != nil || utf8.ValidString(text) {
		return text, err
	}
	return textunicode.UTF8.NewDecoder().String(text)
}

// wordCache remembers the ids of short words: a table where a word has one slot and the last one put there stays.
// Its size is bounded, and any number of goroutines may use it.
type wordCache struct {
	slots []atomic.Pointer[cachedWord]
}

type cachedWord struct {
	word string
	ids  []int32
}

const (
	cacheSlots   = 1 << 15
	cacheMaxWord = 64 // bytes
)

func newWordCache() wordCache {
	return wordCache{slots: make([]atomic.Pointer[cachedWord], cacheSlots)}
}

// get returns the ids of a word, or nil, and where to put them: -1 for a word too long to remember.
func (c *wordCache) get(word string) ([]int32, int) {
	if len(word) > cacheMaxWord {
		return nil, -1
	}
	h := uint64(14695981039346656037) // FNV-1a
	for i := range len(word) {
		h = (h ^ uint64(word[i])) * 1099511628211
	}
	slot := int((h ^ h>>32) % cacheSlots)
	if w := c.slots[slot].Load(); w != nil && w.word == word {
		return w.ids, slot
	}
	return nil, slot
}

// put copies both, since word is part of the caller's text and ids belong to the encoder.
func (c *wordCache) put(slot int, word string, ids []int32) {
	if slot >= 0 {
		c.slots[slot].Store(&cachedWord{strings.Clone(word), append([]int32(nil), ids...)})
	}
}
