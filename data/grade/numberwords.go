package grade

import (
	"math/big"
	"slices"
	"strings"
)

var smallNumbers = func() map[string]int64 {
	m := map[string]int64{}
	for i, w := range strings.Fields("zero one two three four five six seven eight nine ten eleven twelve thirteen " +
		"fourteen fifteen sixteen seventeen eighteen nineteen") {
		m[w] = int64(i)
	}
	for i, w := range strings.Fields("twenty thirty forty fifty sixty seventy eighty ninety") {
		m[w] = int64(20 + 10*i)
	}
	return m
}()

// scales are the words that multiply the number before them.
var scales = map[string]*big.Rat{
	"hundred": big.NewRat(100, 1), "thousand": big.NewRat(1000, 1), "million": big.NewRat(1e6, 1), "billion": big.NewRat(1e9, 1),
	"trillion":    big.NewRat(1e12, 1),
	"quadrillion": big.NewRat(1e15, 1), "dozen": big.NewRat(12, 1), "gross": big.NewRat(144, 1), "half": big.NewRat(1, 2),
	"halve": big.NewRat(1, 2), "third": big.NewRat(1, 3), "quarter": big.NewRat(1, 4),
	"fourth": big.NewRat(1, 4), "fifth": big.NewRat(1, 5), "sixth": big.NewRat(1, 6), "seventh": big.NewRat(1, 7),
	"eighth": big.NewRat(1, 8), "ninth": big.NewRat(1, 9), "tenth": big.NewRat(1, 10), "twelfth": big.NewRat(1, 12),
	"hundredth": big.NewRat(1, 100), "thousandth": big.NewRat(1, 1000), "millionth": big.NewRat(1, 1e6), "billionth": big.NewRat(1, 1e9),
	"万": big.NewRat(1e4, 1), "亿": big.NewRat(1e8, 1), "百": big.NewRat(100, 1), "千": big.NewRat(1000, 1),
	"lakh": big.NewRat(1e5, 1), "crore": big.NewRat(1e7, 1),
}

// scaleOf is what a word multiplies by, nil for other words. Its plural counts too.
func scaleOf(word string) *big.Rat {
	word = strings.ToLower(word)
	if s := scales[word]; s != nil {
		return s
	}
	if word == "halves" {
		return scales["half"]
	}
	return scales[strings.TrimSuffix(word, "s")]
}

// numberWord is the number that a word or several joined by hyphens mean: twenty-one. It is nil for other words.
func numberWord(word string) *big.Rat {
	total := int64(0)
	for i, part := range strings.Split(strings.ToLower(word), "-") {
		n, ok := smallNumbers[part]
		if !ok || i > 1 || i == 1 && (total < 20 || n == 0 || n > 9) {
			return nil
		}
		total += n
	}
	return big.NewRat(total, 1)
}

// numberFields are the words of a number, with the hyphens of fractions taken apart: three-eighths.
func numberFields(text string) []string {
	fields := strings.Fields(strings.ToLower(text))
	for i := 0; i < len(fields) && len(fields) <= 12; i++ {
		n, part, found := strings.Cut(fields[i], "-")
		if found && numberWord(n) != nil && scaleOf(part) != nil && !scaleOf(part).IsInt() {
			fields = slices.Insert(slices.Delete(fields, i, i+1), i, n, part)
		}
	}
	return fields
}

// fits tells whether a number may follow in the same group: one hundred twelve and twenty one, but not two three.
func fits(group, n *big.Rat) bool {
	if group.Sign() == 0 {
		return true
	}
	if !group.IsInt() || !group.Num().IsInt64() || !n.Num().IsInt64() {
		return false
	}
	g, next := group.Num().Int64(), n.Num().Int64()
	return g%100 == 0 || g%100 >= 20 && g%10 == 0 && next > 0 && next < 10
}

// decimals adds the digits behind a point that are written in words; nil where they are none.
func decimals(whole *big.Rat, digits []string) *big.Rat {
	place := big.NewRat(1, 1)
	for _, w := range digits {
		n := numberWord(w)
		if n == nil || n.Cmp(big.NewRat(9, 1)) > 0 {
			return nil
		}
		place.Quo(place, big.NewRat(10, 1))
		whole.Add(whole, n.Mul(n, place))
	}
	if len(digits) == 0 {
		return nil
	}
	return whole
}

// spelledNumber is a number written in words, as in "two and a half" or "three hundred twelve"; nil for other texts.
func spelledNumber(text string) *big.Rat {
	if n := chineseNumber(text); n != nil {
		return n
	}
	fields := numberFields(text)
	if len(fields) == 0 || len(fields) > 12 {
		return nil
	}
	total, group := new(big.Rat), new(big.Rat)
	any, start := false, 0
	if len(fields) == 4 && isDigits(fields[0]) && len(fields[0]) < 10 && fields[1] == "and" && scaleOf(fields[3]) != nil &&
		!scaleOf(fields[3]).IsInt() {
		group.SetString(fields[0]) // 3 and a quarter
		any, start = true, 1
	}
	for i := start; i < len(fields); i++ {
		w := fields[i]
		n, s := numberWord(w), scaleOf(w)
		switch {
		case n != nil && fits(group, n):
			group.Add(group, n)
		case w == "point" && any:
			return decimals(total.Add(total, group), fields[i+1:])
		case w == "and" && any && i+1 < len(fields):
			if rest := fields[i+1:]; len(rest) == 2 && rest[0] == "a" && (rest[1] == "half" || rest[1] == "quarter" || rest[1] == "third") {
				return total.Add(total, group.Add(group, scaleOf(rest[1])))
			}
			rest := fields[i+1:]
			if numberWord(rest[0]) == nil {
				return nil
			}
			if len(rest) == 2 && scaleOf(rest[1]) != nil && !scaleOf(rest[1]).IsInt() { // four and two sevenths
				part := new(big.Rat).Mul(numberWord(rest[0]), scaleOf(rest[1]))
				return total.Add(total, group.Add(group, part))
			}
		case w == "a" && !any && i+1 < len(fields) && scaleOf(fields[i+1]) != nil:
			group.SetInt64(1)
		case s != nil && s.IsInt() && any && w == "hundred":
			group.Mul(group, s)
		case s != nil && any:
			total.Add(total, group.Mul(group, s))
			group = new(big.Rat)
		case w == "half" || w == "one-half":
			return big.NewRat(1, 2)
		default:
			return nil
		}
		any = true
	}
	return total.Add(total, group)
}
