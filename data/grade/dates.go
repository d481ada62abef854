package grade

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

const monthName = `(jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)\.?`

var (
	monthFirst = regexp.MustCompile(`^(?i:(?:on )?(?:[a-z]+day,? ?)?` + monthName + ` ?(\d{1,2})(?:st|nd|rd|th)?(?:,? ?(\d{4}))?)$`)
	dayFirst   = regexp.MustCompile(`^(?i:(?:on )?(?:the )?(\d{1,2})(?:st|nd|rd|th)?(?: of)? ?` + monthName + `(?:,? ?(\d{4}))?)$`)
	yearFirst  = regexp.MustCompile(`^(\d{4})[-/年](\d{1,2})[-/月](\d{1,2})日?$`)
	chineseDay = regexp.MustCompile(`^(\d{1,2})月(\d{1,2})[日号]$`)
	isMonth    = regexp.MustCompile(`^(?i:` + monthName + `)$`)
	months     = strings.Fields("jan feb mar apr may jun jul aug sep oct nov dec")
)

// dateOf is a day of the calendar in one form, with its year or without one; empty for what is none.
func dateOf(answer string) (day, year string) {
	if len(answer) > 64 {
		return "", ""
	}
	s := plainText(answer)
	var month, date string
	switch {
	case monthFirst.MatchString(s):
		m := monthFirst.FindStringSubmatch(s)
		month, date, year = m[1], m[2], m[3]
	case dayFirst.MatchString(s):
		m := dayFirst.FindStringSubmatch(s)
		month, date, year = m[2], m[1], m[3]
	case yearFirst.MatchString(s):
		m := yearFirst.FindStringSubmatch(s)
		month, date, year = m[2], m[3], m[1]
	case chineseDay.MatchString(s):
		m := chineseDay.FindStringSubmatch(s)
		month, date = m[1], m[2]
	default:
		return "", ""
	}
	number, err := strconv.Atoi(month)
	for i, name := range months {
		if err != nil && strings.HasPrefix(strings.ToLower(month), name) {
			number = i + 1
		}
	}
	n, _ := strconv.Atoi(date)
	return fmt.Sprintf("%d/%d", number, n), year
}

// dates compares days of the calendar; a year that one side lacks says nothing.
func (g *grader) dates(gold, pred string) Decision {
	a, yearA := dateOf(gold)
	b, yearB := dateOf(pred)
	switch {
	case a == "" || b == "":
		return Undecided
	case a != b || yearA != "" && yearB != "" && yearA != yearB:
		return g.no("the dates differ")
	}
	return Yes
}
