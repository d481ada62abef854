package main

import (
	"regexp"
	"strings"

	"github.com/goprm/goprm/internal/othernames"
)

// plainUsage says what kong says about a command line without its jargon of tokens, bits and placeholders.
var plainUsage = []struct {
	kong *regexp.Regexp
	said string
}{
	{regexp.MustCompile(`expected \S+ value but got "EOL" \(<EOL>\)`), `a value is missing`},
	{regexp.MustCompile(`expected \S+ value but got "(-[^"]*)" \((?:long|short) flag\)(; perhaps try .*)?$`), `a value is missing before $1`},
	{regexp.MustCompile(`expected a valid 16 bit uint but got (".*")`), `$1 is no whole number from 0 to 65535`},
	{regexp.MustCompile(`expected a valid \d+ bit uint but got (".*")`), `$1 is no whole number from 0`},
	{regexp.MustCompile(`expected a valid \d+ bit int but got (".*")`), `$1 is no whole number`},
	{regexp.MustCompile(`expected duration but got (".*?")(: .*)?$`), `$1 is no duration such as 30s`},
	{regexp.MustCompile(`expected a float but got (".*") \(\S+\)`), `$1 is no number`},
	{regexp.MustCompile(`^expected "(.*)"$`), `the argument $1 is missing`},
	{regexp.MustCompile(`(\S+) must be one of (\S+) but got (".*")`), `$1: $3 is none of $2`},
	{regexp.MustCompile(`(--[a-z][a-z-]*)=[A-Z][A-Z0-9-]*\b`), `$1`},
	{regexp.MustCompile(`(unknown flag -\w), did you mean "-\w"\?`), `$1`},
}

var unknownFlag = regexp.MustCompile(`^unknown flag --([\w-]+)`)

// usage is an error of the command line, in the words of this program; of a flag that other training programs have it says what it is here.
func usage(command string, err error) string {
	text := oneLine(err)
	if m := unknownFlag.FindStringSubmatch(text); m != nil && command == "prm train" {
		if here := othernames.Train().Here(m[1]); here != "" {
			if strings.HasPrefix(here, "here it is ") && !strings.Contains(here, " option ") {
				here += " (in the configuration, or behind --set)"
			}
			return m[0] + ": " + here
		}
	}
	for _, p := range plainUsage {
		text = p.kong.ReplaceAllString(text, p.said)
	}
	return strings.TrimSpace(text)
}
