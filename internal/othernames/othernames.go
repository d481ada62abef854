// Package othernames knows what other training programs call the keys of train.yaml.
package othernames

import (
	_ "embed"
	"strings"

	"github.com/goprm/goprm/internal/strictyaml"
)

// names has a key of train.yaml on each line that is not indented, and below it what it is called elsewhere.
//
//go:embed names.txt
var names string

// Train maps keys of transformers.TrainingArguments, TRL, PEFT, LLaMA-Factory, axolotl, OpenRLHF and verl to those of train.yaml. What is
// not the same thing has a remark; what is no key begins with "nothing" or "the option".
func Train() strictyaml.Names {
	table := strictyaml.Names{}
	here := ""
	for line := range strings.Lines(names) {
		if there := strings.Fields(line); strings.HasPrefix(line, "\t") {
			for _, name := range there {
				table[name] = here
			}
			continue
		}
		here = strings.TrimSpace(line)
	}
	return table
}
