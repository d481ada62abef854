package tokenizer

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// blankMark is what SentencePiece's vocabularies write for a space.
const blankMark = "▁"

// marking is how a vocabulary made by SentencePiece sees text (Llama 2, Mistral): a space is blankMark, one is put before the text,
// characters that no token has are spelled in bytes (<0x0A>).
type marking struct {
	late    bool   // done to what lies between all added tokens (Metaspace), else before the normalized ones are looked for (normalizer)
	prepend string // always, first (at the beginning of the whole text) or never
	absent  bool   // prepended only where the text does not begin with a mark already
}

// mark rewrites a stretch of text; atStart tells whether it begins the whole text.
func (m *marking) mark(text string, atStart bool) (string, []rewrite) {
	var b strings.Builder
	var rewrites []rewrite
	if m.prepend == "always" || m.prepend == "first" && atStart {
		if !m.absent || text[0] != ' ' && !strings.HasPrefix(text, blankMark) {
			b.WriteString(blankMark)
			rewrites = append(rewrites, rewrite{0, len(blankMark), 0, 0})
		}
	}
	for i := range len(text) {
		if text[i] != ' ' {
			b.WriteByte(text[i])
			continue
		}
		rewrites = append(rewrites, rewrite{b.Len(), b.Len() + len(blankMark), i, i + 1})
		b.WriteString(blankMark)
	}
	return b.String(), rewrites
}

// splitMarks begins a piece at every mark.
func splitMarks(text string) int {
	_, first := utf8.DecodeRuneInString(text)
	if at := strings.Index(text[first:], blankMark); at >= 0 {
		return first + at
	}
	return len(text)
}

// byteToken is the byte that a token like <0x0A> stands for.
func byteToken(token string) (byte, bool) {
	var b byte
	if len(token) != 6 || token[:3] != "<0x" || token[5] != '>' {
		return 0, false
	}
	for _, c := range []byte(token[3:5]) {
		switch {
		case '0' <= c && c <= '9':
			b = b<<4 | (c - '0')
		case 'A' <= c && c <= 'F':
			b = b<<4 | (c - 'A' + 10)
		default:
			return 0, false
		}
	}
	return b, true
}

// parseSPM reads a file whose model spells in bytes: its normalizer, pre_tokenizer and decoder.
func (f *file) parseSPM(j *fileJSON) (err error) {
	if f.marks, f.nfc, err = markingNormalizer(j.Normalizer); err != nil {
		return fmt.Errorf("normalizer%w", err)
	}
	if !absent(j.PreTokenizer) {
		if f.marks != nil {
			return errors.New("pre_tokenizer: there besides a normalizer that marks spaces")
		}
		if f.marks, f.stages, err = metaspace(j.PreTokenizer); err != nil {
			return fmt.Errorf("pre_tokenizer%w", err)
		}
	}
	if f.marks == nil {
		return errors.New("normalizer: neither it nor pre_tokenizer marks spaces, as a vocabulary with byte_fallback needs")
	}
	if err := spmDecoder(j.Decoder); err != nil {
		return fmt.Errorf("decoder%w", err)
	}
	return nil
}

// parts of a Sequence, or the one thing itself.
func parts(raw json.RawMessage, key string) ([]json.RawMessage, error) {
	kind, err := typeOf(raw)
	if err != nil || kind != "Sequence" {
		return []json.RawMessage{raw}, err
	}
	var sequence map[string]json.RawMessage
	var list []json.RawMessage
	if err = json.Unmarshal(raw, &sequence); err == nil {
		err = json.Unmarshal(sequence[key], &list)
	}
	for name := range sequence {
		if name != "type" && name != key {
			return nil, fmt.Errorf(": key %q is not known", name)
		}
	}
	if err != nil {
		return nil, fmt.Errorf(".%s: %w", key, err)
	}
	return list, nil
}

// markJSON holds the fields of every part that is known here.
type markJSON struct {
	Type    string      `json:"type"`
	Prepend string      `json:"prepend"`
	Pattern patternJSON `json:"pattern"`
	Content string      `json:"content"`

	Replacement   string `json:"replacement"`
	PrependScheme string `json:"prepend_scheme"`
	AddPrefix     *bool  `json:"add_prefix_space"`
	Split         *bool  `json:"split"`

	Start int `json:"start"`
	Stop  int `json:"stop"`
}

func (p patternJSON) isString(s string) bool {
	return p.Regex == nil && p.String != nil && *p.String == s
}

