package tokenizer

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// A splitter returns the length in bytes of the first piece of a text that is not empty. No rule that is known here
// looks back, so the pieces of a text are those of its beginning followed by those of its rest.
type splitter func(text string) int

// The patterns known here, as tokenizer.json writes them. Go's regexp has no lookahead, hence scanners written by hand.
const (
	patternQwen2  = `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`
	patternLlama3 = `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`
	patternGPT2   = `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`
)

// splitterOf returns the scanner of a pattern, nil for one that is not known.
func splitterOf(pattern string) splitter {
	switch pattern {
	case patternQwen2:
		return splitQwen2(1)
	case patternLlama3:
		return splitQwen2(3)
	case patternGPT2:
		return splitGPT2
	}
	return nil
}

// class is what the patterns tell apart; every character has exactly one.
type class uint8

const (
	letter  class = 1 << iota // \p{L}
	number                    // \p{N}
	newline                   // \r or \n
	blank                     // \s but for newline
	other                     // [^\s\p{L}\p{N}]
)

func classOf(r rune) class {
	switch {
	case unicode.IsLetter(r):
		return letter
	case unicode.IsNumber(r):
		return number
	case r == '\r' || r == '\n':
		return newline
	case unicode.IsSpace(r):
		return blank
	}
	return other
}

var asciiClass = func() (t [utf8.RuneSelf]class) {
	for r := range t {
		t[r] = classOf(rune(r))
	}
	return t
}()

// classAt returns the class and width of the character at i; 0, 0 at the end.
func classAt(s string, i int) (class, int) {
	if i >= len(s) {
		return 0, 0
	}
	if s[i] < utf8.RuneSelf {
		return asciiClass[s[i]], 1
	}
	r, n := utf8.DecodeRuneInString(s[i:])
	return classOf(r), n
}

// run returns where the characters of the given classes that begin at i end.
func run(s string, i int, classes class) int {
	for {
		c, n := classAt(s, i)
		if c&classes == 0 {
			return i
		}
		i += n
	}
}

// splitQwen2 is patternQwen2 with digits = 1 and patternLlama3 with digits = 3.
func splitQwen2(digits int) splitter {
	return func(s string) int {
		if n := contraction(s, true); n > 0 {
			return n
		}
		c, n := classAt(s, 0)
		switch c {
		case letter:
			return run(s, n, letter)
		case number:
			for range digits - 1 {
				c, more := classAt(s, n)
				if c != number {
					break
				}
				n += more
			}
			return n
		case blank, other:
			if end := run(s, n, letter); end > n {
				return end
			}
		}
		start := 0
		if s[0] == ' ' {
			start = 1
		}
		if end := run(s, start, other); end > start {
			return run(s, end, newline)
		}
		end := run(s, 0, blank|newline)
		if last := strings.LastIndexAny(s[:end], "\r\n"); last >= 0 {
			return last + 1
		}
		return spaces(s, end)
	}
}

func splitGPT2(s string) int {
	if n := contraction(s, false); n > 0 {
		return n
	}
	start := 0
	if s[0] == ' ' {
		start = 1
	}
	for _, c := range [...]class{letter, number, other} {
		if end := run(s, start, c); end > start {
			return end
		}
	}
	return spaces(s, run(s, 0, blank|newline))
}

// spaces is \s+(?!\S)|\s+ for a text that begins with white space up to end: the last space is left to the word after it.
func spaces(s string, end int) int {
	if end == len(s) {
		return end
	}
	_, n := utf8.DecodeLastRuneInString(s[:end])
	if end > n {
		return end - n
	}
	return end
}

// contraction returns the length of 's, 't, 're, 've, 'm, 'll or 'd at the beginning of s, 0 if there is none.
// Regardless of case, ſ (U+017F) is an s.
func contraction(s string, anyCase bool) int {
	if len(s) < 2 || s[0] != '\'' {
		return 0
	}
	a, b := s[1], byte(0)
	if len(s) > 2 {
		b = s[2]
	}
	if anyCase {
		if strings.HasPrefix(s[1:], "ſ") {
			return 1 + len("ſ")
		}
		a, b = lower(a), lower(b)
	}
	switch {
	case a == 's' || a == 't' || a == 'm' || a == 'd':
		return 2
	case a == 'r' && b == 'e', a == 'v' && b == 'e', a == 'l' && b == 'l':
		return 3
	}
	return 0
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + ('a' - 'A')
	}
	return c
}

// splitDigits cuts numbers out of the text, each digit on its own or each run of them.
func splitDigits(individual bool) splitter {
	return func(s string) int {
		c, n := classAt(s, 0)
		switch {
		case c != number:
			return run(s, n, letter|newline|blank|other)
		case individual:
			return n
		}
		return run(s, n, number)
	}
}
