package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/goprm/goprm/internal/atomicfile"
)

// grow writes to target's name with .part behind it, which is renamed when whole.
func (s *scoring) grow(target string) (err error) {
	part := target + partEnding
	if s.command.Resume {
		err = s.resume(target, part)
	} else if err = os.Remove(part); errors.Is(err, os.ErrNotExist) {
		err = nil
	}
	if err != nil {
		return err
	}
	f, err := atomicfile.OpenAppend(part, 0o666)
	if err != nil {
		return err
	}
	w := bufio.NewWriter(f)
	err = flush(w, s.run(w))
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return atomicfile.Move(part, target)
}

// resume takes up the unfinished output, or a finished one: there the input may have grown since.
func (s *scoring) resume(target, part string) (err error) {
	if _, err := os.Stat(part); errors.Is(err, os.ErrNotExist) {
		if err := copyFile(part, target); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	if s.resumed, err = keepWhole(part); err != nil {
		return err
	}
	if n := len(s.resumed.ids) + len(s.resumed.check); n > 0 {
		s.console.Noticef("resumed after %d scored trajectories", n)
	}
	return nil
}

func copyFile(to, from string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	err = atomicfile.WriteFile(to, func(w io.Writer) error {
		_, err := io.Copy(w, in)
		return err
	})
	return errors.Join(err, in.Close())
}

// unfinished is what an earlier run has left of its output.
type unfinished struct {
	path string
	ids  []string // of the lines that are taken as they are
	// check are the last whole lines: they are scored again and must come out the same, byte for byte. Another model,
	// setting or kind of arithmetic would show here instead of being mixed into one file.
	check [][]byte
}

// checkedLines is how many lines of an unfinished output are scored again.
const checkedLines = 4

func (u unfinished) other() error {
	return fmt.Errorf("%s: its lines are not what this command makes: it was begun with another input, model, --alpha, --parts, "+
		"backend or dtype; delete it to begin anew", u.path)
}

// keepWhole cuts a torn last line off an unfinished output; no file holds nothing.
func keepWhole(path string) (unfinished, error) {
	u := unfinished{path: path}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if errors.Is(err, os.ErrNotExist) {
		return u, nil
	}
	if err != nil {
		return u, err
	}
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return u, errors.Join(fmt.Errorf("%s: not a file", path), err, f.Close())
	}
	whole := int64(0)
	for lines := bufio.NewReader(f); ; {
		line, err := lines.ReadBytes('\n')
		if err == io.EOF {
			break
		}
		var row struct{ ID string }
		if err == nil {
			err = json.Unmarshal(line, &row)
		}
		if err != nil {
			return u, errors.Join(fmt.Errorf("%s:%d: %w; delete it to begin anew", path, len(u.ids)+1, err), f.Close())
		}
		whole += int64(len(line))
		u.ids = append(u.ids, row.ID)
		if u.check = append(u.check, line); len(u.check) > checkedLines {
			u.check = u.check[1:]
		}
	}
	u.ids = u.ids[:len(u.ids)-len(u.check)]
	return u, errors.Join(f.Truncate(whole), f.Close())
}
