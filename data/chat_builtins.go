package data

import (
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"

	"github.com/nikolalohinski/gonja/v2/builtins"
	"github.com/nikolalohinski/gonja/v2/exec"
)

// maxBuilt bounds the text that one call of replace or join may build.
const maxBuilt = 64 << 20

// maxIndent bounds the indentation of tojson.
const maxIndent = 16

// chatFilters are the engine's filters that cannot blow their input up; replace, join and tojson are checked first.
var chatFilters = strings.Fields(`abs attr capitalize d default dictsort e escape first float int items join last length count list lower
	map max min reject rejectattr replace reverse round safe select selectattr sort string sum title tojson trim unique upper`)

// chatMethods are the engine's methods of strings, taken as they are. As in transformers' sandbox no list or dict can be changed.
var chatMethods = strings.Fields(`capitalize casefold count endswith find isalnum isalpha isascii isdecimal isdigit islower isnumeric
	isspace istitle isupper lower partition removeprefix removesuffix rfind rpartition splitlines startswith swapcase title upper`)

func chatEnvironment(now time.Time) (*exec.Environment, error) {
	tags, err := chatTags()
	if err != nil {
		return nil, err
	}
	filters := map[string]exec.FilterFunction{}
	for _, name := range chatFilters {
		filter, ok := builtins.Filters.Get(name)
		if !ok {
			return nil, fmt.Errorf("the template engine has no filter %q", name)
		}
		filters[name] = func(e *exec.Evaluator, in *exec.Value, args *exec.VarArgs) *exec.Value {
			return asChatList(filter(e, in, args))
		}
	}
	for name, check := range map[string]func(*exec.Value, *exec.VarArgs) error{"replace": checkReplace, "join": checkJoin,
		"tojson": checkIndent} {
		filter := filters[name]
		filters[name] = func(e *exec.Evaluator, in *exec.Value, args *exec.VarArgs) *exec.Value {
			if err := check(in, args); err != nil {
				return exec.AsValue(err)
			}
			return filter(e, in, args)
		}
	}
	str := map[string]exec.Method[string]{
		"strip":   strip(strings.TrimFunc, strings.Trim),
		"lstrip":  strip(strings.TrimLeftFunc, strings.TrimLeft),
		"rstrip":  strip(strings.TrimRightFunc, strings.TrimRight),
		"split":   splitMethod,
		"replace": replaceMethod,
		"join":    joinMethod,
	}
	for _, name := range chatMethods {
		method, ok := builtins.Methods.Str.Get(name)
		if !ok {
			return nil, fmt.Errorf("the template engine has no method %q", name)
		}
		str[name] = method
	}
	dict := map[string]exec.Method[map[string]any]{}
	for _, name := range []string{"keys", "values", "items", "get", "copy"} {
		method, ok := builtins.Methods.Dict.Get(name)
		if !ok {
			return nil, fmt.Errorf("the template engine has no method %q", name)
		}
		dict[name] = method
	}
	globals := map[string]any{"range": rangeFunction, "raise_exception": raiseException, "strftime_now": strftimeNow(now)}
	for _, name := range []string{"namespace", "dict"} {
		function, ok := builtins.GlobalFunctions.Get(name)
		if !ok {
			return nil, fmt.Errorf("the template engine has no function %q", name)
		}
		globals[name] = function
	}
	return &exec.Environment{
		Context:           exec.NewContext(globals),
		Filters:           exec.NewFilterSet(filters),
		Tests:             builtins.Tests,
		ControlStructures: tags,
		Methods: exec.Methods{
			Bool:  exec.NewMethodSet(map[string]exec.Method[bool]{}),
			Int:   exec.NewMethodSet(map[string]exec.Method[int]{}),
			Float: exec.NewMethodSet(map[string]exec.Method[float64]{}),
			Str:   exec.NewMethodSet(str),
			Dict:  exec.NewMethodSet(dict),
			List:  exec.NewMethodSet(map[string]exec.Method[[]any]{}),
		},
	}, nil
}

// chatList is a list as templates see it. The engine's own indexing takes list[-len(list)] for absent.
type chatList []any

// GetItem is Python's indexing, which the engine asks for first.
func (l chatList) GetItem(key any) (*exec.Value, bool) {
	i, ok := key.(int)
	if ok && i < 0 {
		i += len(l)
	}
	if !ok || i < 0 || i >= len(l) {
		return exec.AsValue(nil), false
	}
	return exec.ToValue(l[i]), true
}

func listOf(texts []string) chatList {
	list := make(chatList, len(texts))
	for i, text := range texts {
		list[i] = text
	}
	return list
}

// asChatList makes a filter's result a chatList if it is a list.
func asChatList(v *exec.Value) *exec.Value {
	if !v.IsList() {
		return v
	}
	list := make(chatList, v.Len())
	for i := range list {
		list[i] = v.Index(i).Interface()
	}
	return exec.AsValue(list)
}

// raisedError is what a template raised.
type raisedError struct{ text string }

