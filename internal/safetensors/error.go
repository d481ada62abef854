package safetensors

import "fmt"

// Verdict is the kind of fault in a malformed file, by the name the format's reference reader gives it.
type Verdict string

// The faults, in the order in which they are looked for.
const (
	Empty                        Verdict = "Empty"
	HeaderTooSmall               Verdict = "HeaderTooSmall"
	HeaderTooLarge               Verdict = "HeaderTooLarge"
	InvalidHeaderLength          Verdict = "InvalidHeaderLength"
	InvalidHeader                Verdict = "InvalidHeader"
	InvalidHeaderStart           Verdict = "InvalidHeaderStart"
	InvalidHeaderDeserialization Verdict = "InvalidHeaderDeserialization"
	InvalidOffset                Verdict = "InvalidOffset"
	ValidationOverflow           Verdict = "ValidationOverflow"
	TensorInvalidInfo            Verdict = "TensorInvalidInfo"
	MetadataIncompleteBuffer     Verdict = "MetadataIncompleteBuffer"
)

// FormatError says what is wrong with a file.
type FormatError struct {
	File    string // path as given to Open
	Tensor  string // "" when the fault is not one tensor's
	Offset  int64  // byte of the file at which the fault shows
	Verdict Verdict
	Reason  string
}

func (e *FormatError) Error() string {
	place := ""
	if e.File != "" {
		place = e.File + ": "
	}
	if e.Tensor != "" {
		place += fmt.Sprintf("tensor %q: ", e.Tensor)
	}
	return place + e.Reason
}
