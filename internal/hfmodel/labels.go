package hfmodel

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// Labels are the names of a head's classes, by class; nil where config.json names none.
type Labels []string

// readLabels reads how many classes there are and what they are called: num_labels, id2label and label2id, which must agree.
func (c *Config) readLabels(f *fields) {
	names := read(f, "id2label", "an object of class: name", map[string]string(nil))
	if names != nil && len(names) == 0 {
		f.fail("id2label names no class")
	}
	for key, name := range names {
		class, err := strconv.Atoi(key)
		if err != nil || class < 0 || class >= len(names) || strconv.Itoa(class) != key {
			f.fail("id2label: %q is not one of the classes 0 to %d", key, len(names)-1)
			return
		}
		if c.Labels == nil {
			c.Labels = make(Labels, len(names))
		}
		c.Labels[class] = name
	}
	c.readLabelIDs(f)
	if f.has("num_labels") {
		c.NumLabels = f.count("num_labels", 0, maxLabels)
		if c.Labels != nil && len(c.Labels) != c.NumLabels {
			f.fail("num_labels is %d, but id2label names %d classes", c.NumLabels, len(c.Labels))
		}
		return
	}
	c.NumLabels = 2 // transformers writes id2label alone, and nothing for two
	if len(c.Labels) > 0 {
		c.NumLabels = len(c.Labels)
	}
}

// readLabelIDs compares label2id with id2label, or takes its names where id2label gives none. LABEL_0 and the like say nothing.
func (c *Config) readLabelIDs(f *fields) {
	ids := read(f, "label2id", "an object of name: class", map[string]int(nil))
	given := make(Labels, len(ids))
	for name, class := range ids {
		switch {
		case class < 0 || class >= max(len(ids), len(c.Labels)):
			f.fail("label2id: %q is class %d of %d", name, class, len(ids))
			return
		case c.Labels != nil && (class >= len(c.Labels) || c.Labels[class] != name && !generic(name, class) && !generic(c.Labels[class], class)):
			f.fail("label2id calls class %d %q, id2label %s", class, name, shorten(f.raw("id2label")))
			return
		case class < len(given):
			given[class] = name
		}
	}
	if c.Labels != nil && len(ids) > 0 && !slices.ContainsFunc(given, func(name string) bool { return name == "" }) {
		for class, name := range given { // the more telling of the two
			if class < len(c.Labels) && generic(c.Labels[class], class) {
				c.Labels[class] = name
			}
		}
	}
	if c.Labels == nil && len(ids) > 0 {
		if slices.Contains(given, "") {
			f.fail("label2id gives two names to one class: %s", shorten(f.raw("label2id")))
		}
		c.Labels = given
	}
}

// generic reports whether a name says nothing but the class's number.
func generic(name string, class int) bool {
	number := strconv.Itoa(class)
	name = strings.ToLower(strings.TrimSpace(name))
	return name == number || name == "label_"+number || name == "class_"+number || name == "label "+number || name == "class "+number
}

// Good is the class of two that stands for a good step: 1 where the names say nothing, as TRL trains. Names that are not known for
// good and bad, or that both say the same, are an error: the score would be the probability of who knows what.
func (l Labels) Good() (int, error) {
	if len(l) != 2 || generic(l[0], 0) && generic(l[1], 1) {
		return 1, nil
	}
	first, second := polarity(l[0]), polarity(l[1])
	if first == second || first == 0 || second == 0 {
		return 0, fmt.Errorf("id2label calls the classes %q and %q, which does not tell the good one; say which it is", l[0], l[1])
	}
	if first > 0 {
		return 0, nil
	}
	return 1, nil
}

// Bad reports whether the first class is known for a bad one.
func (l Labels) Bad() bool { return polarity(l[0]) < 0 && !generic(l[0], 0) }

// goodWords and badWords are what classes of steps and answers are called.
var (
	goodWords = words(`+ ++ +1 ✓ ✔ ✅ 👍 accept acceptable accepted accurate chosen consistent correct entailment fine good gold helpful
		logical ok okay pass passed pos positive preferred proper right satisfactory solved sound success successful supported true
		valid verified win winner y yes 正确 对 верно правильно richtig correcto`)
	badWords = words(`- -- − – -1 ✗ ✘ ❌ 👎 bad contradiction defective error erroneous errors fail failed failure false fault
		faulty flawed illogical inaccurate inconsistent incorrect invalid lose loser mistake mistaken n neg negative no refuted reject
		rejected unacceptable unhelpful unsatisfactory unsolved unsound unsuccessful unsupported untrue unverified wrong
		错误 错 неверно неправильно falsch incorrecto`)
	noise    = words(`a an answer answers class has have is label prediction reasoning solution step steps the token this with`)
	negation = words(`not non no isn't never without un`)
)

func words(list string) map[string]bool {
	set := map[string]bool{}
	for _, w := range strings.Fields(list) {
		set[w] = true
	}
	return set
}

// polarity is 1 for the name of a good class, -1 for that of a bad one, 0 for any other. "not correct" and "no error" are known.
func polarity(name string) int {
	name = strings.TrimSpace(name)
	switch whole := strings.ToLower(name); { // signs and single words first: they may be negations too
	case goodWords[whole]:
		return 1
	case badWords[whole]:
		return -1
	}
	var spaced strings.Builder // isCorrect, is_correct, is-correct
	var before rune
	for _, r := range name {
		if unicode.IsUpper(r) && unicode.IsLower(before) {
			spaced.WriteByte(' ')
		}
		before = r
		if strings.ContainsRune("_-.:/", r) || unicode.IsSpace(r) {
			r = ' '
		}
		spaced.WriteRune(unicode.ToLower(r))
	}
	sign, said := 1, 0
	for _, w := range strings.Fields(spaced.String()) {
		is := 0
		switch {
		case negation[w]:
			sign = -sign
			continue
		case goodWords[w]:
			is = 1
		case badWords[w]:
			is = -1
		case noise[w]:
			continue
		}
		if is == 0 || said != 0 && is != said {
			return 0
		}
		said = is
	}
	return sign * said
}

// checkLabels compares the number of rows of a classification head with config.json, for the classes that make the head from it.
func (c *Config) checkLabels(rows int, path string) error {
	made := slices.ContainsFunc(c.Architectures, func(a string) bool {
		return strings.HasSuffix(a, "ForTokenClassification") || strings.HasSuffix(a, "ForSequenceClassification")
	})
	var said struct {
		NumLabels *json.RawMessage `json:"num_labels"`
		Names     *json.RawMessage `json:"id2label"`
	}
	if err := json.Unmarshal(c.Raw, &said); err != nil {
		return err
	}
	if rows == c.NumLabels || !made && said.NumLabels == nil && said.Names == nil {
		return nil
	}
	return fmt.Errorf("%s: the head has %d rows, but config.json says %d labels (num_labels, id2label; 2 where both are absent)",
		path, rows, c.NumLabels)
}
