package prm

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash"

	"github.com/goprm/goprm/data/tokenizer"
	"github.com/goprm/goprm/internal/modelfolder"
)

// openTokenizer opens the folder's tokenizer, or takes the program's own. It must not know ids that the embedding lacks.
func openTokenizer(f *modelfolder.Folder) (tokenizer.Tokenizer, error) {
	if f.Own != nil {
		return openOwn(f)
	}
	if f.Card != nil && f.Card.Tokenizer != "" {
		return nil, fmt.Errorf("%s: it was trained with a program's own tokenizer (SHA-256 %.12s…), which the folder does not hold: "+
			"give it as Tokenizer", f.Dir, f.Card.Tokenizer)
	}
	tok, err := tokenizer.Open(f.TextDir)
	if err != nil {
		return nil, err
	}
	if tok.Size() > f.Config.VocabSize {
		return nil, fmt.Errorf("%s: the tokenizer has ids up to %d, but the model's vocabulary is %d: they do not belong together",
			f.TextDir, tok.Size()-1, f.Config.VocabSize)
	}
	return tok, nil
}

func openOwn(f *modelfolder.Folder) (tokenizer.Tokenizer, error) {
	if size := f.Own.Size(); size < 1 || size > f.Config.VocabSize {
		return nil, fmt.Errorf("tokenizer: its size is %d, the vocabulary of %s is %d: they do not belong together",
			size, f.Dir, f.Config.VocabSize)
	}
	own := &checkedTokenizer{f.Own}
	if f.Card == nil || f.Card.Tokenizer == "" {
		return own, nil
	}
	sum, err := fingerprint(own)
	if err == nil && sum != f.Card.Tokenizer {
		err = fmt.Errorf("tokenizer: %s was trained with another: its SHA-256 is %.12s…, this one's is %.12s…", f.Dir, f.Card.Tokenizer, sum)
	}
	return own, err
}

// ownTokenizer is the fingerprint of the program's own tokenizer; "" if there is none, or if the folder's does the same.
func ownTokenizer(f *modelfolder.Folder) (string, error) {
	if f.Own == nil {
		return "", nil
	}
	own, err := fingerprint(&checkedTokenizer{f.Own})
	if err != nil {
		return "", err
	}
	files, err := tokenizer.Open(f.TextDir)
	if err != nil {
		return own, nil // the folder has none, or one that is not known here
	}
	if sum, err := fingerprint(files); err == nil && sum == own {
		return "", nil
	}
	return own, nil
}

// probe is a text whose tokens tell tokenizers of one vocabulary apart: scripts, digits, spaces, and characters that
// normalisers rewrite.
const probe = "The derivative of x³−2x is 3x²−2, so f'(1.50) = 4.75; 1234567 + 89 = 1234656.\n\n" +
	"Step 2:\tSolve \\frac{a}{b} ≤ 10^{-3}!!\r\n" +
	"  def f(n):\n        return n * (n + 1) // 2   # don't, we'll, I'M\n<think>\nWait… naïve Ångström café ﬁn ½ ①</think>" +
	"这是一个测试。Это тест. これはテストです。 اختبار 🙂👩‍👩‍👧 \u00a0\u200b end"

// fingerprint is the SHA-256 of a tokenizer's vocabulary and of what it makes of the probe, ids as four bytes.
func fingerprint(t tokenizer.Tokenizer) (string, error) {
	sum := sha256.New()
	size := t.Size()
	writeIDs(sum, int32(size))
	for id := range int32(size) {
		if token, ok := t.Token(id); ok {
			writeIDs(sum, id)
			modelfolder.WriteString(sum, token)
		}
	}
	ids, _, err := t.Encode(probe)
	if err != nil {
		return "", err
	}
	writeIDs(sum, ids...)
	return hex.EncodeToString(sum.Sum(nil)), nil
}

// writeIDs never fails, as a hash's Write does not.
func writeIDs(h hash.Hash, ids ...int32) {
	for _, id := range ids {
		_, _ = h.Write(binary.LittleEndian.AppendUint32(nil, uint32(id)))
	}
}

// checkedTokenizer refuses what a program's own tokenizer must not return: the rest of the code relies on it.
type checkedTokenizer struct{ tokenizer.Tokenizer }

func (t *checkedTokenizer) Encode(text string) ([]int32, []int, error) {
	ids, ends, err := t.Tokenizer.Encode(text)
	if err != nil {
		return nil, nil, err
	}
	if len(ids) != len(ends) {
		return nil, nil, fmt.Errorf("tokenizer: Encode returned %d ids and %d ends", len(ids), len(ends))
	}
	size, before := t.Size(), 0
	for i, id := range ids {
		if id < 0 || int(id) >= size {
			return nil, nil, fmt.Errorf("tokenizer: Encode: token %d has the id %d, outside 0..%d", i, id, size-1)
		}
		if ends[i] < before || ends[i] > len(text) {
			return nil, nil, fmt.Errorf("tokenizer: Encode: token %d ends at byte %d, after one that ends at %d in a text of %d",
				i, ends[i], before, len(text))
		}
		before = ends[i]
	}
	if before != len(text) {
		return nil, nil, fmt.Errorf("tokenizer: Encode: the last token ends at byte %d of %d", before, len(text))
	}
	return ids, ends, nil
}
