package strictyaml

import (
	"errors"
	"fmt"
	"io"
	"os"
)

// DecodeFile decodes a file of at most MaxBytes, see Decode.
func DecodeFile(path string, into any, names ...Names) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	text, err := io.ReadAll(io.LimitReader(file, MaxBytes+1)) // what has no size, such as a device, has a limit too
	if err := errors.Join(err, file.Close()); err != nil {
		return err
	}
	if len(text) > MaxBytes {
		return fmt.Errorf("%s: a configuration has at most %d bytes", path, MaxBytes)
	}
	return Decode(text, path, into, names...)
}