// markingNormalizer accepts NFC, then Prepend of a mark, then Replace of spaces by marks; m is nil if nothing marks spaces.
func markingNormalizer(raw json.RawMessage) (m *marking, nfc bool, err error) {
	if absent(raw) {
		return nil, false, nil
	}
	list, err := parts(raw, "normalizers")
	if err != nil {
		return nil, false, err
	}
	prepend, replaced := "never", false
	for i, part := range list {
		where := fmt.Sprintf(".normalizers[%d]", i)
		if kind, err := typeOf(raw); err != nil || kind != "Sequence" {
			where = ""
		}
		var j markJSON
		if err := strict(part, &j); err != nil {
			return nil, false, fmt.Errorf("%s: %w", where, err)
		}
		switch {
		case j.Type == "NFC" && i == 0:
			nfc = true
		case j.Type == "Prepend" && j.Prepend == blankMark && prepend == "never" && !replaced:
			prepend = "always"
		case j.Type == "Replace" && j.Pattern.isString(" ") && j.Content == blankMark && !replaced:
			replaced = true
		default:
			return nil, false, fmt.Errorf("%s.type: %q in this place, or with these settings, is not known "+
				"(known: NFC, then Prepend of %s, then Replace of a space by it)",
				where, j.Type, blankMark)
		}
	}
	switch {
	case replaced:
		return &marking{prepend: prepend}, nfc, nil
	case prepend != "never":
		return nil, false, errors.New(": no Replace of spaces")
	}
	return nil, nfc, nil
}

func metaspace(raw json.RawMessage) (*marking, []splitter, error) {
	if kind, err := typeOf(raw); err != nil || kind != "Metaspace" {
		return nil, nil, cmp.Or(err, fmt.Errorf(".type: %q is not known with byte_fallback (known: Metaspace)", kind))
	}
	var j markJSON
	if err := strict(raw, &j); err != nil {
		return nil, nil, fmt.Errorf(": %w", err)
	}
	if j.Replacement != blankMark {
		return nil, nil, fmt.Errorf(".replacement: %q is not known (known: %s)", j.Replacement, blankMark)
	}
	if j.PrependScheme == "" { // files from before there were schemes
		j.PrependScheme = "always"
		if j.AddPrefix != nil && !*j.AddPrefix {
			j.PrependScheme = "never"
		}
	}
	var stages []splitter
	switch j.PrependScheme {
	case "always", "first":
		if j.AddPrefix != nil && !*j.AddPrefix {
			return nil, nil, fmt.Errorf(".add_prefix_space: false contradicts prepend_scheme %q", j.PrependScheme)
		}
	case "never":
	default:
		return nil, nil, fmt.Errorf(".prepend_scheme: %q is not known", j.PrependScheme)
	}
	if j.Split == nil || *j.Split {
		stages = []splitter{splitMarks}
	}
	return &marking{late: true, prepend: j.PrependScheme, absent: true}, stages, nil
}

// spmDecoder accepts what undoes all this: Replace of marks by spaces, ByteFallback, Fuse, and Strip of one space at the beginning.
func spmDecoder(raw json.RawMessage) error {
	if absent(raw) {
		return errors.New(": missing")
	}
	list, err := parts(raw, "decoders")
	if err != nil {
		return err
	}
	var kinds []string
	for i, part := range list {
		var j markJSON
		if err := strict(part, &j); err != nil {
			return fmt.Errorf(".decoders[%d]: %w", i, err)
		}
		wrong := j.Type == "Replace" && (!j.Pattern.isString(blankMark) || j.Content != " ") ||
			j.Type == "Strip" && (j.Content != " " || j.Start != 1 || j.Stop != 0)
		if wrong {
			return fmt.Errorf(".decoders[%d]: %s with these settings is not known", i, j.Type)
		}
		kinds = append(kinds, j.Type)
	}
	if got := strings.Join(kinds, ", "); got != "Replace, ByteFallback, Fuse, Strip" {
		return fmt.Errorf(": %q is not known (known: Replace, ByteFallback, Fuse, Strip)", got)
	}
	return nil
}

// newSPMMerges checks the rules, and that every byte can be spelled.
func newSPMMerges(ids map[string]int32, pairs mergeJSON, ignoreMerges bool) (*merges, error) {
	m, err := newMerges(ids, pairs, false)
	if err != nil {
		return nil, err
	}
	for b := range m.byteID {
		id, ok := ids[fmt.Sprintf("<0x%02X>", b)]
		if !ok {
			return nil, fmt.Errorf("byte_fallback: the vocabulary has no token <0x%02X>", b)
		}
		m.byteID[b] = id
	}
	m.chars = ids
	if ignoreMerges {
		m.whole = ids
	}
	return m, nil
}

// decodeSPM is the file's decoder: bytes that do not add up to UTF-8 become U+FFFD each.
func (t *bpe) decodeSPM(ids []int32) (string, error) {
	var b strings.Builder
	var pending []byte
	flush := func() {
		if utf8.Valid(pending) {
			b.Write(pending)
		} else {
			b.WriteString(strings.Repeat("\uFFFD", len(pending)))
		}
		pending = pending[:0]
	}
	for i, id := range ids {
		token, ok := t.Token(id)
		if !ok {
			return "", fmt.Errorf("ids[%d] = %d is no token (the vocabulary ends at %d)", i, id, t.Size()-1)
		}
		if c, ok := byteToken(token); ok {
			pending = append(pending, c)
			continue
		}
		flush()
		if t.isAdded(id) {
			token = t.bytes[id]
		}
		b.WriteString(strings.ReplaceAll(token, blankMark, " "))
	}
	flush()
	return strings.TrimPrefix(b.String(), " "), nil
}
