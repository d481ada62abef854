package prm

import (
	"errors"
	"fmt"
	"strings"

	"github.com/goprm/goprm/data"
)

// ErrClosed is what the methods of a model and of its sessions return after Close.
var ErrClosed = errors.New("the model is closed")

// LostError says that a model cannot be used any more, since a file of its weights was cut short, changed or could not be read while it
// was open. Its text names the file. A server refuses requests with status 503 until it is given another model.
type LostError struct{ Err error }

func (e *LostError) Error() string { return e.Err.Error() }

// Unwrap returns what happened to the file.
func (e *LostError) Unwrap() error { return e.Err }

// DeviceLostError says that a device computes nothing any more in this process, since a kernel failed there or never ended, or the
// hardware did. A model on several devices goes on with the others.
type DeviceLostError struct {
	Device string // e.g. cuda:1
	Err    error
}

func (e *DeviceLostError) Error() string {
	return fmt.Sprintf("device %s is lost, for this process: %v", e.Device, e.Err)
}

// Unwrap returns what the driver said.
func (e *DeviceLostError) Unwrap() error { return e.Err }

// TooLongError says that a text, or one step of it with its problem, has more tokens than the model reads at once.
type TooLongError = data.TooLongError

// AmbiguousFormatError says that a folder without goprm.json fits several public formats: one of them is to be named in
// OpenOptions.Format.
type AmbiguousFormatError struct {
	Dir     string
	Formats []string
}

func (e *AmbiguousFormatError) Error() string {
	return fmt.Sprintf("%s: several formats fit: %s; name one (--format)", e.Dir, strings.Join(e.Formats, ", "))
}

// NonFiniteError says that a model's score of a trajectory is NaN or infinite.
type NonFiniteError struct {
	ID      string // of the trajectory
	ReadOut int    // which of its text's read-outs, from 0
	Value   float64
	Err     error // names the first tensor of the model's files that holds NaN or Inf; nil: none does
}

func (e *NonFiniteError) Error() string {
	cause := "the weights are finite, so the arithmetic overflows; another dtype may help"
	if e.Err != nil {
		cause = e.Err.Error()
	}
	return fmt.Sprintf("trajectory %q: the score of read-out %d is %v: %s", e.ID, e.ReadOut, e.Value, cause)
}

func (e *NonFiniteError) Unwrap() error { return e.Err }

// NonFiniteStepError says that an optimizer step was not applied, since something was NaN or infinite.
type NonFiniteStepError struct{ Tensor string } // the first that was

func (e *NonFiniteStepError) Error() string {
	return fmt.Sprintf("NaN or Inf in %s: the step was not applied", e.Tensor)
}

// InUseError says that another process trains in the run folder.
type InUseError struct {
	Dir     string
	Process int // its id; 0: unknown
}

func (e *InUseError) Error() string {
	if e.Process == 0 {
		return fmt.Sprintf("%s is in use by another process", e.Dir)
	}
	return fmt.Sprintf("%s is in use by process %d", e.Dir, e.Process)
}
