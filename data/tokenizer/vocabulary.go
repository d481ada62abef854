package tokenizer

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
)

// modelJSON is the model entry.
type modelJSON struct {
	Type                    *string   `json:"type"`
	Dropout                 *float64  `json:"dropout"`
	UnkToken                *string   `json:"unk_token"` // stands for what has no token; here that is an error
	ContinuingSubwordPrefix string    `json:"continuing_subword_prefix"`
	EndOfWordSuffix         string    `json:"end_of_word_suffix"`
	FuseUnk                 bool      `json:"fuse_unk"` // see UnkToken
	ByteFallback            bool      `json:"byte_fallback"`
	IgnoreMerges            bool      `json:"ignore_merges"`
	Vocab                   vocabJSON `json:"vocab"`
	Merges                  mergeJSON `json:"merges"`
}

// check refuses the kinds of BPE that are not byte-level.
func (m *modelJSON) check() error {
	switch {
	case m.Type != nil && *m.Type != "BPE": // files from before 2020 have no type
		return fmt.Errorf("type: %q is not known (known: BPE)", *m.Type)
	case m.Dropout != nil && *m.Dropout != 0:
		return fmt.Errorf("dropout: %v: ids must not be random", *m.Dropout)
	case m.ContinuingSubwordPrefix != "":
		return fmt.Errorf("continuing_subword_prefix: %q is not known", m.ContinuingSubwordPrefix)
	case m.EndOfWordSuffix != "":
		return fmt.Errorf("end_of_word_suffix: %q is not known", m.EndOfWordSuffix)
	case len(m.Vocab.ids) == 0:
		return errors.New("vocab: missing or empty")
	}
	return nil
}

// vocabJSON is an object of token: id. The same token or id twice is an error.
type vocabJSON struct{ ids map[string]int32 }

func (v *vocabJSON) UnmarshalJSON(data []byte) error {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	if open, err := dec.Token(); err != nil || open != json.Delim('{') {
		return errors.New("vocab: not an object of token: id")
	}
	v.ids = make(map[string]int32)
	for dec.More() {
		key, err := dec.Token()
		if err != nil {
			return fmt.Errorf("vocab: %w", err)
		}
		token := key.(string) // what an object's key is, or Token fails
		value, err := dec.Token()
		if err != nil {
			return fmt.Errorf("vocab: %w", err)
		}
		number, _ := value.(json.Number)
		id, err := number.Int64()
		if err != nil || id < 0 || id > math.MaxInt32 {
			return fmt.Errorf("vocab: the id of %q is %v, not a number from 0 to %d", token, value, math.MaxInt32)
		}
		if _, twice := v.ids[token]; twice {
			return fmt.Errorf("vocab: %q is there twice", token)
		}
		v.ids[token] = int32(id)
	}
	return nil
}

// mergeJSON is a list of pairs, each "a b" or ["a", "b"].
type mergeJSON [][2]string

func (m *mergeJSON) UnmarshalJSON(data []byte) error {
	dec := json.NewDecoder(bytes.NewReader(data))
	if open, err := dec.Token(); err != nil || open != json.Delim('[') {
		return errors.New("merges: not a list")
	}
	texts := false // the entries are texts
	for dec.More() {
		value, err := dec.Token()
		if err != nil {
			return fmt.Errorf("merges[%d]: %w", len(*m), err)
		}
		var left, right string
		ok := false
		_, isText := value.(string)
		switch value := value.(type) {
		case string:
			left, right, ok = strings.Cut(value, " ")
			ok = ok && !strings.Contains(right, " ")
		case json.Delim:
			left, right, ok = pair(dec)
		}
		if !ok || left == "" || right == "" {
			return fmt.Errorf(`merges[%d]: neither "a b" nor ["a", "b"]`, len(*m))
		}
		if len(*m) == 0 {
			texts = isText
		} else if texts != isText {
			return fmt.Errorf(`merges[%d]: "a b" and ["a", "b"] are mixed; every entry must be of one form`, len(*m))
		}
		*m = append(*m, [2]string{left, right})
	}
	return nil
}

// pair reads the rest of ["a", "b"].
func pair(dec *json.Decoder) (left, right string, ok bool) {
	var parts [3]json.Token
	for i := range parts {
		var err error
		if parts[i], err = dec.Token(); err != nil {
			return "", "", false
		}
	}
	left, okLeft := parts[0].(string)
	right, okRight := parts[1].(string)
	return left, right, okLeft && okRight && parts[2] == json.Delim(']')
}

// vocabulary knows tokens by id and by content.
type vocabulary struct {
	ids     map[string]int32 // of model.vocab
	added   map[string]int32
	content []string // by id, as written in the file; "": no such id
	bytes   []string // by id, what the token stands for in a text
}

// written gives what a token of the vocabulary stands for in a text.
func newVocabulary(ids map[string]int32, added []addedToken, written func(token string) string) (*vocabulary, error) {
	v := &vocabulary{ids: ids, added: make(map[string]int32, len(added))}
	// A file of a few bytes must not ask for gigabytes by one huge id.
	limit := int64(8*(len(ids)+len(added)) + 4096)
	largest := int32(0)
	for token, id := range ids {
		if int64(id) >= limit {
			return nil, fmt.Errorf("model.vocab: the id of %q is %d, out of proportion for %d entries", token, id, len(ids))
		}
		largest = max(largest, id)
	}
	for i := range added {
		a := &added[i]
		if a.ID == nil || *a.ID < 0 || *a.ID >= limit {
			return nil, fmt.Errorf("added_tokens[%d].id: missing or not from 0 to %d", i, limit-1)
		}
		if a.Content == nil || *a.Content == "" {
			return nil, fmt.Errorf("added_tokens[%d].content: missing or empty", i)
		}
		largest = max(largest, int32(*a.ID))
	}
	v.content, v.bytes = make([]string, largest+1), make([]string, largest+1)
	for token, id := range ids {
		if token == "" {
			return nil, fmt.Errorf("model.vocab: the token of id %d is empty", id)
		}
		if other := v.content[id]; other != "" {
			return nil, fmt.Errorf("model.vocab: %q and %q have the same id %d", min(token, other), max(token, other), id)
		}
		v.content[id], v.bytes[id] = token, written(token)
	}
	return v, v.addTokens(added)
}

