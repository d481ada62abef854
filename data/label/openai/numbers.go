package openai

import (
	"encoding/json"
	"errors"
	"regexp"
	"strconv"
	"strings"
)

var (
	// numberField is the name of a field that nobody asked for and that says which step a verdict is of.
	numberField = regexp.MustCompile(`(?i)^(?:(?:step|thought|paragraph)?[ _-]?` +
		`(?:index|idx|id|number|num|no|position|i|n)|step|thought|paragraph)$`)
	// stepNumber is its value: 3, "3", "Step 3".
	stepNumber = regexp.MustCompile(`^"?(?i:step|thought|paragraph|no\.?)?\s*[#(\[]?(\d{1,9})[)\].:]?"?$`)
)

// checkNumbers refuses verdicts that number their steps otherwise than by their places in the list: which step each one is of
// cannot be told then. They may begin at 0 or 1; fields that hold no number, such as the step's text, do not matter.
func checkNumbers(verdicts []json.RawMessage) error {
	first := map[string]int{} // by the field's name: the number less the place
	for i, raw := range verdicts {
		var fields map[string]json.RawMessage
		if json.Unmarshal(raw, &fields) != nil {
			return nil // readVerdict says what is wrong
		}
		for name, value := range fields {
			m := stepNumber.FindStringSubmatch(strings.TrimSpace(string(value)))
			if m == nil || !numberField.MatchString(name) {
				continue
			}
			n, _ := strconv.Atoi(m[1]) // at most nine digits
			if start, ok := first[name]; ok && start != n-i || n-i != 0 && n-i != 1 {
				return errors.New("the answer numbers its steps otherwise than in their order")
			}
			first[name] = n - i
		}
	}
	return nil
}
