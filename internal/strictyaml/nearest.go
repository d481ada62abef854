package strictyaml

import (
	"maps"
	"reflect"
	"slices"
	"strings"
)

// structFields are the keys that a struct has in YAML, by the tags of the YAML package.
type structFields struct {
	names []string // in the order of the fields
	index map[string][]int
}

func fieldsOf(t reflect.Type) structFields {
	fields := structFields{index: map[string][]int{}}
	for i := range t.NumField() {
		f := t.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		if name == "-" || !f.IsExported() {
			continue
		}
		if slices.Contains(strings.Split(options, ","), "inline") && f.Type.Kind() == reflect.Struct {
			inner := fieldsOf(f.Type)
			for _, n := range inner.names {
				fields.names = append(fields.names, n)
				fields.index[n] = append([]int{i}, inner.index[n]...)
			}
			continue
		}
		if name == "" {
			name = strings.ToLower(f.Name)
		}
		fields.names = append(fields.names, name)
		fields.index[name] = []int{i}
	}
	return fields
}

// Names maps keys of other programs, in lower case with underscores, to what they are called here: a key, and a remark if it is not quite
// the same.
type Names map[string]string

// Here says what another program's key is here, or why there is none, whatever its case and whether its words are joined by underscores,
// hyphens or capitals; "" if it is not among the names.
func (names Names) Here(key string) string {
	key = joined(key)
	for name, here := range names {
		if joined(name) != key {
			continue
		}
		if why, none := strings.CutPrefix(here, "nothing: "); none {
			return "there is no such key here: " + why
		}
		return "here it is " + here
	}
	return ""
}

// mistyped is the name that the key is but for one or two letters, "" if there is none.
func (names Names) mistyped(key string) string {
	if len(key) < 6 {
		return ""
	}
	if name := closest(slices.Sorted(maps.Keys(names)), key); name != "" && distance(name, strings.ToLower(key)) <= 2 {
		return name
	}
	return ""
}

var joints = strings.NewReplacer("_", "", "-", "")

func joined(key string) string { return strings.ToLower(joints.Replace(key)) }

// nearest is a key of the same section that is only a few letters away, "" if there is none.
func nearest(siblings, path []string) string {
	last := len(path) - 1
	key := path[last]
	if name := closest(siblings, key); name != "" && near(name, key) {
		return strings.Join(append(path[:last:last], name), ".")
	}
	return ""
}

// elsewhere is the same key in another section, or one whose tag guesses:"…" lists it, else one a few letters away, else "".
func elsewhere(root reflect.Type, path []string) string {
	key := path[len(path)-1]
	paths := pathsOf(root, nil, 0)
	for _, p := range paths {
		if p == key || strings.HasSuffix(p, "."+key) {
			return p
		}
	}
	if p := guessed(root, key, nil, 0); p != "" {
		return p
	}
	names := make([]string, len(paths))
	for i, p := range paths {
		names[i] = p[strings.LastIndexByte(p, '.')+1:]
	}
	if name := closest(names, key); name != "" && near(name, key) {
		return paths[slices.Index(names, name)]
	}
	if name := closest(paths, strings.Join(path, ".")); name != "" && near(name, strings.Join(path, ".")) {
		return name
	}
	return ""
}

// near tells whether one name is likely the other mistyped: a quarter of its letters at most, but one in any case. Of a name of one or two
// letters nothing is near but another case of it.
func near(name, key string) bool {
	if strings.EqualFold(name, key) {
		return true
	}
	return len(key) > 2 && distance(name, key) <= max(1, len(key)/4)
}

// guessed is the path of the key whose tag lists this one among those that people try instead; "" for none.
func guessed(t reflect.Type, key string, above []string, depth int) string {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct || readsItself(t) || depth > 8 {
		return ""
	}
	fields := fieldsOf(t)
	for _, name := range fields.names {
		f := t.FieldByIndex(fields.index[name])
		path := append(above[:len(above):len(above)], name)
		if slices.Contains(strings.Split(f.Tag.Get("guesses"), ","), key) {
			return strings.Join(path, ".")
		}
		if p := guessed(f.Type, key, path, depth+1); p != "" {
			return p
		}
	}
	return ""
}

// closest is the first of the names with the smallest distance to key; "" for no names.
func closest(names []string, key string) string {
	best, at := "", -1
	for _, name := range names {
		if d := distance(name, key); at < 0 || d < at {
			best, at = name, d
		}
	}
	return best
}

// pathsOf lists the full paths of all keys below t, sections before what they hold.
func pathsOf(t reflect.Type, above []string, depth int) []string {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct || readsItself(t) || depth > 8 { // a type may hold itself
		return nil
	}
	fields := fieldsOf(t)
	var paths []string
	for _, name := range fields.names {
		path := append(above[:len(above):len(above)], name)
		paths = append(paths, strings.Join(path, "."))
		paths = append(paths, pathsOf(t.FieldByIndex(fields.index[name]).Type, path, depth+1)...)
	}
	return paths
}

// distance counts the insertions, deletions, replacements and swaps of neighbours that turn a into b (optimal string
// alignment), over the first 64 bytes of each: keys are short, and a hostile one should cost little.
func distance(a, b string) int {
	a, b = a[:min(len(a), 64)], b[:min(len(b), 64)]
	var before, above []int
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		before, above, row = above, row, make([]int, len(b)+1)
		row[0] = i
		for j := 1; j <= len(b); j++ {
			replace := above[j-1]
			if a[i-1] != b[j-1] {
				replace++
			}
			row[j] = min(replace, above[j]+1, row[j-1]+1)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
	}
	return row[len(b)]
}
