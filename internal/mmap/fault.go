package mmap

import (
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
)

// FaultError says that a mapped file could not be read.
type FaultError struct {
	Path   string
	Offset int64 // in the file, about
}

func (e *FaultError) Error() string {
	return fmt.Sprintf("%s: cannot be read at offset %d: it was cut short while it was in use, or its disk failed; restore it and open it "+
		"again",
		e.Path, e.Offset)
}

// ChangedError says that a mapped file is not what it was when it was opened.
type ChangedError struct{ Path, How string }

func (e *ChangedError) Error() string {
	return fmt.Sprintf("%s: changed while it was in use: %s; open it again, and replace such files by renaming new ones over them",
		e.Path, e.How)
}

// Lost reports whether an error says that a mapped file cannot be used any more.
func Lost(err error) bool {
	var fault *FaultError
	var changed *ChangedError
	return errors.As(err, &fault) || errors.As(err, &changed)
}

// Guard runs f. A fault in a mapping is a *[FaultError] instead of the end of the process. It holds for the calling goroutine alone:
// those that f starts need a guard of their own. What f had under way is left as it is, so everything it wrote to must be thrown away.
func Guard(f func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			fault := Fault(r)
			if fault == nil {
				panic(r)
			}
			err = fault
		}
	}()
	return explain(f())
}

// Fault is the fault that a recovered value stands for, or nil if that is another panic.
func Fault(recovered any) error {
	e, ok := recovered.(interface {
		runtime.Error
		Addr() uintptr
	})
	if !ok {
		return nil
	}
	m, offset := mappingAt(e.Addr())
	if m == nil {
		return nil
	}
	return &FaultError{m.path, offset}
}

// explain names the file where a system call could not read a mapping.
func explain(err error) error {
	if err == nil || Lost(err) || !isBadAddress(err) {
		return err
	}
	return errors.Join(Check(), err)
}
