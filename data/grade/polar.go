package grade

import (
	"regexp"
	"strings"
)

var (
	polarAnswer = regexp.MustCompile(`(?is)^\W*(yes|no|true|false)(?:\W*$|\s*[,.;:!—–-]+\W*(.*)$|\s+((?:because|since|as)\b.*)$)`)
	polarTurn   = regexp.MustCompile(`(?i)\b(?:but|however|yes|except|unless|wait|or|only|actually|maybe|perhaps|correct|wrong)\b`)
	denying     = regexp.MustCompile(`(?i)\b(?:no|not|false|never)\b|n't`)
	affirming   = regexp.MustCompile(`(?i)\btrue\b`)
)

// polar is the yes, no, true or false that an answer begins with, where what follows only explains it: Yes, because 3 > 2. It is
// empty where something turns it.
func polar(s string) string {
	if len(s) > 400 {
		return ""
	}
	m := polarAnswer.FindStringSubmatch(plainText(s))
	if m == nil {
		return ""
	}
	word, rest := strings.ToLower(m[1]), m[2]+m[3]
	turned := denying
	if word == "no" || word == "false" {
		turned = affirming
	}
	if polarTurn.MatchString(rest) || turned.MatchString(rest) {
		return ""
	}
	return word
}