func (e *raisedError) Error() string { return "raised: " + e.text }

func raiseException(_ *exec.Evaluator, args *exec.VarArgs) *exec.Value {
	return exec.AsValue(error(&raisedError{clip(args.First().String(), 400)}))
}

// rangeFunction is Python's range as a list of bounded length. (The engine's own runs a goroutine for each call.)
func rangeFunction(_ *exec.Evaluator, args *exec.VarArgs) ([]int, error) {
	var n [3]int
	for i, a := range args.Args {
		if i == len(n) || !a.IsInteger() {
			return nil, errors.New("range takes one to three integers")
		}
		n[i] = a.Integer()
	}
	start, stop, step := n[0], n[1], n[2]
	switch len(args.Args) {
	case 0:
		return nil, errors.New("range takes one to three integers")
	case 1:
		start, stop, step = 0, n[0], 1
	case 2:
		step = 1
	}
	if step == 0 {
		return nil, errors.New("range with step 0")
	}
	list := []int{}
	for i := start; step > 0 && i < stop || step < 0 && i > stop; i += step {
		if len(list) == maxRange {
			return nil, &limitError{fmt.Sprintf("a range of more than %d", maxRange)}
		}
		list = append(list, i)
	}
	return list, nil
}

func argument(args *exec.VarArgs, i int, name string) *exec.Value {
	if i < len(args.Args) {
		return args.Args[i]
	}
	return args.GetKeywordArgument(name, nil)
}

var errBuilt = &limitError{fmt.Sprintf("a text of more than %d bytes", maxBuilt)}

func checkReplace(in *exec.Value, args *exec.VarArgs) error {
	return replaceSize(in.String(), argument(args, 0, "old").String(), argument(args, 1, "new").String())
}

func replaceSize(text, old, by string) error {
	if n := strings.Count(text, old); len(by) > 0 && n > (maxBuilt-len(text))/len(by) {
		return errBuilt
	}
	return nil
}

func checkJoin(in *exec.Value, args *exec.VarArgs) error {
	size := sizeOf(in, maxBuilt)
	if in.Len() > 0 {
		if sep := argument(args, 0, "d"); !sep.IsNil() && len(sep.String()) > (maxBuilt-min(size, maxBuilt))/in.Len() {
			return errBuilt
		}
	}
	if size > maxBuilt {
		return errBuilt
	}
	return nil
}

func checkIndent(in *exec.Value, args *exec.VarArgs) error {
	if indent := argument(args, 0, "indent"); indent.IsInteger() && (indent.Integer() < 0 || indent.Integer() > maxIndent) {
		return &limitError{fmt.Sprintf("tojson with an indent beyond %d", maxIndent)}
	}
	if sizeOf(in, maxBuilt) > maxBuilt {
		return errBuilt
	}
	return nil
}

// The methods below are Python's; the engine's own differ in their defaults.

func strip(space func(string, func(rune) bool) string, cut func(string, string) string) exec.Method[string] {
	return func(self string, _ *exec.Value, args *exec.VarArgs) (any, error) {
		if chars := argument(args, 0, "chars"); !chars.IsNil() {
			return cut(self, chars.String()), nil
		}
		return space(self, unicode.IsSpace), nil
	}
}

func splitMethod(self string, _ *exec.Value, args *exec.VarArgs) (any, error) {
	sep, most := argument(args, 0, "sep"), argument(args, 1, "maxsplit")
	n := -1
	if most.IsInteger() && most.Integer() >= 0 {
		n = most.Integer() + 1
	}
	if sep.IsNil() {
		if n > 0 {
			return nil, errors.New("split with maxsplit but without a separator")
		}
		return listOf(strings.Fields(self)), nil
	}
	if sep.String() == "" {
		return nil, errors.New("split at an empty separator")
	}
	return listOf(strings.SplitN(self, sep.String(), n)), nil
}

func replaceMethod(self string, _ *exec.Value, args *exec.VarArgs) (any, error) {
	old, by, count := argument(args, 0, "old"), argument(args, 1, "new"), argument(args, 2, "count")
	if old.IsNil() || by.IsNil() {
		return nil, errors.New("replace takes two texts")
	}
	if err := replaceSize(self, old.String(), by.String()); err != nil {
		return nil, err
	}
	n := -1
	if count.IsInteger() {
		n = count.Integer()
	}
	return strings.Replace(self, old.String(), by.String(), n), nil
}

func joinMethod(self string, _ *exec.Value, args *exec.VarArgs) (any, error) {
	list := argument(args, 0, "iterable")
	if !list.IsList() {
		return nil, errors.New("join takes a list")
	}
	if err := checkJoin(list, &exec.VarArgs{Args: []*exec.Value{exec.AsValue(self)}}); err != nil {
		return nil, err
	}
	texts := make([]string, list.Len())
	for i := range texts {
		texts[i] = list.Index(i).String()
	}
	return strings.Join(texts, self), nil
}
