package tokenizer

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// WordPiece is BERT's tokenizer. Its methods may be called from several goroutines.
type WordPiece struct {
	*vocabulary
	raw, normalized *matcher // as in bpe
	normalizer      bertNormalizer
	prefix          string // of the pieces that go on a word
	unknown         int32
	maxChars        int     // a word of more characters is unknown
	longest         int     // bytes of the longest token
	before, after   []int32 // what the post-processor puts around a text
	maxLength       int
}

// MaxLength is the model_max_length of tokenizer_config.json; 0: it names none.
func (t *WordPiece) MaxLength() int { return t.maxLength }

// Encode returns the ids of text within the special tokens, limit of them at most, and how many did not fit: as Hugging
// Face's truncation does, the text's last tokens go and the special ones stay. Special tokens written in the text are
// those tokens. Invalid UTF-8 is an error naming the byte offset; so is a limit that the special tokens fill.
func (t *WordPiece) Encode(text string, limit int) (ids []int32, dropped int, err error) {
	if err := checkText(text); err != nil {
		return nil, 0, err
	}
	room, err := t.Room(limit)
	if err != nil {
		return nil, 0, err
	}
	ids = append(make([]int32, 0, len(text)/4+8), t.before...)
	t.raw.split(text, func(id int32, start, end int) {
		if id >= 0 {
			ids = append(ids, id)
			return
		}
		piece := t.normalizer.apply(text[start:end])
		t.normalized.split(piece, func(id int32, start, end int) {
			if id >= 0 {
				ids = append(ids, id)
			} else {
				ids = t.words(ids, piece[start:end])
			}
		})
	})
	if own := len(ids) - len(t.before); own > room {
		dropped = own - room
		ids = ids[:len(t.before)+room]
	}
	return append(ids, t.after...), dropped, nil
}

// words cuts text at white space and around punctuation and appends the ids of its words.
func (t *WordPiece) words(ids []int32, text string) []int32 {
	start := 0
	for i, r := range text {
		space := unicode.IsSpace(r)
		if !space && !isPunctuation(r) {
			continue
		}
		end := i + utf8.RuneLen(r)
		ids = t.word(ids, text[start:i])
		if !space {
			ids = t.word(ids, text[i:end])
		}
		start = end
	}
	return t.word(ids, text[start:])
}

// word appends the longest token that begins the word, then the longest that goes on, and so forth: or the unknown token.
func (t *WordPiece) word(ids []int32, word string) []int32 {
	if word == "" {
		return ids
	}
	if len(word) > t.maxChars && utf8.RuneCountInString(word) > t.maxChars {
		return append(ids, t.unknown)
	}
	known := len(ids)
	key := make([]byte, 0, 64)
	for at := 0; at < len(word); {
		key = key[:0]
		if at > 0 {
			key = append(key, t.prefix...)
		}
		rest := word[at:min(len(word), at+t.longest)]
		own := len(key)
		key = append(key, rest...)
		id, found := int32(0), false
		for len(key) > own {
			if id, found = t.ids[string(key)]; found {
				break
			}
			_, n := utf8.DecodeLastRune(key[own:]) // a cut character at the end goes byte by byte
			key = key[:len(key)-n]
		}
		if !found {
			return append(ids[:known], t.unknown)
		}
		ids = append(ids, id)
		at += len(key) - own
	}
	return ids
}

// bertNormalizer is BERT's clean-up; see BertNormalizer of Hugging Face's tokenizers.
type bertNormalizer struct{ clean, cjk, strip, lower bool }

func (n bertNormalizer) apply(text string) string {
	var b strings.Builder
	b.Grow(len(text))
	for _, r := range text {
		switch {
		case n.clean && unicode.Is(wordpieceControl, r):
		case n.clean && unicode.IsSpace(r):
			b.WriteByte(' ')
		case n.cjk && unicode.Is(chinese, r):
			b.WriteByte(' ')
			b.WriteRune(r)
			b.WriteByte(' ')
		default:
			b.WriteRune(r)
		}
	}
	text = b.String()
	if n.strip && !ascii(text) {
		b.Reset()
		for _, r := range norm.NFD.String(text) {
			if !unicode.Is(wordpieceMark, r) {
				b.WriteRune(r)
			}
		}
		text = b.String()
	}
	if !n.lower {
		return text
	}
	b.Reset()
	for _, r := range text {
		b.WriteRune(unicode.ToLower(r))
		if r == 'İ' { // alone in becoming two characters
			b.WriteRune('\u0307')
		}
	}
	return b.String()
}

func ascii(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

func isPunctuation(r rune) bool {
	if r < utf8.RuneSelf {
		return r > ' ' && r < 0x7f && !(r >= '0' && r <= '9' || r|0x20 >= 'a' && r|0x20 <= 'z')
	}
	return unicode.Is(wordpiecePunctuation, r)
}

// chinese characters are words of their own. U+2B820 to U+2B91F are not among them: Hugging Face's tokenizers leave them out.
var chinese = &unicode.RangeTable{
	R16: []unicode.Range16{{0x3400, 0x4dbf, 1}, {0x4e00, 0x9fff, 1}, {0xf900, 0xfaff, 1}},
	R32: []unicode.Range32{{0x20000, 0x2a6df, 1}, {0x2a700, 0x2b81f, 1}, {0x2b920, 0x2ceaf, 1}, {0x2f800, 0x2fa1f, 1}},
}
