package grade

import (
	"regexp"
	"strings"
)

var (
	polarAnswer = regexp.MustCompile(`(?is)^\W*(yes|no|true|false)\b[\s,.;:!*—–-]*(.*)$`)
	polarTurn   = regexp.MustCompile(`(?i)\b(?:but|however|yes|no|not|except|unless|wait|or|only|actually|maybe|true|false|perhaps|solutions?|real|roots?|` +
		`answers?|one|of|such|way)\b|n't`)
)

// polar is the yes, no, true or false that an answer begins with, where what follows only explains it: Yes, because 3 > 2. It is
// empty where something turns it.
func polar(s string) string {
	if len(s) > 400 {
		return ""
	}
	m := polarAnswer.FindStringSubmatch(plainText(s))
	if m == nil || polarTurn.MatchString(m[2]) {
		return ""
	}
	return strings.ToLower(m[1])
}
