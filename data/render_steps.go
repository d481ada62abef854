package data

import "fmt"

// steps are a trajectory's steps, or some of them, thinking before response, whatever their order in the text.
type steps struct {
	texts    []string
	thinking int   // how many of them are thinking
	index    []int // of each among all of the trajectory's steps; nil: these are all
	first    int   // the index of the first response step
}

// of is the index of step i among all of the trajectory's.
func (s steps) of(i int) int {
	if s.index == nil {
		return i
	}
	return s.index[i]
}

// some are the steps at the given places, which ascend. The time it takes depends on their number alone.
func (s steps) some(places []int) steps {
	list := steps{texts: make([]string, len(places)), index: places, first: s.first}
	for i, at := range places {
		list.texts[i] = s.texts[at]
		if at < s.thinking {
			list.thinking++
		}
	}
	return list
}

func (s steps) part(i int) Part {
	if i < s.thinking {
		return PartThinking
	}
	return PartResponse
}

// name names step i in messages.
func (s steps) name(i int) string {
	if i < s.thinking {
		return fmt.Sprintf("thinking step %d", s.of(i))
	}
	return fmt.Sprintf("response step %d", s.of(i)-s.first)
}
