package inputs

import (
	"fmt"
	"iter"

	"github.com/goprm/goprm/data"
	"github.com/goprm/goprm/internal/scorefile"
)

// labelled are the labelled trajectories, read beside the scores of them.
type labelled struct {
	pull     func() (*data.Trajectory, error, bool)
	stop     func()
	unscored int
	done     bool
}

func newLabelled(opt Options) *labelled {
	l := &labelled{}
	l.pull, l.stop = iter.Pull2(data.Read(opt.Data, data.ReadOptions{Stdin: opt.Stdin}))
	return l
}

// next is the next trajectory, nil at the end.
func (l *labelled) next() (*data.Trajectory, error) {
	if l.done {
		return nil, nil
	}
	t, err, ok := l.pull()
	if err != nil || !ok {
		l.done = true
	}
	return t, err
}

// of is the trajectory that the scores are of. Those before it have no scores; after the last one the rest of the scores
// is of no trajectory.
func (l *labelled) of(s *scorefile.Score) (*data.Trajectory, error) {
	passed := 0
	for {
		t, err := l.next()
		switch {
		case err != nil:
			return nil, err
		case t == nil && passed > 0:
			return nil, fmt.Errorf("%s: no labelled trajectory with the id %q where it is due: "+
				"scores must stand in the order of the data, each once", s.Where, s.ID)
		case t == nil:
			return nil, nil
		case t.ID == s.ID:
			l.unscored += passed
			return t, nil
		}
		passed++
	}
}

// end counts the rest.
func (l *labelled) end() error {
	for {
		t, err := l.next()
		if t == nil || err != nil {
			return err
		}
		l.unscored++
	}
}
