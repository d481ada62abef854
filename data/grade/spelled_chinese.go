package grade

import (
	"math/big"
	"strings"
	"unicode/utf8"
)

var (
	chineseDigits = map[rune]int64{'零': 0, '〇': 0, '一': 1, '二': 2, '两': 2, '三': 3, '四': 4,
		'五': 5, '六': 6, '七': 7, '八': 8, '九': 9}
	chinesePlaces = map[rune]int64{'十': 10, '百': 100, '千': 1000}
)

// chineseNumber is a number in Chinese characters, below 10,000, or a fraction of two (三分之二, 百分之五), with a sign (负),
// decimals (点) and a measure word (十二个) where there are some; nil for other texts.
func chineseNumber(text string) *big.Rat {
	if text == "" || len(text) > 60 || text[0] < utf8.RuneSelf {
		return nil
	}
	if rest, ok := strings.CutPrefix(text, "负"); ok {
		if n := chineseNumber(rest); n != nil {
			return n.Neg(n)
		}
		return nil
	}
	if under, over, ok := strings.Cut(text, "分之"); ok {
		d, n := chineseInteger(under), chineseInteger(over)
		if under == "百" {
			d = big.NewRat(100, 1)
		}
		if d == nil || n == nil || d.Sign() == 0 {
			return nil
		}
		return n.Quo(n, d)
	}
	whole, decimals, found := strings.Cut(text, "点")
	n := chineseInteger(whole)
	if i := strings.IndexFunc(whole, notNumeral); n == nil && !found && i > 0 && harmless[whole[i:]] { // 十二个
		return chineseInteger(whole[:i])
	}
	if n == nil || found && decimals == "" {
		return nil
	}
	place := big.NewRat(1, 1)
	for _, r := range decimals {
		d, ok := chineseDigits[r]
		if !ok {
			return nil
		}
		place.Quo(place, big.NewRat(10, 1))
		n.Add(n, new(big.Rat).Mul(place, big.NewRat(d, 1)))
	}
	return n
}

func notNumeral(r rune) bool {
	_, digit := chineseDigits[r]
	return !digit && chinesePlaces[r] == 0
}

// chineseInteger is 十三, 二十, 一百零五: digits before places that fall, of which 零 may stand for those left out.
func chineseInteger(text string) *big.Rat {
	total, digit, last := int64(0), int64(-1), int64(10_000)
	for _, r := range text {
		d, isDigit := chineseDigits[r]
		place := chinesePlaces[r]
		switch {
		case isDigit && d == 0 && digit < 0:
			if total == 0 {
				digit = 0
			}
		case isDigit && digit < 0 && last > 1:
			digit = d
		case place > 0 && place < last && digit != 0 && (digit > 0 || place == 10):
			total += max(digit, 1) * place
			digit, last = -1, place
		default:
			return nil
		}
	}
	if digit >= 0 {
		total += digit
	} else if total == 0 {
		return nil
	}
	return big.NewRat(total, 1)
}
