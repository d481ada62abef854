package grade

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
)

const monthName = `(jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|` +
	`sept?(?:ember)?|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)\.?`

// dayForms are the ways to write a day, with the groups of its month, its day and its year.
var dayForms = []struct {
	form             *regexp.Regexp
	month, day, year int
}{
	{regexp.MustCompile(`^(?i:(?:on )?(?:[a-z]+day,? ?)?` + monthName + ` ?(\d{1,2})(?:st|nd|rd|th)?(?:,? ?(\d{4}))?)$`), 1, 2, 3},
	{regexp.MustCompile(`^(?i:(?:on )?(?:the )?(\d{1,2})(?:st|nd|rd|th)?(?: of)? ?` + monthName + `(?:,? ?(\d{4}))?)$`), 2, 1, 3},
	{regexp.MustCompile(`^(\d{4})[-/年](\d{1,2})[-/月](\d{1,2})日?$`), 2, 3, 1},
	{regexp.MustCompile(`^(\d{1,2})月(\d{1,2})[日号]()$`), 1, 2, 3},
}

var isMonth = regexp.MustCompile(`^(?i:` + monthName + `)$`)

// dateOf is a day of the calendar in one form, with its year or without one; empty for what is none.
func dateOf(answer string) (day, year string) {
	if len(answer) > 64 {
		return "", ""
	}
	s := plainText(answer)
	for _, f := range dayForms {
		if m := f.form.FindStringSubmatch(s); m != nil {
			n, _ := strconv.Atoi(m[f.day]) // at most two digits
			return fmt.Sprintf("%d/%d", monthNumber(m[f.month]), n), m[f.year]
		}
	}
	return "", ""
}

// monthNumber is 3 for 03, Mar and march.
func monthNumber(s string) int {
	for m := time.January; m <= time.December; m++ {
		if strings.HasPrefix(strings.ToLower(s), strings.ToLower(m.String()[:3])) {
			return int(m)
		}
	}
	n, _ := strconv.Atoi(s) // at most two digits
	return n
}

// dates compares days of the calendar; a year that one side lacks says nothing.
func (g *grader) dates(gold, pred string) Decision {
	a, yearA := dateOf(gold)
	if a == "" {
		return Undecided
	}
	b, yearB := dateOf(pred)
	switch {
	case b == "":
		return Undecided
	case a != b || yearA != "" && yearB != "" && yearA != yearB:
		return g.no("the dates differ")
	}
	return Yes
}
