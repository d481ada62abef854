// Package filememo remembers what was found out about the content of large files, such as their SHA-256, so that files that did not
// change since need not be read again.
//
// A file counts as unchanged if device, inode, size, time of modification and time of change are those of the reading, and both times
// lie at least [settle] before it: a write soon after another may leave the times as they are. The system sets the time of change, so
// that a program that sets the other one back (touch, tar, rsync) is noticed too. On systems that do not tell all of this, nothing is
// remembered.
package filememo

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/goprm/goprm/internal/atomicfile"
)

// settle is more than the coarsest clock of file times that is in use (two seconds, FAT's).
const settle = 3 * time.Second

// Memo is a folder of facts; "" remembers nothing. Any number of processes may use one.
type Memo struct {
	Dir      string
	ReadOnly bool // what it remembers is used, nothing is added
}

// state is what of a file changes with its content.
type state struct {
	Device, Inode     uint64
	Size              int64
	Modified, Changed int64 // nanoseconds since 1970
	Path, Fact        string
}

type entry struct {
	State state
	Value string
}

// Of returns the fact about the file at path: what is remembered, or what find finds, which is then remembered if the file stays
// unchanged meanwhile. A memo that cannot be read or written is passed over.
func (m Memo) Of(path, fact string, find func() (string, error)) (string, error) {
	began := time.Now()
	before, known := stateOf(path, fact)
	if known = known && m.Dir != ""; known {
		if e, err := m.read(before); err == nil && e.State == before {
			return e.Value, nil
		}
	}
	value, err := find()
	if err != nil {
		return "", err
	}
	if after, ok := stateOf(path, fact); known && !m.ReadOnly && ok && after == before && before.settled(began) {
		m.write(entry{before, value})
	}
	return value, nil
}

func (s state) settled(at time.Time) bool {
	last := at.Add(-settle).UnixNano()
	return s.Modified < last && s.Changed < last
}

func (m Memo) file(s state) string {
	sum := sha256.Sum256([]byte(s.Fact + "\x00" + s.Path))
	return filepath.Join(m.Dir, hex.EncodeToString(sum[:16])+".json")
}

func (m Memo) read(s state) (entry, error) {
	var e entry
	text, err := os.ReadFile(m.file(s))
	if err != nil {
		return e, err
	}
	return e, json.Unmarshal(text, &e)
}

func (m Memo) write(e entry) {
	text, err := json.Marshal(e)
	if err != nil || os.MkdirAll(m.Dir, 0o777) != nil {
		return
	}
	_ = atomicfile.WriteFile(m.file(e.State), func(w io.Writer) error { // without it the file is read again
		_, err := w.Write(append(text, '\n'))
		return err
	})
}
