package tokenizer

import (
	"slices"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// rewrite is a stretch of text that normalisation changed, in bytes of the normalised and of the original text.
type rewrite struct {
	normStart, normEnd int
	origStart, origEnd int
}

// nfc returns Normalization Form C of s and where it differs from s, in order.
//
// It is norm.NFC without one property of that package: after 30 combining marks norm.NFC inserts U+034F
// (Stream-Safe Text), which the standard's NFC and Hugging Face's do not.
func nfc(s string) (string, []rewrite) {
	if norm.NFC.QuickSpanString(s) == len(s) {
		return s, nil
	}
	var b strings.Builder
	b.Grow(len(s))
	var rewrites []rewrite
	for i := 0; i < len(s); {
		same := norm.NFC.QuickSpanString(s[i:])
		b.WriteString(s[i : i+same])
		i += same
		if i == len(s) {
			break
		}
		end := segmentEnd(s, i)
		out := composeSegment(s[i:end])
		if out != s[i:end] {
			rewrites = append(rewrites, rewrite{b.Len(), b.Len() + len(out), i, end})
		}
		b.WriteString(out)
		i = end
	}
	return b.String(), rewrites
}

// segmentEnd returns where the character at i and those that may combine with it end.
func segmentEnd(s string, i int) int {
	i += norm.NFC.PropertiesString(s[i:]).Size()
	for i < len(s) {
		p := norm.NFC.PropertiesString(s[i:])
		if p.BoundaryBefore() {
			break
		}
		i += p.Size()
	}
	return i
}

// composeSegment is NFC of one segment. A character decomposes to at most three marks, so up to nine characters are
// safe from the limit of 30; longer segments go through the standard's algorithm (UAX #15, D117) step by step.
func composeSegment(s string) string {
	if utf8.RuneCountInString(s) < 10 {
		return norm.NFC.String(s)
	}
	type mark struct {
		r   rune
		ccc uint8
	}
	var marks []mark
	for _, r := range s {
		for _, d := range norm.NFD.String(string(r)) {
			marks = append(marks, mark{d, norm.NFC.PropertiesString(string(d)).CCC()})
		}
	}
	for i := 0; i < len(marks); i++ {
		start := i
		for i < len(marks) && marks[i].ccc > 0 {
			i++
		}
		slices.SortStableFunc(marks[start:i], func(a, b mark) int { return int(a.ccc) - int(b.ccc) })
	}
	out := make([]rune, 0, len(marks))
	starter, last := -1, -1 // index of the last starter; class of what stands between it and the next, -1: nothing
	for _, m := range marks {
		if starter >= 0 && last < int(m.ccc) {
			pair := norm.NFC.String(string([]rune{out[starter], m.r}))
			if c, n := utf8.DecodeRuneInString(pair); n == len(pair) {
				out[starter] = c
				continue
			}
		}
		last = int(m.ccc)
		if m.ccc == 0 {
			starter, last = len(out), -1
		}
		out = append(out, m.r)
	}
	return string(out)
}

// toOriginal turns ascending offsets in a normalised text into offsets in the original, which begins at base.
func toOriginal(rewrites []rewrite, base int, offsets []int) {
	next, shift := 0, base
	for i, at := range offsets {
		for next < len(rewrites) && rewrites[next].normEnd <= at {
			shift = base + rewrites[next].origEnd - rewrites[next].normEnd
			next++
		}
		if next < len(rewrites) && rewrites[next].normStart < at {
			offsets[i] = base + rewrites[next].origEnd
		} else {
			offsets[i] = at + shift
		}
	}
}