// addTokens checks that ids are those that Hugging Face's reader gives, which goes by position rather than by what is
// written: the vocabulary's own id for a token it has, else the next free one. A file where the two differ has two meanings.
func (v *vocabulary) addTokens(added []addedToken) error {
	next := int32(len(v.ids))
	for i, a := range added {
		content, id := *a.Content, int32(*a.ID)
		if _, twice := v.added[content]; twice {
			return fmt.Errorf("added_tokens[%d].content: %q is there twice", i, content)
		}
		want, known := v.ids[content]
		if !known {
			want = next
		}
		if id != want {
			return fmt.Errorf("added_tokens[%d].id: %q has id %d, but other readers would give it %d", i, content, id, want)
		}
		if other := v.content[id]; other != "" && other != content {
			return fmt.Errorf("added_tokens[%d].id: %d is the id of %q too", i, id, other)
		}
		next = max(next, id+1)
		v.added[content] = id
		v.content[id], v.bytes[id] = content, content
	}
	return nil
}

func (v *vocabulary) ID(token string) (int32, bool) {
	if id, ok := v.added[token]; ok {
		return id, true
	}
	id, ok := v.ids[token]
	return id, ok
}

func (v *vocabulary) Token(id int32) (string, bool) {
	if id < 0 || int(id) >= len(v.content) || v.content[id] == "" {
		return "", false
	}
	return v.content[id], true
}

// isAdded reports whether an id of the vocabulary is that of an added token.
func (v *vocabulary) isAdded(id int32) bool {
	added, ok := v.added[v.content[id]]
	return ok && added == id
}

func (v *vocabulary) Size() int { return len(v.content) }

// joined returns the bytes of ids, which need not be UTF-8.
func (v *vocabulary) joined(ids []int32) (string, error) {
	var b strings.Builder
	for i, id := range ids {
		if _, ok := v.Token(id); !ok {
			return "", fmt.Errorf("ids[%d] = %d is no token (the vocabulary ends at %d)", i, id, v.Size()-1)
		}
		b.WriteString(v.bytes[id])
	}
	return b.String(), nil
}

// newMerges checks that each merge joins two tokens to a third.
func newMerges(ids map[string]int32, pairs mergeJSON, ignoreMerges bool) (*merges, error) {
	m := &merges{rank: make(map[uint64]int32, len(pairs)), result: make([]int32, len(pairs))}
	for b := range m.byteID {
		id, ok := ids[string(byteRune[b])]
		if !ok {
			id = -1
		}
		m.byteID[b] = id
	}
	for i, p := range pairs {
		left, okLeft := ids[p[0]]
		right, okRight := ids[p[1]]
		result, okResult := ids[p[0]+p[1]]
		if !okLeft || !okRight || !okResult {
			return nil, fmt.Errorf("merges[%d]: %q + %q: one of them or what they make is not in vocab", i, p[0], p[1])
		}
		key := pairKey(left, right)
		if _, twice := m.rank[key]; twice {
			return nil, fmt.Errorf("merges[%d]: %q + %q is there twice", i, p[0], p[1])
		}
		m.rank[key], m.result[i] = int32(i), result
	}
	if ignoreMerges {
		m.whole = make(map[string]int32, len(ids))
		for token, id := range ids {
			if word, ok := mappedBytes(token); ok {
				m.whole[word] = id
			}
		}
	}
	return m, nil
}

// newMatchers sorts the added tokens by the text they are looked for in: as given, or normalised.
func newMatchers(added []addedToken, normalize func(string) string) (raw, normalized *matcher, err error) {
	raw, normalized = newMatcher(), newMatcher()
	for i := range added {
		a := &added[i]
		m, content := raw, *a.Content
		if a.Normalized {
			m, content = normalized, normalize(content)
			if content == "" {
				return nil, nil, fmt.Errorf("%q: nothing is left of it when it is normalised", *a.Content)
			}
		}
		if err := m.add(content, a); err != nil {
			return nil, nil, err
		}
	}
	return raw, normalized, nil
}

// byteRune is GPT-2's alphabet: vocabularies write byte b as the character byteRune[b], itself where that is visible
// and alone, else one from U+0100 on. runeByte is its inverse.
var byteRune, runeByte = func() (of [256]rune, back map[rune]byte) {
	back = make(map[rune]byte, 256)
	spare := rune(0x100)
	for b := range of {
		r := rune(b)
		if r < '!' || (r > '~' && r < 0xa1) || r == 0xad {
			r = spare
			spare++
		}
		of[b], back[r] = r, byte(b)
	}
	return of, back
}()

// mappedBytes returns what a token written in GPT-2's alphabet stands for, false if it has other characters.
func mappedBytes(token string) (string, bool) {
	b := make([]byte, 0, len(token))
	for _, r := range token {
		c, ok := runeByte[r]
		if !ok {
			return "", false
		}
		b = append(b, c)
	}
	return string(b), true
}

// tokenBytes is mappedBytes, or the token itself, as Hugging Face's decoder does.
func tokenBytes(token string) string {
	for i := range len(token) {
		if token[i] < '!' || token[i] > '~' {
			if b, ok := mappedBytes(token); ok {
				return b
			}
			return token
		}
	}
	return token
}
