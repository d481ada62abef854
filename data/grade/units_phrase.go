package grade

import (
	"fmt"
	"math/big"
	"slices"
	"strings"
)

// unitPhrase is what the words behind a number say.
type unitPhrase struct {
	dims   map[string]int
	factor *big.Rat // of the units
	scale  *big.Rat // of the scale words
	words  []string // the words that are neither, in lower case and singular
	pounds bool     // pounds may be money
}

var unitMarks = strings.NewReplacer(`\`, "", ",", " ", "~", " ", ". ", " ", "{", "", "}", "", "/", " / ", "*", " * ", "·", " * ", "^",
	" ^", "-", "-", "(", " ", ")", " ")

// readUnits reads words such as "square centimeters", "million dollars", "kg m/s^2" and "miles per hour".
func readUnits(name string) unitPhrase {
	p := unitPhrase{dims: map[string]int{}, factor: big.NewRat(1, 1), scale: big.NewRat(1, 1)}
	sign, power := 1, 1
	var last *measure
	lastSign := 1
	apply := func(u *measure, n int) {
		for dim, k := range u.dims {
			p.dims[dim] += k * n
		}
		for ; n > 0; n-- {
			p.factor.Mul(p.factor, u.factor)
		}
		for ; n < 0; n++ {
			p.factor.Quo(p.factor, u.factor)
		}
	}
	of := false
	for at, w := range strings.Fields(unitMarks.Replace(name)) {
		w = strings.Trim(w, ".:;!\"'")
		if w == "" {
			continue
		}
		lower := strings.ToLower(w)
		u := unitNamed(w)
		switch {
		case lower == "/" || lower == "per" || lower == "每":
			sign = -1
			continue
		case lower == "*":
			continue
		case strings.HasPrefix(w, "^") && last == nil && len(p.words) > 0 && p.words[len(p.words)-1] == "unit": // units^2
			continue
		case strings.HasPrefix(w, "^") && last != nil:
			n := 0
			if _, err := fmt.Sscan(strings.Trim(w, "^()"), &n); err != nil || n < -6 || n > 6 {
				p.words = append(p.words, w)
				continue
			}
			apply(last, lastSign*(n-1))
			continue
		case lower == "square" || lower == "sq":
			power = 2
			continue
		case lower == "cubic" || lower == "cu":
			power = 3
			continue
		case lower == "squared" && last != nil:
			apply(last, lastSign)
		case lower == "cubed" && last != nil:
			apply(last, 2*lastSign)
		case u != nil:
			p.pounds = p.pounds || lower == "pound" || lower == "pounds"
			apply(u, sign*power)
			last, lastSign = u, sign*power
		case scaleOf(w) != nil && sign == 1:
			p.scale.Mul(p.scale, scaleOf(w))
		case lower == "of" && at > 0:
			of = true
			continue
		case of:
			p.words = append(p.words, ofWhat+singular(lower))
		default:
			p.words = append(p.words, singular(lower))
		}
		sign, power = 1, 1
	}
	slices.Sort(p.words)
	return p
}

// ofWhat begins a word behind "of", which tells what is counted: bags of rice.
const ofWhat = "of "

func singular(word string) string {
	switch {
	case len(word) > 3 && strings.HasSuffix(word, "s") && harmless[word[:len(word)-1]]: // cookies
		return word[:len(word)-1]
	case len(word) > 4 && strings.HasSuffix(word, "ies"):
		return word[:len(word)-3] + "y"
	case len(word) > 4 && strings.HasSuffix(word, "es") && harmless[word[:len(word)-2]]: // boxes, tomatoes
		return word[:len(word)-2]
	case len(word) > 3 && strings.HasSuffix(word, "s") && !strings.HasSuffix(word, "ss"):
		return word[:len(word)-1]
	}
	return word
}
